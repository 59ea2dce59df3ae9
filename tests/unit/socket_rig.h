/* SPDX-License-Identifier: MIT */
/* What tests of services on sockets share: one rig that counts descriptors, and servers. */
#ifndef TESTS_UNIT_SOCKET_RIG_H
#define TESTS_UNIT_SOCKET_RIG_H

#include "service_rig.h"

#include <sys/socket.h>
#include <sys/un.h>

static struct rig rig;
static int fds_before, fds_at_rest;	/* without the rig, and with it */

static inline int setup(void **state)
{
	(void)state;
	fds_before = rig_count_fds();
	rig_init(&rig);
	fds_at_rest = rig_count_fds();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	rig_fini(&rig);
	assert_int_equal(rig_count_fds(), fds_before);
	return 0;
}

static inline socklen_t unix_name(struct sockaddr_un *name, const char *path)
{
	memset(name, 0, sizeof(*name));
	name->sun_family = AF_UNIX;
	assert_true(strlen(path) < sizeof(name->sun_path));
	strcpy(name->sun_path, path);
	return sizeof(*name);
}

/* A listening socket, with our own blocking ends of what connects to it. */
static inline int listen_at(const char *path, int backlog)
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

static inline int connect_to(const char *path)
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

static inline bool has_five(void *context)
{
	return ((struct test_peer *)context)->in_len >= 5;
}

static inline void check_both_ways(struct test_peer *peer, int server)
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

#define socket_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
