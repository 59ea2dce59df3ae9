// SPDX-License-Identifier: MIT
/* exec: against real programs. */
#include "exec_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Opens one that is refused. */
static enum mp_reason open_refused(struct test_peer *peer)
{
	enum mp_reason reason;
	int ret = peer_open(peer, service, NULL, 0);

	if (ret < 0)
		return -ret;
	rig_wait(&rig, peer_is_settled, peer);
	reason = peer->refused;
	peer_close(peer, MP_END_ABORT);
	return reason;
}

static void output_comes_back(void **state)
{
	const size_t len = 3000000;
	char *bytes = rig_pattern(len);
	struct test_peer peer;

	(void)state;
	run_program(&peer, "cat", bytes, len);
	assert_true(peer.in_end);
	assert_int_equal(peer.in_len, len);
	assert_memory_equal(peer.in, bytes, len);
	peer_close(&peer, MP_END_WHOLE);
	free(bytes);
}

/* Words are what quotes make them, and nothing is a shell's. */
static void words_are_split(void **state)
{
	static const char expect[] = "a|b c|d'e|$HOME|*|;ls|";
	struct test_peer peer;

	(void)state;
	run_program(&peer, "printf '%s|' a 'b c' \"d'e\" $HOME * ;ls", NULL, 0);
	assert_int_equal(peer.in_len, strlen(expect));
	assert_memory_equal(peer.in, expect, strlen(expect));
	peer_close(&peer, MP_END_WHOLE);
}

static enum mp_reason peer_reason(struct test_peer *peer)
{
	return peer->stream->ops->reason(peer->stream);
}

static void status_decides_the_end(void **state)
{
	struct test_peer peer;

	(void)state;
	run_program(&peer, "sh -c 'echo done; exit 0'", NULL, 0);
	assert_true(peer.in_end);
	peer_close(&peer, MP_END_WHOLE);
	run_program(&peer, "sh -c 'echo done; exit 3'", NULL, 0);
	assert_int_equal(peer.in_error, ECONNRESET);
	assert_int_equal(peer.in_len, 5);
	assert_int_equal(peer_reason(&peer), MP_REASON_EXITED | 3);
	peer_close(&peer, MP_END_WHOLE);
	run_program(&peer, "sh -c 'echo done; kill -9 $$'", NULL, 0);
	assert_int_equal(peer.in_error, ECONNRESET);
	assert_int_equal(peer.in_len, 5);
	assert_int_equal(peer_reason(&peer), MP_REASON_KILLED | 9);
	peer_close(&peer, MP_END_WHOLE);
}

/* What a program leaves unread is no failure, if its status is 0. */
static void unread_input_is_no_failure(void **state)
{
	char *bytes = rig_pattern(30000000);
	struct test_peer peer;

	(void)state;
	run_program(&peer, "head -c 10", bytes, 30000000);
	assert_true(peer.in_end);
	assert_int_equal(peer.in_len, 10);
	rig_wait(&rig, peer_has_written, &peer);
	assert_int_equal(peer.out_error, EPIPE);
	peer_close(&peer, MP_END_WHOLE);
	free(bytes);
}

/* The output is closed long before the program exits: its status counts. */
static void closed_output_waits_for_status(void **state)
{
	struct test_peer peer;

	(void)state;
	run_program(&peer, "sh -c 'echo x; exec <&- >&-; sleep 0.2; exit 255'", NULL, 0);
	assert_int_equal(peer.in_len, 2);
	assert_int_equal(peer.in_error, ECONNRESET);
	assert_int_equal(peer_reason(&peer), MP_REASON_EXITED | 255);
	peer_close(&peer, MP_END_WHOLE);
	run_program(&peer, "sh -c 'echo x; exec <&- >&-; sleep 0.2; exit 0'", NULL, 0);
	assert_true(peer.in_end);
	peer_close(&peer, MP_END_WHOLE);
}

static bool has_word(const struct test_peer *peer, const char *line)
{
	return memmem(peer->in, peer->in_len, line, strlen(line));
}

static void environment_is_clean(void **state)
{
	struct test_peer peer;
	size_t lines = 0;

	(void)state;
	setenv("MANYPORT_SECRET", "x", 1);
	run_program(&peer, "env", NULL, 0);
	assert_true(has_word(&peer, "MANYPORT_UID=1000\n"));
	assert_true(has_word(&peer, "MANYPORT_GID=100\n"));
	assert_true(has_word(&peer, "MANYPORT_PID=42\n"));
	assert_true(has_word(&peer, "MANYPORT_COMM=cat\n"));
	assert_true(has_word(&peer, "MANYPORT_GUEST=guest\n"));
	assert_true(has_word(&peer, "MANYPORT_PORT=port\n"));
	assert_true(has_word(&peer, "MANYPORT_SERVICE=test\n"));
	assert_true(has_word(&peer, "MANYPORT_ARGUMENT=an argument\n"));
	assert_true(has_word(&peer, "PATH=/usr/local/sbin:"));
	for (size_t i = 0; i < peer.in_len; i++)
		lines += peer.in[i] == '\n';
	assert_int_equal(lines, 11);
	peer_close(&peer, MP_END_WHOLE);
	unsetenv("MANYPORT_SECRET");
}

/* Descriptors, signals, session: nothing of the daemon's is left. */
static void program_starts_afresh(void **state)
{
	struct test_peer peer;
	int leak = open("/dev/null", O_RDONLY);	/* not even close-on-exec */
	sigset_t blocked;

	(void)state;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	run_program(&peer, "sh -c 'ls /proc/$$/fd | tr \"\\n\" \" \"; "
		    "grep -E \"^Sig(Blk|Ign)\" /proc/$$/status | tr -d \"\\n\\t\"; "
		    "test $(ps -o sid= -p $$) = $$ && echo leader'", NULL, 0);
	assert_true(peer.in_end);
	assert_int_equal(strncmp(peer.in, "0 1 2 ", 6), 0);
	assert_true(has_word(&peer, "SigBlk:0000000000000000"));
	if (!has_word(&peer, "SigIgn:0000000000000000"))
		fail_msg("%.*s", (int)peer.in_len, peer.in);
	assert_true(has_word(&peer, "leader\n"));
	peer_close(&peer, MP_END_WHOLE);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	close(leak);
}

static bool is_gone(void *context)
{
	return kill(*(pid_t *)context, 0) && errno == ESRCH;
}

static bool has_line(void *context)
{
	struct test_peer *peer = context;

	return peer->in_len && peer->in[peer->in_len - 1] == '\n';
}

/* Starts @command, which says a number of a process first. */
static pid_t start_program(struct test_peer *peer, const char *command)
{
	char uri[512], number[32] = "";

	snprintf(uri, sizeof(uri), "exec:%s", command);
	service = rig_service(&rig, uri);
	open_program(peer, NULL, 0);
	rig_wait(&rig, has_line, peer);
	assert_true(peer->in_len < sizeof(number));
	memcpy(number, peer->in, peer->in_len);
	return atoi(number);
}

/* The daemon raises its limit of descriptors; programs get what it was. */
static void limit_of_descriptors_is_old(void **state)
{
	struct rlimit limit, saved;
	struct test_peer peer;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &saved);
	limit = saved;
	limit.rlim_cur = 333;
	setrlimit(RLIMIT_NOFILE, &limit);
	service = rig_service(&rig, "exec:sh -c 'ulimit -n'");
	setrlimit(RLIMIT_NOFILE, &saved);
	open_program(&peer, NULL, 0);
	rig_wait(&rig, peer_has_ended, &peer);
	assert_int_equal(peer.in_len, 4);
	assert_memory_equal(peer.in, "333\n", 4);
	getrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(limit.rlim_cur, saved.rlim_cur);
	peer_close(&peer, MP_END_WHOLE);
}

/* close() is over at once; a program that takes no notice is killed later. */
static void stubborn_program_is_killed(void **state)
{
	struct test_peer peer;
	pid_t pid;

	(void)state;
	pid = start_program(&peer, "sh -c 'trap \"\" TERM HUP; echo $$; "
			    "while :; do sleep 1; done'");
	peer_close(&peer, MP_END_ABORT);
	assert_int_equal(kill(pid, 0), 0);
	rig_wait(&rig, is_gone, &pid);
}

/* Also what it has started, and though the program itself has exited. */
static void group_is_killed(void **state)
{
	struct test_peer peer;
	pid_t pid;

	(void)state;
	pid = start_program(&peer, "sh -c 'sleep 1000 & echo $!; exit 0'");
	assert_int_equal(kill(pid, 0), 0);
	peer_close(&peer, MP_END_WHOLE);
	rig_wait(&rig, is_gone, &pid);
}

static void service_ends_with_programs(void **state)
{
	struct test_peer peer;
	pid_t pid;

	(void)state;
	pid = start_program(&peer, "sh -c 'trap \"\" TERM; echo $$; sleep 1000; sleep 1000'");
	peer_close(&peer, MP_END_ABORT);
	end_service();
	assert_true(is_gone(&pid));
}

/* Opening and closing does not pile programs up. */
static void dying_programs_are_bounded(void **state)
{
	static struct test_peer peers[80];
	struct test_peer peer;

	(void)state;
	service = rig_service(&rig, "exec:sh -c 'trap \"\" TERM; echo; sleep 1000; sleep 1000'");
	for (int i = 0; i < 80; i++)
		assert_int_equal(peer_open(&peers[i], service, NULL, 0), 0);
	for (int i = 0; i < 80; i++)
		rig_wait(&rig, has_line, &peers[i]);
	for (int i = 0; i < 80; i++)
		peer_close(&peers[i], MP_END_ABORT);
	assert_int_equal(peer_open(&peer, service, NULL, 0), -MP_REASON_BUSY);
}

/* A program that writes far more than a pipe holds to standard error continues to run. */
static void errors_go_to_the_log(void **state)
{
	struct test_peer peer;

	(void)state;
	run_program(&peer, "sh -c 'head -c 1000000 /dev/zero >&2; echo oops >&2; echo fine'",
		    NULL, 0);
	assert_true(peer.in_end);
	assert_int_equal(peer.in_len, 5);
	peer_close(&peer, MP_END_WHOLE);
}

/* One line on standard error is one line of the log, escaped, with who it was. */
static void log_line_names_the_channel(void **state)
{
	char path[128], text[4096];
	int saved = dup(STDERR_FILENO), file;
	struct test_peer peer;
	ssize_t len;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "log"));
	file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	dup2(file, STDERR_FILENO);
	log_setup(LOG_LEVEL_INFO);
	run_program(&peer, "sh -c 'printf \"bad\\033[1m\\nnext\" >&2; exit 7'", NULL, 0);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
	service = NULL;
	dup2(saved, STDERR_FILENO);
	log_setup(LOG_LEVEL_ERROR);
	len = pread(file, text, sizeof(text) - 1, 0);
	assert_true(len > 0);
	text[len] = 0;
	assert_non_null(strstr(text, "guest: port port: channel 3.1: "
			       "test (uid 1000, pid 42, cat): "));
	assert_non_null(strstr(text, "stderr: bad\\x1b[1m\n"));
	assert_non_null(strstr(text, "stderr: next\n"));
	assert_non_null(strstr(text, "exited with status 7\n"));
	close(file);
	close(saved);
	unlink(path);
}

static void missing_program(void **state)
{
	struct service_setup make = { .loop = rig.loop, .name = "test" };
	struct test_peer peer;
	char path[128], uri[160];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "program"));
	snprintf(uri, sizeof(uri), "exec:%s", path);
	service = service_create(&make, uri);
	assert_non_null(service);
	assert_true(make.warning[0]);
	assert_int_equal(open_refused(&peer), MP_REASON_NOT_LISTENING);
	/* Not executable; then no program; then there. */
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(open_refused(&peer), MP_REASON_NOT_LISTENING);
	fchmod(fd, 0700);
	assert_int_equal(write(fd, "garbage", 7), 7);
	close(fd);
	assert_int_equal(open_refused(&peer), MP_REASON_NOT_LISTENING);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "#!/bin/sh\necho hi\n", 18), 18);
	close(fd);
	open_program(&peer, NULL, 0);
	rig_wait(&rig, peer_has_ended, &peer);
	assert_true(peer.in_end);
	assert_int_equal(peer.in_len, 3);
	peer_close(&peer, MP_END_WHOLE);
	unlink(path);
}

/* Without descriptors a channel is refused as busy, and nothing is left behind. */
static void no_descriptors_is_busy(void **state)
{
	struct rlimit limit, saved;
	struct test_peer peer;
	int before;

	(void)state;
	service = rig_service(&rig, "exec:cat");
	before = rig_count_fds();
	getrlimit(RLIMIT_NOFILE, &saved);
	/* From none left to one missing: a failure at each step. */
	for (int more = 0; more < 8; more++) {
		int next = dup(STDERR_FILENO);

		close(next);
		limit = saved;
		limit.rlim_cur = next + more;
		setrlimit(RLIMIT_NOFILE, &limit);
		assert_int_equal(peer_open(&peer, service, NULL, 0), 0);
		rig_wait(&rig, peer_is_settled, &peer);
		setrlimit(RLIMIT_NOFILE, &saved);
		if (more < 6)
			assert_int_equal(peer.refused, MP_REASON_BUSY);
		if (peer.connected) {
			peer.shut_after = true;
			peer_write(&peer);
			rig_wait(&rig, peer_has_ended, &peer);
		}
		peer_close(&peer, MP_END_WHOLE);
		assert_int_equal(rig_count_fds(), before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(output_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(words_are_split, setup, teardown),
		cmocka_unit_test_setup_teardown(status_decides_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(unread_input_is_no_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_output_waits_for_status, setup, teardown),
		cmocka_unit_test_setup_teardown(environment_is_clean, setup, teardown),
		cmocka_unit_test_setup_teardown(program_starts_afresh, setup, teardown),
		cmocka_unit_test_setup_teardown(limit_of_descriptors_is_old, setup, teardown),
		cmocka_unit_test_setup_teardown(stubborn_program_is_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(group_is_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(service_ends_with_programs, setup, teardown),
		cmocka_unit_test_setup_teardown(dying_programs_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(errors_go_to_the_log, setup, teardown),
		cmocka_unit_test_setup_teardown(log_line_names_the_channel, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_program, setup, teardown),
		cmocka_unit_test_setup_teardown(no_descriptors_is_busy, setup, teardown),
	};

	return cmocka_run_group_tests(tests, rig_setup_group, NULL);
}
