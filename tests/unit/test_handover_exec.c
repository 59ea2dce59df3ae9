// SPDX-License-Identifier: MIT
/* Programs, in each phase, that another program goes on with. */
#include "handover_streams.h"

#include <poll.h>

static bool has_pid(void *context)
{
	struct test_peer *peer = context;

	return peer->in_len && peer->in[peer->in_len - 1] == '\n';
}

#define SAY_PID "exec:sh -c 'echo $$; read line; echo \"$line\" >&2; cat; exit 3'"

static void exec_before(void)
{
	begin(SAY_PID);
	open_peer(0, "", 0);
	rig_wait(&rig, has_pid, &peers[0]);
	far.numbers[0] = atoi(peers[0].in);
	deaf(0);
	write_more(0, "a line\nhello");
	/* A half of a line on standard error stays with the reader of it. */
	open_peer(1, "", 0);
	rig_wait(&rig, has_pid, &peers[1]);
	far.numbers[1] = atoi(peers[1].in);
}

static void exec_after(void)
{
	assert_int_equal(kill(far.numbers[0], 0), 0);
	write_more(0, " world");
	peer_read(&peers[0]);
	expect_in(0, "hello world");
	peer_shut(&peers[0], MP_SHUT_WRITE);
	rig_wait(&rig, peer_has_ended, &peers[0]);
	assert_int_equal(peers[0].in_error, ECONNRESET);
	assert_int_equal(peers[0].stream->ops->reason(peers[0].stream), MP_REASON_EXITED | 3);
	/* The other one is ended as any. */
	peer_close(&peers[0], MP_END_WHOLE);
	peer_close(&peers[1], MP_END_WHOLE);
	end_service();
	assert_int_equal(kill(far.numbers[1], 0), -1);
}

/* A program that has exited, whose last bytes and status were not read. */
static bool is_zombie(void *context)
{
	char path[64], text[512] = "";
	int fd;

	(void)context;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)far.numbers[0]);
	fd = open(path, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strstr(text, ") Z ");
}

static void exited_before(void)
{
	begin("exec:sh -c 'echo $$; sleep 0.2; echo last; exit 4'");
	open_peer(0, "", 0);
	rig_wait(&rig, has_pid, &peers[0]);
	far.numbers[0] = atoi(peers[0].in);
	deaf(0);
	rig_wait(&rig, is_zombie, NULL);
}

static void exited_after(void)
{
	peer_read(&peers[0]);
	rig_wait(&rig, peer_has_ended, &peers[0]);
	assert_int_equal(peers[0].in_error, ECONNRESET);
	assert_int_equal(peers[0].stream->ops->reason(peers[0].stream), MP_REASON_EXITED | 4);
}

/* A spawner that is late with its starts is killed, and they fail. Here it has its time. */
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
static bool is_finishing;

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	return __real_poll(fds, count, is_finishing ? RIG_LIMIT_MS : timeout);
}

/* Starts that are under way, more than are handed to the spawner at once. */
static void starts_before(void)
{
	begin("exec:cat");
	for (int i = 0; i < PEERS; i++)
		open_peer(i, "", 0);
	/* One round hands them to the spawner. */
	if (far.numbers[3])
		rig_rounds(&rig, 1);
	is_finishing = true;
	spawner_finish();
	is_finishing = false;
}

static void asked_before(void)
{
	far.numbers[3] = 1;
	starts_before();
}

static void starts_after(void)
{
	for (int i = 0; i < PEERS; i++) {
		peers[i].out = "hello";
		peers[i].out_len = 5;
		if (peers[i].connected)
			peer_write(&peers[i]);
		rig_wait(&rig, peer_is_settled, &peers[i]);
		assert_true(peers[i].connected);
		expect_in(i, "hello");
		peer_shut(&peers[i], MP_SHUT_WRITE);
		expect_end(i);
	}
}

/* A program that the next one has no descriptor for is ended, and waited for. */
int __real_pidfd_open(pid_t pid, unsigned int flags);
int __wrap_pidfd_open(pid_t pid, unsigned int flags);
int __wrap_pidfd_open(pid_t pid, unsigned int flags)
{
	if (!getenv("HAS_NO_PIDFD"))
		return __real_pidfd_open(pid, flags);
	errno = EMFILE;
	return -1;
}

static void unwatched_before(void)
{
	begin("exec:sh -c 'echo $$; exec sleep 1000'");
	open_peer(0, "", 0);
	rig_wait(&rig, has_pid, &peers[0]);
	far.numbers[0] = atoi(peers[0].in);
	setenv("HAS_NO_PIDFD", "", 1);
}

static void unwatched_after(void)
{
	assert_true(results[0] < 0);
	assert_null(peers[0].stream);
	assert_int_equal(kill(far.numbers[0], 0), -1);
}

/* A program that was told to end and does not, and one that a leaving channel waits for. */
static void released_before(void)
{
	begin("exec:sh -c 'trap \"\" TERM; echo $$; exec sleep 1000'");
	open_peer(0, "", 0);
	rig_wait(&rig, has_pid, &peers[0]);
	far.numbers[0] = atoi(peers[0].in);
	peer_close(&peers[0], MP_END_WHOLE);
}

static void released_after(void)
{
	assert_int_equal(kill(far.numbers[0], 0), 0);
	end_service();
	assert_int_equal(kill(far.numbers[0], 0), -1);
}

static void left_program_before(void)
{
	char uri[256];

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "out"));
	snprintf(uri, sizeof(uri), "exec:sh -c 'echo $$; sleep 0.1; cat > %s'", far.path);
	begin(uri);
	open_peer(0, "", 0);
	rig_wait(&rig, has_pid, &peers[0]);
	far.numbers[0] = atoi(peers[0].in);
	write_more(0, "all of it");
	peer_shut(&peers[0], MP_SHUT_WRITE);
	leave_peer(&peers[0], MP_END_WHOLE);
}

static void left_program_after(void)
{
	char got[32] = "";
	int fd;

	assert_int_equal(leave_count(), 1);
	rig_wait(&rig, nothing_is_left, NULL);
	assert_int_equal(left_places, 0);
	fd = open(far.path, O_RDONLY);
	assert_int_equal(read(fd, got, sizeof(got)), 9);
	assert_string_equal(got, "all of it");
	close(fd);
	unlink(far.path);
}

static const struct handover all[] = {
	{ "exec", exec_before, exec_after },
	{ "exited", exited_before, exited_after },
	{ "queued_starts", starts_before, starts_after },
	{ "asked_starts", asked_before, starts_after },
	{ "unwatched", unwatched_before, unwatched_after },
	{ "released", released_before, released_after },
	{ "left_program", left_program_before, left_program_after },
};
#define CASES (sizeof(all) / sizeof(all[0]))

int main(int argc, char **argv)
{
	struct CMUnitTest tests[CASES];

	if (argc > 2)
		return handover_play(argc, argv, all);
	handover_make_tests(tests, all, CASES);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
