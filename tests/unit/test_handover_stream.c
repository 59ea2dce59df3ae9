// SPDX-License-Identifier: MIT
/* Streams of sockets and of our own services, in each phase, that another program goes on with. */
#include "handover_streams.h"

/* --- unix ------------------------------------------------------------------------- */

static void unix_before(void)
{
	char uri[256];
	int listener;

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "s"));
	listener = listen_at(far.path, 8);
	snprintf(uri, sizeof(uri), "unix:%s", far.path);
	begin(uri);
	open_peer(0, "hello", 1);
	open_peer(1, "other", 1);
	far.fds[0] = accept(listener, NULL, NULL);
	far.fds[1] = accept(listener, NULL, NULL);
	far.fds[2] = listener;
	/* Bytes that were not read yet, in both directions; and an end of one. */
	assert_int_equal(write(far.fds[0], "unread", 6), 6);
	peer_shut(&peers[1], MP_SHUT_WRITE);
}

static void unix_after(void)
{
	write_more(0, " world");
	expect_far(far.fds[0], "hello world");
	expect_in(0, "unread");
	expect_far(far.fds[1], "other");
	expect_far_end(far.fds[1]);
	assert_int_equal(write(far.fds[1], "answer", 6), 6);
	close(far.fds[1]);
	expect_in(1, "answer");
	expect_end(1);
	peer_shut(&peers[0], MP_SHUT_WRITE);
	expect_far_end(far.fds[0]);
	close(far.fds[0]);
	expect_end(0);
	close(far.fds[2]);
	unlink(far.path);
}

/* A backlog that is full: who waited connects when there is room. */
static void unix_waits_before(void)
{
	char uri[256];

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "s"));
	far.fds[0] = listen_at(far.path, 0);
	snprintf(uri, sizeof(uri), "unix:%s", far.path);
	begin(uri);
	open_peer(0, "first", 1);
	open_peer(1, "second", 0);
}

static void unix_waits_after(void)
{
	int fds[2];

	assert_int_equal(results[0], 1);
	assert_int_equal(results[1], 0);
	peers[1].out = "second";
	peers[1].out_len = 6;
	fds[0] = accept(far.fds[0], NULL, NULL);
	rig_wait(&rig, peer_is_settled, &peers[1]);
	assert_true(peers[1].connected);
	fds[1] = accept(far.fds[0], NULL, NULL);
	expect_far(fds[0], "first");
	expect_far(fds[1], "second");
	close(fds[0]);
	close(fds[1]);
	close(far.fds[0]);
	unlink(far.path);
}

/* A service that took what it could: room that comes later is told of. */
static char *flood(void)
{
	static char bytes[8 << 20];

	memset(bytes, 'x', sizeof(bytes) - 1);
	return bytes;
}

static void unix_full_before(void)
{
	char uri[256];

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "s"));
	far.fds[1] = listen_at(far.path, 8);
	snprintf(uri, sizeof(uri), "unix:%s", far.path);
	begin(uri);
	open_peer(0, flood(), 1);
	assert_true(peers[0].out_done < peers[0].out_len);
	far.fds[0] = accept(far.fds[1], NULL, NULL);
	far.numbers[0] = peers[0].out_done;
}

static void unix_full_after(void)
{
	static char sink[1 << 20];
	size_t total = 0;

	peers[0].out = flood();
	peers[0].out_len = strlen(peers[0].out);
	peers[0].out_done = far.numbers[0];
	fcntl(far.fds[0], F_SETFL, O_NONBLOCK);
	while (total < peers[0].out_len) {
		ssize_t len = read(far.fds[0], sink, sizeof(sink));

		if (len > 0)
			total += len;
		else
			rig_rounds(&rig, 1);
	}
	assert_int_equal(peers[0].out_done, peers[0].out_len);
	close(far.fds[0]);
	close(far.fds[1]);
	unlink(far.path);
}

/* --- tcp -------------------------------------------------------------------------- */

static int tcp_listener(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char uri[64];

	assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	getsockname(fd, (struct sockaddr *)&name, &len);
	snprintf(uri, sizeof(uri), "tcp:127.0.0.1:%d", ntohs(name.sin_port));
	begin(uri);
	return fd;
}

static void tcp_before(void)
{
	far.fds[1] = tcp_listener();
	open_peer(0, "hello", 0);
	rig_wait(&rig, peer_is_settled, &peers[0]);
	far.fds[0] = accept(far.fds[1], NULL, NULL);
	assert_int_equal(write(far.fds[0], "unread", 6), 6);
	/* And one that is under way. */
	open_peer(1, "", 0);
}

static void tcp_after(void)
{
	int fd;

	assert_int_equal(results[0], 1);
	peers[1].out = "late";
	peers[1].out_len = 4;
	write_more(0, " world");
	expect_far(far.fds[0], "hello world");
	expect_in(0, "unread");
	close(far.fds[0]);
	expect_end(0);
	rig_wait(&rig, peer_is_settled, &peers[1]);
	assert_true(peers[1].connected);
	/* The first try ended with the program before; the second has the bytes. */
	fd = accept(far.fds[1], NULL, NULL);
	if (fd >= 0 && recv(fd, (char[1]){ 0 }, 1, MSG_PEEK) <= 0) {
		close(fd);
		fd = accept(far.fds[1], NULL, NULL);
	}
	expect_far(fd, "late");
	close(fd);
	close(far.fds[1]);
}

/* What is left of a channel still arrives, and then its reset. */
static void tcp_left_before(void)
{
	far.fds[1] = tcp_listener();
	open_peer(0, flood(), 0);
	rig_wait(&rig, peer_is_settled, &peers[0]);
	far.fds[0] = accept(far.fds[1], NULL, NULL);
	rig_rounds(&rig, 5);
	far.numbers[0] = peers[0].out_done;
	assert_true(leave_queued(((int *)&far.fds[0])[0]) == 0);
	leave_peer(&peers[0], MP_END_CUT);
	assert_int_equal(leave_count(), 1);
}

static void tcp_left_after(void)
{
	static char sink[1 << 16];
	size_t total = 0;
	ssize_t len = 1;

	assert_int_equal(leave_count(), 1);
	while (total < far.numbers[0] && len > 0) {
		len = read(far.fds[0], sink, sizeof(sink));
		total += len > 0 ? len : 0;
	}
	assert_int_equal(total, far.numbers[0]);
	rig_wait(&rig, nothing_is_left, NULL);
	assert_int_equal(left_places, 0);
	assert_int_equal(read(far.fds[0], sink, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(far.fds[0]);
	close(far.fds[1]);
}

/* --- unix-listen ------------------------------------------------------------------- */

static void listen_before(void)
{
	char uri[256];

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "s"));
	snprintf(uri, sizeof(uri), "unix-listen:%s", far.path);
	begin(uri);
	far.fds[0] = connect_to(far.path);
	open_peer(0, "hello", 1);
	/* Both wait, and the second for longer. */
	open_peer(2, "", 0);
	open_peer(1, "", 0);
}

static void listen_after(void)
{
	int clients[2];

	assert_int_equal(results[0], 1);
	assert_int_equal(results[1], 0);
	assert_int_equal(results[2], 0);
	unix_listeners_forget();
	expect_far(far.fds[0], "hello");
	peers[1].out = "one";
	peers[1].out_len = 3;
	peers[2].out = "two";
	peers[2].out_len = 3;
	clients[0] = connect_to(far.path);
	clients[1] = connect_to(far.path);
	rig_wait(&rig, peer_is_settled, &peers[1]);
	expect_far(clients[0], "two");
	expect_far(clients[1], "one");
	close(clients[0]);
	close(clients[1]);
	close(far.fds[0]);
}

/* A client that was given back, and two that were not accepted: in order. */
static void clients_before(void)
{
	char uri[256];

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "s"));
	snprintf(uri, sizeof(uri), "unix-listen:%s", far.path);
	begin(uri);
	for (int i = 0; i < 3; i++)
		far.fds[i] = connect_to(far.path);
	open_peer(0, "", 1);
	peers[0].stream->ops->unused(peers[0].stream);
	peer_close(&peers[0], MP_END_ABORT);
}

static void clients_after(void)
{
	static const char *const out[] = { "one", "two", "three" };

	unix_listeners_forget();
	for (int i = 0; i < 3; i++) {
		open_peer(i, out[i], 1);
		expect_far(far.fds[i], out[i]);
		close(far.fds[i]);
	}
}

/* --- Services of our own ------------------------------------------------------------ */

static void echo_before(void)
{
	begin("echo");
	open_peer(0, "hello", 1);
	deaf(0);
	open_peer(1, "", 1);
}

static void echo_after(void)
{
	expect_in(0, "hello");
	write_more(1, "again");
	expect_in(1, "again");
	peer_shut(&peers[0], MP_SHUT_WRITE);
	expect_end(0);
}

static void pingpong_before(void)
{
	begin("pingpong:4");
	open_peer(0, "abcdef", 1);
	deaf(0);
}

static void pingpong_after(void)
{
	write_more(0, "gh");
	wanted = 8;
	rig_wait(&rig, has_wanted, &peers[0]);
	assert_memory_equal(peers[0].in, "\0\1\2\3\0\1\2\3", 8);
}

static void zero_before(void)
{
	struct iovec iov = { (char[300]){ 0 }, 300 };

	begin("zero:1000");
	open_peer(0, "", 1);
	deaf(0);
	assert_int_equal(peers[0].stream->ops->readv(peers[0].stream, &iov, 1), 300);
}

static void zero_after(void)
{
	expect_end(0);
	assert_int_equal(peers[0].in_len, 700);
}

static void null_before(void)
{
	begin("null");
	open_peer(0, "anything", 1);
	open_peer(1, "", 1);
	rig_rounds(&rig, 2);
	peer_shut(&peers[1], MP_SHUT_WRITE);
}

static void null_after(void)
{
	expect_end(1);
	assert_false(peers[0].in_end);
	write_more(0, "more");
	assert_int_equal(peers[0].out_done, 4);
	peer_shut(&peers[0], MP_SHUT_WRITE);
	expect_end(0);
}

static void throttle_before(void)
{
	begin("throttle:10K");
	open_peer(0, flood(), 1);
	rig_rounds(&rig, 5);
	far.numbers[0] = peers[0].out_done;
	far.numbers[1] = peers[0].in_len;
	assert_true(far.numbers[0] < 4096);
}

static void throttle_after(void)
{
	peers[0].out = flood();
	peers[0].out_len = 4096;
	peers[0].out_done = far.numbers[0];
	peers[0].shut_after = true;
	expect_end(0);
	assert_int_equal(peers[0].in_len + far.numbers[1], 4096);
}

static const struct handover all[] = {
	{ "unix", unix_before, unix_after },
	{ "unix_waits", unix_waits_before, unix_waits_after },
	{ "unix_full", unix_full_before, unix_full_after },
	{ "tcp", tcp_before, tcp_after },
	{ "tcp_left", tcp_left_before, tcp_left_after },
	{ "listen", listen_before, listen_after },
	{ "clients", clients_before, clients_after },
	{ "echo", echo_before, echo_after },
	{ "pingpong", pingpong_before, pingpong_after },
	{ "zero", zero_before, zero_after },
	{ "null", null_before, null_after },
	{ "throttle", throttle_before, throttle_after },
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
