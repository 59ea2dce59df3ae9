// SPDX-License-Identifier: MIT
/* tcp: against real sockets. */
#include "socket_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>

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
	peer_close(&peer, MP_END_WHOLE);
	/* Nobody listens any more. */
	close(listener);
	if (peer_open(&peer, service, NULL, 0) == 0)
		rig_wait(&rig, peer_is_settled, &peer);
	assert_false(peer.connected);
	peer_close(&peer, MP_END_WHOLE);
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
		peer_close(&peer, abort ? MP_END_ABORT : MP_END_WHOLE);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		socket_test(tcp_both_ways),
		socket_test(tcp_abort_resets),
		socket_test(tcp_wrong_forms),
	};

	return cmocka_run_group_tests(tests, rig_setup_group, NULL);
}
