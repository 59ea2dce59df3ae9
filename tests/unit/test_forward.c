// SPDX-License-Identifier: MIT
/*
 * manyport forward, without a guest: what becomes of bytes and ends. See forward_rig.h. What is
 * looked at is the far end of each connection: how many bytes came, and whether an end or a reset.
 */
#include "forward_rig.h"

#include <dirent.h>

/* ---- a client that is reset ---- */

static void a_reset_is_passed_on(void **state)
{
	struct relayed r = relay(AF_INET, AF_INET);
	size_t bytes;

	(void)state;
	send_all(r.client, 50000);
	receive_all(r.service, 50000);
	reset(r.client);
	assert_int_equal(read_over(r.service, &bytes), ECONNRESET);
	assert_int_equal(bytes, 0);
	r.client = -1;
	over(&r);
}

static void a_reset_behind_a_stall(void **state)
{
	struct relayed r = relay(AF_INET, AF_INET);
	size_t len = fill(r.client), bytes;

	(void)state;
	reset(r.client);
	assert_int_equal(read_over(r.service, &bytes), ECONNRESET);
	assert_true(bytes <= len);
	r.client = -1;
	over(&r);
}

/* ---- a client that does not listen ---- */

#define UPLOAD 1500000
#define SOCKET_ROOM 150000	/* about; more than what lies between forwarder and service */

/*
 * Takes the upload, and says so for each piece, whether or not the client listens. Not for the
 * last pieces: sockets in place of channels know no close that throws away what still comes,
 * so the forwarder must not be able to close before the last word.
 */
static size_t take_and_talk(int fd, int *error)
{
	static char buf[4096];
	size_t bytes = 0;
	ssize_t ret;

	while ((ret = recv(fd, buf, sizeof(buf), 0)) > 0) {
		bytes += ret;
		if (bytes < UPLOAD - 2 * SOCKET_ROOM &&
		    send(fd, "progress\n", 9, MSG_NOSIGNAL) != 9)
			break;
	}
	*error = ret ? errno : 0;
	return bytes;
}

static void upload_unheard(int client, int service)
{
	struct relayed r = relay(client, service);
	size_t bytes;
	pid_t pid = fork();
	int error;

	assert_true(pid >= 0);
	if (!pid) {
		/* Says its end, sees to it that it was heard, and leaves answers unread. */
		send_all(r.client, UPLOAD);
		shutdown(r.client, SHUT_WR);
		if (client == AF_INET)
			await_acknowledged(r.client);
		receive_all(r.client, 9);
		_exit(0);
	}
	close(r.client);
	bytes = take_and_talk(r.service, &error);
	assert_int_equal(error, 0);
	assert_int_equal(bytes, UPLOAD);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	r.client = -1;
	over(&r);
}

static void an_upload_unheard_arrives(void **state)
{
	(void)state;
	upload_unheard(AF_UNIX, AF_INET);
	upload_unheard(AF_UNIX, AF_UNIX);
	upload_unheard(AF_INET, AF_INET);
	upload_unheard(AF_INET, AF_UNIX);
}

/* As a client that was killed: nothing but a close, with answers unread. */
static void a_unix_client_that_goes_has_ended(void **state)
{
	struct relayed r = relay(AF_UNIX, AF_INET);
	size_t bytes;

	(void)state;
	send_all(r.service, 1000);
	receive_all(r.client, 1);
	send_all(r.client, 100000);
	close(r.client);
	assert_int_equal(read_over(r.service, &bytes), 0);
	assert_int_equal(bytes, 100000);
	r.client = -1;
	over(&r);
}

/* It goes on to speak when it listens no more: both goes its way. */
static void a_unix_client_that_stops_listening(void **state)
{
	struct relayed r = relay(AF_UNIX, AF_UNIX);
	size_t bytes;

	(void)state;
	assert_int_equal(shutdown(r.client, SHUT_RD), 0);
	send_all(r.service, 1000000);
	/* Read by the forwarder: a socket closed with unread bytes is reset, a channel is not. */
	await_acknowledged(r.service);
	send_all(r.client, 100000);
	shutdown(r.client, SHUT_WR);
	assert_int_equal(read_over(r.service, &bytes), 0);
	assert_int_equal(bytes, 100000);
	over(&r);
}

/* ---- what was sent to the client reaches it ---- */

#define ANSWER 100000

/* A client that has room for little, so that most of an answer is on its way. */
static struct relayed relay_slow(int service)
{
	struct relayed r = relay(AF_INET, service);
	const int little = 4096;

	assert_int_equal(setsockopt(r.client, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
	return r;
}

static void an_answer_before_a_failure_arrives(void **state)
{
	struct relayed r = relay_slow(AF_UNIX);
	size_t bytes;

	(void)state;
	send_all(r.client, 1);
	/* It closes with a byte unread: a reset, behind its answer. */
	while (recv(r.service, &(char){ 0 }, 1, MSG_PEEK) != 1)
		;
	send_all(r.service, ANSWER);
	close(r.service);
	assert_int_equal(read_over(r.client, &bytes), ECONNRESET);
	assert_int_equal(bytes, ANSWER);
	r.service = -1;
	over(&r);
}

static void an_answer_beside_an_upload_arrives(void **state)
{
	struct relayed r = relay_slow(AF_UNIX);
	size_t bytes;

	(void)state;
	fill(r.client);
	/* The service says what is wrong, and ends; the rest of the upload is never read. */
	send_all(r.service, ANSWER);
	close(r.service);
	read_over(r.client, &bytes);
	assert_int_equal(bytes, ANSWER);
	r.service = -1;
	over(&r);
}

/* ---- the end of the process ---- */

static void sigterm_cuts_what_has_not_ended(void **state)
{
	struct relayed r = relay(AF_INET, AF_INET);
	size_t bytes;

	(void)state;
	send_all(r.client, 1000);
	receive_all(r.service, 1000);
	send_all(r.service, 1000);
	receive_all(r.client, 1000);
	end_forwarder(&r);
	assert_int_equal(read_over(r.service, &bytes), ECONNRESET);
	assert_int_equal(read_over(r.client, &bytes), ECONNRESET);
	over(&r);
}

static void sigterm_cuts_nothing_that_has_ended(void **state)
{
	struct relayed r = relay(AF_INET, AF_INET);
	size_t bytes;

	(void)state;
	send_all(r.client, 1000);
	shutdown(r.client, SHUT_WR);
	assert_int_equal(read_over(r.service, &bytes), 0);
	assert_int_equal(bytes, 1000);
	end_forwarder(&r);
	/* Its answer had not ended. */
	assert_int_equal(read_over(r.client, &bytes), ECONNRESET);
	assert_int_equal(read_over(r.service, &bytes), 0);
	over(&r);
}

/* ---- what it says, and what it costs ---- */

static int count_fds(pid_t pid)
{
	char folder[50];
	int count = 0;
	DIR *dir;

	snprintf(folder, sizeof(folder), "/proc/%d/fd", pid);
	dir = opendir(folder);
	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* It closes what it has no use for after the other end has seen the connection's end. */
static void await_fds(pid_t pid, int count)
{
	for (int i = 0; i < 6000 && count_fds(pid) != count; i++)
		usleep(10 * 1000);
	assert_int_equal(count_fds(pid), count);
}

static void send_descriptor(int to, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { "data", 4 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	assert_int_equal(sendmsg(to, &message, 0), 4);
}

static void a_descriptor_cannot_travel(void **state)
{
	struct relayed r = relay(AF_UNIX, AF_INET);
	int pipe_ends[2], before;
	size_t bytes;

	(void)state;
	send_all(r.client, 100);
	receive_all(r.service, 100);
	before = count_fds(r.forwarder);
	assert_int_equal(pipe(pipe_ends), 0);
	send_descriptor(r.client, pipe_ends[1]);
	close(pipe_ends[1]);
	/* No process has the descriptor any more, and the service must not take a part for all. */
	assert_int_equal(read(pipe_ends[0], &(char){ 0 }, 1), 0);
	expect_line("a descriptor, which cannot travel");
	assert_int_equal(read_over(r.service, &bytes), ECONNRESET);
	assert_int_equal(bytes, 0);
	assert_int_equal(recv(r.client, &(char){ 0 }, 1, 0), 0);
	await_fds(r.forwarder, before - 2);
	close(pipe_ends[0]);
	over(&r);
}

static void v_says_how_connections_end(void **state)
{
	struct relayed r = relay_with(AF_INET, AF_INET, "-v");

	(void)state;
	send_all(r.client, 3);
	receive_all(r.service, 3);
	send_all(r.service, 5);
	receive_all(r.client, 5);
	shutdown(r.client, SHUT_WR);
	shutdown(r.service, SHUT_WR);
	expect_line("'name': connection ended: whole, 3 bytes out, 5 in");
	close(r.client);
	close(r.service);
	r.client = dial_forwarder(AF_INET, r.port);
	r.service = accept(service_listener, NULL, NULL);
	reset(r.client);
	r.client = -1;
	expect_line("Connection reset by peer");
	over(&r);
}

/* The service's socket has no listener yet. */
static void start_unserved(struct relayed *r, const char *name, const char *option)
{
	char listen_at[100];

	name_sockets();
	service_family = AF_UNIX;
	service_listener = listen_for(AF_UNIX);
	close(service_listener);
	snprintf(listen_at, sizeof(listen_at), "%s:%s", unix_path[1], name);
	r->forwarder = START("-L", listen_at, option);
	await_listener();
}

static void wait_tries_again(void **state)
{
	struct relayed r = { 0 };

	(void)state;
	tells_tries = true;
	start_unserved(&r, "name", "--wait");
	r.client = dial_forwarder(AF_UNIX, 0);
	send_all(r.client, 100);
	expect_line("nobody is there");
	expect_line("nobody is there");
	unlink(unix_path[0]);
	service_listener = listen_for(AF_UNIX);
	r.service = accept(service_listener, NULL, NULL);
	assert_true(r.service >= 0);
	receive_all(r.service, 100);
	over(&r);
	/* For so long, and then it is refused. */
	start_unserved(&r, "name", "--wait=120ms");
	r.client = dial_forwarder(AF_UNIX, 0);
	while (!strstr(next_line(), "ECONNREFUSED"))
		;
	tells_tries = false;
	assert_true(recv(r.client, &(char){ 0 }, 1, 0) <= 0);
	r.service = -1;
	over(&r);
}

/* It is not tried for without end: what was opened for it is closed. */
static void wait_ends_with_the_client(void **state)
{
	struct relayed r = { .service = -1 };
	int before;

	(void)state;
	tells_tries = true;
	start_unserved(&r, "name", "--wait");
	before = count_fds(r.forwarder);
	r.client = dial_forwarder(AF_UNIX, 0);
	expect_line("nobody is there");
	close(r.client);
	r.client = -1;
	tells_tries = false;
	await_fds(r.forwarder, before);
	over(&r);
}

static void a_late_refusal_is_told(void **state)
{
	struct relayed r = { .service = -1 };

	(void)state;
	refuses_late = true;
	start_unserved(&r, "", NULL);
	r.client = dial_forwarder(AF_UNIX, 0);
	expect_line("no channel (ECONNREFUSED)");
	assert_true(recv(r.client, &(char){ 0 }, 1, 0) <= 0);
	refuses_late = false;
	over(&r);
}

/* @bytes and an end of the client, which the first channels refuse. */
static void expect_late_tries(size_t bytes)
{
	struct relayed r = { 0 };
	size_t came;

	refuses_late = tells_tries = true;
	start_unserved(&r, "", "--wait");
	r.client = dial_forwarder(AF_UNIX, 0);
	send_all(r.client, bytes);
	shutdown(r.client, SHUT_WR);
	expect_line("nobody is there");
	expect_line("nobody is there");
	unlink(unix_path[0]);
	service_listener = listen_for(AF_UNIX);
	r.service = accept(service_listener, NULL, NULL);
	assert_true(r.service >= 0);
	assert_int_equal(read_over(r.service, &came), 0);
	assert_int_equal(came, bytes);
	refuses_late = tells_tries = false;
	over(&r);
}

static void wait_tries_again_for_a_fixed_service(void **state)
{
	(void)state;
	expect_late_tries(0);
	expect_late_tries(100);
}

static void refusals_fill_no_log(void **state)
{
	struct relayed r = { .client = -1, .service = -1 };
	char said[50000];
	size_t lines = 0, told = 0;
	ssize_t len;

	(void)state;
	start_unserved(&r, "name", NULL);
	for (int i = 0; i < 100; i++) {
		int fd = dial_forwarder(AF_UNIX, 0);

		assert_true(recv(fd, &(char){ 0 }, 1, 0) <= 0);
		close(fd);
	}
	end_forwarder(&r);
	close(message_pipe[1]);
	len = read(message_pipe[0], said, sizeof(said));
	assert_in_range(len, 1, sizeof(said) - 1);
	said[len] = '\0';
	for (const char *line = said; line && *line; line = strchr(line, '\n') + 1) {
		const char *count = strstr(line, "warning: ");
		unsigned int omitted;

		lines++;
		if (count && sscanf(count, "warning: %u lines", &omitted) == 1)
			told += omitted;
		else if (count)
			told++;
	}
	/* Ten at once, and then one a second; and how many were left out, also at the end. */
	assert_in_range(lines, 10, 40);
	assert_int_equal(told, 100);
	over(&r);
}

static void connect_as(uid_t uid)
{
	char byte;
	int fd;

	if (setgid(uid) || setuid(uid))
		_exit(1);
	fd = dial_unix(unix_path[1]);
	_exit(fd < 0 || recv(fd, &byte, 1, 0) < 0);
}

static void a_channel_is_the_clients(void **state)
{
	struct relayed r = { .client = -1 };
	char listen_at[100];

	(void)state;
	if (getuid())
		skip();
	name_sockets();
	service_family = AF_UNIX;
	service_listener = listen_for(AF_UNIX);
	snprintf(listen_at, sizeof(listen_at), "%s,mode=0666:name", unix_path[1]);
	r.forwarder = START("--as-client", "-L", listen_at);
	await_listener();
	for (uid_t uid = 1; uid < 3; uid++) {
		char words[50];
		pid_t pid = fork();

		if (!pid)
			connect_as(uid);
		snprintf(words, sizeof(words), "name as %u, %u", uid, uid);
		expect_line(words);
		if (uid == 2)
			expect_line("EPERM");
		/* One is served, the other one is not: never with the forwarder's own rights. */
		r.service = accept(service_listener, NULL, NULL);
		assert_true(r.service >= 0);
		if (uid == 2)
			assert_int_equal(recv(r.service, &(char){ 0 }, 1, 0), 0);
		close(r.service);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	r.service = -1;
	over(&r);
}

static unsigned long reads_of(pid_t pid)
{
	char path[50], line[100];
	unsigned long reads = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/io", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "syscr: %lu", &reads);
	fclose(file);
	return reads;
}

/* A short read is not followed by another that finds nothing. */
static void a_round_trip_is_two_reads(void **state)
{
	struct relayed r = relay(AF_INET, AF_UNIX);
	unsigned long before = reads_of(r.forwarder);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		send_all(r.client, 64);
		receive_all(r.service, 64);
		send_all(r.service, 64);
		receive_all(r.client, 64);
	}
	/* A read may come between the bytes and their event, which then finds nothing. */
	assert_in_range(reads_of(r.forwarder) - before, 2000, 2400);
	over(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reset_is_passed_on),
		cmocka_unit_test(a_reset_behind_a_stall),
		cmocka_unit_test(an_upload_unheard_arrives),
		cmocka_unit_test(a_unix_client_that_goes_has_ended),
		cmocka_unit_test(a_unix_client_that_stops_listening),
		cmocka_unit_test(an_answer_before_a_failure_arrives),
		cmocka_unit_test(an_answer_beside_an_upload_arrives),
		cmocka_unit_test(sigterm_cuts_what_has_not_ended),
		cmocka_unit_test(sigterm_cuts_nothing_that_has_ended),
		cmocka_unit_test(a_descriptor_cannot_travel),
		cmocka_unit_test(v_says_how_connections_end),
		cmocka_unit_test(wait_tries_again),
		cmocka_unit_test(wait_ends_with_the_client),
		cmocka_unit_test(a_late_refusal_is_told),
		cmocka_unit_test(wait_tries_again_for_a_fixed_service),
		cmocka_unit_test(refusals_fill_no_log),
		cmocka_unit_test(a_channel_is_the_clients),
		cmocka_unit_test(a_round_trip_is_two_reads),
	};

	/* What hangs ends here, and says so by its status. */
	alarm(600);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
