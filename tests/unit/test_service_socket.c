// SPDX-License-Identifier: MIT
/* unix:, unix-listen: and tcp: against real sockets. */
#include "service_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct rig rig;
static int fds_before;

static int setup(void **state)
{
	(void)state;
	fds_before = rig_count_fds();
	rig_init(&rig);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_fini(&rig);
	assert_int_equal(rig_count_fds(), fds_before);
	return 0;
}

static socklen_t unix_name(struct sockaddr_un *name, const char *path)
{
	memset(name, 0, sizeof(*name));
	name->sun_family = AF_UNIX;
	assert_true(strlen(path) < sizeof(name->sun_path));
	strcpy(name->sun_path, path);
	return sizeof(*name);
}

/* A listening socket, with our own blocking ends of what connects to it. */
static int listen_at(const char *path, int backlog)
{
	struct sockaddr_un name;
	socklen_t len = unix_name(&name, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (path[0] == '@') {
		len = offsetof(struct sockaddr_un, sun_path) + strlen(path);
		name.sun_path[0] = 0;
	}
	assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static int connect_to(const char *path)
{
	struct sockaddr_un name;
	socklen_t len = unix_name(&name, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&name, len)) {
		close(fd);
		return -errno;
	}
	return fd;
}

static struct mp_service *unix_service(const char *path)
{
	char uri[160];

	snprintf(uri, sizeof(uri), "unix:%s", path);
	return rig_service(&rig, uri);
}

static bool has_five(void *context)
{
	return ((struct test_peer *)context)->in_len >= 5;
}

static void check_both_ways(struct test_peer *peer, int server)
{
	char bytes[16];

	assert_int_equal(peer->out_done, 5);
	assert_int_equal(read(server, bytes, sizeof(bytes)), 5);
	assert_memory_equal(bytes, "hello", 5);
	assert_int_equal(write(server, "there", 5), 5);
	rig_wait(&rig, has_five, peer);
	peer_shut(peer, MP_SHUT_WRITE);
	assert_int_equal(read(server, bytes, sizeof(bytes)), 0);
	assert_false(peer->in_end);
	assert_int_equal(write(server, "!", 1), 1);
	close(server);
	rig_wait(&rig, peer_has_ended, peer);
	assert_true(peer->in_end);
	assert_int_equal(peer->in_len, 6);
	assert_memory_equal(peer->in, "there!", 6);
}

static void unix_both_ways(void **state)
{
	const char *paths[] = { rig_path(&rig, "s"), "@manyport-test" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		int listener = listen_at(paths[i], 5);
		struct mp_service *service = unix_service(paths[i]);
		struct test_peer peer;

		assert_int_equal(peer_open(&peer, service, "hello", 5), 1);
		check_both_ways(&peer, accept(listener, NULL, NULL));
		peer_close(&peer, false);
		service_destroy(service);
		close(listener);
	}
	unlink(paths[0]);
}

static void unix_refusals(void **state)
{
	char path[128];
	struct mp_service *service;
	struct test_peer peer;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	service = unix_service(path);
	assert_int_equal(peer_open(&peer, service, NULL, 0), -MP_REASON_NOT_LISTENING);
	close(listen_at(path, 5));
	assert_int_equal(peer_open(&peer, service, NULL, 0), -MP_REASON_NOT_LISTENING);
	unlink(path);
	if (geteuid()) {
		int listener = listen_at(path, 5);

		chmod(path, 0);
		assert_int_equal(peer_open(&peer, service, NULL, 0), -MP_REASON_DENIED);
		close(listener);
		unlink(path);
	}
	service_destroy(service);
}

struct peers {
	struct test_peer *peers;
	int count, wanted;
};

static bool enough_connected(void *context)
{
	struct peers *some = context;
	int connected = 0;

	for (int i = 0; i < some->count; i++)
		connected += some->peers[i].connected;
	return connected >= some->wanted;
}

/* A full backlog: connect() says EAGAIN, and goes through once there is room. */
static void unix_full_backlog(void **state)
{
	char path[128];
	struct mp_service *service;
	struct test_peer peers[4];
	struct peers some = { peers, 4, 0 };
	int listener, waiting = 0, accepted;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 0);
	service = unix_service(path);
	for (int i = 0; i < 4; i++)
		waiting += !peer_open(&peers[i], service, "hello", 5);
	assert_true(waiting >= 2);
	rig_rounds(&rig, 20);
	assert_false(peers[3].connected);
	assert_false(peers[3].refused);
	/* One is closed while it waits: nothing more is heard of it. */
	peer_close(&peers[2], true);
	for (some.wanted = 1; some.wanted <= 3; some.wanted++) {
		rig_wait(&rig, enough_connected, &some);
		accepted = accept(listener, NULL, NULL);
		assert_true(accepted >= 0);
		close(accepted);
	}
	for (int i = 0; i < 4; i++)
		peer_close(&peers[i], true);
	service_destroy(service);
	close(listener);
	unlink(path);
}

/* The listener goes away while a connect waits. */
static void unix_backlog_then_refused(void **state)
{
	char path[128];
	struct mp_service *service;
	struct test_peer peers[3];
	int listener;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 0);
	service = unix_service(path);
	for (int i = 0; i < 3; i++)
		peer_open(&peers[i], service, NULL, 0);
	assert_false(peers[2].connected);
	close(listener);
	rig_wait(&rig, peer_is_settled, &peers[2]);
	assert_int_equal(peers[2].refused, MP_REASON_NOT_LISTENING);
	for (int i = 0; i < 3; i++)
		peer_close(&peers[i], true);
	service_destroy(service);
	unlink(path);
}

struct slow_reader {
	struct test_peer *peer;
	int fd;
	size_t len;
	const char *expect;
};

static bool reads_some(void *context)
{
	struct slow_reader *reader = context;
	char bytes[50000];
	ssize_t len = recv(reader->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (len > 0) {
		assert_memory_equal(bytes, reader->expect + reader->len, len);
		reader->len += len;
	}
	return !len;
}

/* A service that reads nothing stops the writer, without an error; then it reads. */
static void unix_bulk_and_stall(void **state)
{
	const size_t len = 40 << 20;
	char path[128], *bytes = rig_pattern(len);
	struct mp_service *service;
	struct test_peer peer;
	struct slow_reader reader = { .peer = &peer, .expect = bytes };
	size_t stalled;
	int listener;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 5);
	service = unix_service(path);
	assert_int_equal(peer_open(&peer, service, bytes, len), 1);
	reader.fd = accept(listener, NULL, NULL);
	rig_rounds(&rig, 20);
	stalled = peer.out_done;
	assert_true(stalled < 20 << 20);
	rig_rounds(&rig, 20);
	assert_int_equal(peer.out_done, stalled);
	peer.shut_after = true;
	rig_wait(&rig, reads_some, &reader);
	assert_int_equal(reader.len, len);
	close(reader.fd);
	peer_close(&peer, false);
	service_destroy(service);
	close(listener);
	unlink(path);
	free(bytes);
}

/*
 * A server that answers and closes without having read everything: the answer
 * arrives, writing ends, and behind the answer comes a failure, not an end.
 */
static void unix_reset_keeps_the_answer(void **state)
{
	char path[128];
	struct mp_service *service;
	struct test_peer peer;
	int listener, server;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 5);
	service = unix_service(path);
	assert_int_equal(peer_open(&peer, service, "hello", 5), 1);
	server = accept(listener, NULL, NULL);
	assert_int_equal(write(server, "go away", 7), 7);
	close(server);
	/* This write meets the failure first. */
	peer.out_len = 10;
	peer.out = "hellohello";
	peer_write(&peer);
	assert_int_equal(peer.out_error, EPIPE);
	rig_wait(&rig, peer_has_ended, &peer);
	assert_int_equal(peer.in_len, 7);
	assert_memory_equal(peer.in, "go away", 7);
	assert_int_equal(peer.in_error, ECONNRESET);
	peer_close(&peer, false);
	service_destroy(service);
	close(listener);
	unlink(path);
}

/* --- tcp ------------------------------------------------------------------ */

static int tcp_listen(int family, unsigned short *port)
{
	struct sockaddr_in6 name6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr_in name4 = { .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *name = family == AF_INET ? (void *)&name4 : (void *)&name6;
	socklen_t len = family == AF_INET ? sizeof(name4) : sizeof(name6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, name, len)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, name, &len), 0);
	*port = ntohs(family == AF_INET ? name4.sin_port : name6.sin6_port);
	return fd;
}

static void check_tcp(const char *host, int family)
{
	char uri[64];
	struct mp_service *service;
	struct test_peer peer;
	unsigned short port;
	int listener = tcp_listen(family, &port), server;

	if (listener < 0) {
		print_message("no address family %d here\n", family);
		return;
	}
	snprintf(uri, sizeof(uri), "tcp:%s:%u", host, port);
	service = rig_service(&rig, uri);
	assert_true(peer_open(&peer, service, "hello", 5) >= 0);
	rig_wait(&rig, peer_is_settled, &peer);
	assert_true(peer.connected);
	server = accept(listener, NULL, NULL);
	rig_wait(&rig, peer_has_written, &peer);
	check_both_ways(&peer, server);
	peer_close(&peer, false);
	/* Nobody listens any more. */
	close(listener);
	if (peer_open(&peer, service, NULL, 0) == 0)
		rig_wait(&rig, peer_is_settled, &peer);
	assert_false(peer.connected);
	peer_close(&peer, false);
	service_destroy(service);
}

static void tcp_both_ways(void **state)
{
	(void)state;
	check_tcp("127.0.0.1", AF_INET);
	check_tcp("[::1]", AF_INET6);
	/* "localhost" may be ::1 first, where nobody listens: the next address. */
	check_tcp("localhost", AF_INET);
}

/* An abort is a reset for the server, an ordinary close an end. */
static void tcp_abort_resets(void **state)
{
	char uri[64], bytes[8];
	struct mp_service *service;
	struct test_peer peer;
	unsigned short port;
	int listener = tcp_listen(AF_INET, &port), server;

	(void)state;
	snprintf(uri, sizeof(uri), "tcp:127.0.0.1:%u", port);
	service = rig_service(&rig, uri);
	for (int abort = 0; abort < 2; abort++) {
		peer_open(&peer, service, NULL, 0);
		rig_wait(&rig, peer_is_settled, &peer);
		server = accept(listener, NULL, NULL);
		peer_close(&peer, abort);
		errno = 0;
		assert_int_equal(read(server, bytes, sizeof(bytes)), abort ? -1 : 0);
		assert_int_equal(errno, abort ? ECONNRESET : 0);
		close(server);
	}
	service_destroy(service);
	close(listener);
}

static void tcp_wrong_forms(void **state)
{
	static const char *const wrong[] = {
		"tcp:", "tcp:host", "tcp::80", "tcp:host:", "tcp:::1:80", "tcp:[::1]80",
		"tcp:[]:80", "tcp:127.0.0.1:noport",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct service_setup make = { .loop = rig.loop, .name = "test" };

		assert_null(service_create(&make, wrong[i]));
		assert_true(make.error[0]);
	}
}

/* --- unix-listen ------------------------------------------------------------ */

static struct mp_service *listen_service(const char *path, const char *option)
{
	char uri[160];

	snprintf(uri, sizeof(uri), "unix-listen:%s%s", path, option);
	return rig_service(&rig, uri);
}

/* Channels get clients in the order in which they were opened. */
static void listen_serves_in_order(void **state)
{
	char path[128], bytes[8];
	struct mp_service *service;
	struct test_peer peers[3];
	struct stat st;
	int clients[3];

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	service = listen_service(path, ",mode=0600");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (int i = 0; i < 3; i++)
		assert_int_equal(peer_open(&peers[i], service, i ? "two" : "one", 3), 0);
	peer_close(&peers[1], true);
	for (int i = 0; i < 3; i++)
		clients[i] = connect_to(path);
	rig_wait(&rig, peer_is_settled, &peers[2]);
	assert_true(peers[0].connected && peers[2].connected);
	assert_int_equal(read(clients[0], bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "one", 3);
	assert_int_equal(read(clients[1], bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "two", 3);
	/* The third client waits for a channel, and is there at once for it. */
	rig_rounds(&rig, 5);
	assert_int_equal(recv(clients[2], bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	assert_int_equal(peer_open(&peers[1], service, "new", 3), 1);
	assert_int_equal(read(clients[2], bytes, sizeof(bytes)), 3);
	for (int i = 0; i < 3; i++)
		peer_close(&peers[i], false);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read(clients[i], bytes, sizeof(bytes)), 0);
		close(clients[i]);
	}
	service_destroy(service);
	assert_int_equal(stat(path, &st), -1);
}

static void listen_takes_no_others_socket(void **state)
{
	struct service_setup make = { .loop = rig.loop, .name = "test" };
	char path[128], uri[160];
	struct mp_service *service;
	struct stat st;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	snprintf(uri, sizeof(uri), "unix-listen:%s", path);
	/* Somebody listens. */
	fd = listen_at(path, 5);
	assert_null(service_create(&make, uri));
	assert_non_null(strstr(make.error, "in use"));
	/* Nobody does any more: the file is replaced. */
	close(fd);
	service = service_create(&make, uri);
	assert_non_null(service);
	/* Somebody else has replaced it: it is left alone at the end. */
	unlink(path);
	fd = listen_at(path, 5);
	service_destroy(service);
	assert_int_equal(stat(path, &st), 0);
	close(fd);
	unlink(path);
	/* It is no socket. */
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_null(service_create(&make, uri));
	assert_int_equal(stat(path, &st), 0);
	unlink(path);
	/* A check touches nothing. */
	make.check_only = true;
	service = service_create(&make, uri);
	assert_non_null(service);
	assert_int_equal(stat(path, &st), -1);
	service_destroy(service);
}

static void unix_wrong_forms(void **state)
{
	static const char *const wrong[] = {
		"unix:", "unix:@", "unix-listen:", "unix-listen:/x,mode=", "unix-listen:/x,mode=9",
		"unix-listen:/x,mode=1777", "unix-listen:/x,user=me",
		"unix:/123456789012345678901234567890123456789012345678901234567890"
		"123456789012345678901234567890123456789012345678",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct service_setup make = { .loop = rig.loop, .name = "test" };

		assert_null(service_create(&make, wrong[i]));
		assert_true(make.error[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unix_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(unix_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(unix_full_backlog, setup, teardown),
		cmocka_unit_test_setup_teardown(unix_backlog_then_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(unix_bulk_and_stall, setup, teardown),
		cmocka_unit_test_setup_teardown(unix_reset_keeps_the_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(unix_wrong_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(tcp_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(tcp_abort_resets, setup, teardown),
		cmocka_unit_test_setup_teardown(tcp_wrong_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(listen_serves_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(listen_takes_no_others_socket, setup, teardown),
	};

	return cmocka_run_group_tests(tests, rig_setup_group, NULL);
}
