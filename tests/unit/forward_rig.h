/* SPDX-License-Identifier: MIT */
/*
 * manyport forward, without a guest: its channels are TCP or unix connections to a service
 * that a test plays itself, and an abort of such a channel is a reset.
 */
#ifndef TESTS_UNIT_FORWARD_RIG_H
#define TESTS_UNIT_FORWARD_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/sockios.h>
#include <manyport/client.h>

#include "../../tools/manyport/tool.h"

/* ---- in place of the library and of main.c: in the process that forwards ---- */

static bool tells_tries;		/* each attempt that fails is a line */
static bool refuses_late;		/* as a fixed service does: the first call on it fails */
static int service_family, service_listener, message_pipe[2];
static char unix_path[2][64];		/* of the service, of the forwarder */

static inline int dial(int family, const void *address, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, address, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline int dial_tcp(unsigned int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	return dial(AF_INET, &address, sizeof(address));
}

static inline int dial_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, path);
	return dial(AF_UNIX, &address, sizeof(address));
}

static inline unsigned int port_of(int fd)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);

	return getsockname(fd, (struct sockaddr *)&address, &len) ? 0 : ntohs(address.sin_port);
}

/* A socket whose next read or write gives ECONNREFUSED: the datagram's port is closed. */
static inline int refused_socket(int flags)
{
	struct sockaddr_in nobody = { .sin_family = AF_INET, .sin_port = htons(1),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd told = { .fd = fd };

	if (connect(fd, (struct sockaddr *)&nobody, sizeof(nobody)) || send(fd, "", 1, 0) != 1 ||
	    poll(&told, 1, -1) != 1 || fcntl(fd, F_SETFL, flags & O_NONBLOCK))
		return -errno;
	return fd;
}

int manyport_find(const char *port, char *path, unsigned long size)
{
	(void)port;
	snprintf(path, size, "stub");
	return 0;
}

int manyport_find_road(const char *port, char *road, unsigned long size)
{
	return manyport_find(port, road, size);
}

int manyport_open(const char *port, const char *service, int flags)
{
	int fd = service_family == AF_INET ? dial_tcp(port_of(service_listener)) :
					     dial_unix(unix_path[0]);
	const int little = 32768;

	(void)port;
	(void)service;
	if (fd < 0) {
		if (tells_tries)
			dprintf(message_pipe[1], "nobody is there\n");
		return refuses_late ? refused_socket(flags) : -ECONNREFUSED;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
	return fcntl(fd, F_SETFL, flags & O_NONBLOCK) ? -errno : fd;
}

int manyport_connect(int fd, const char *service)
{
	(void)fd;
	(void)service;
	return 0;
}

int manyport_connect_as(int fd, const char *service, unsigned int uid, unsigned int gid)
{
	(void)fd;
	dprintf(message_pipe[1], "%s as %u, %u\n", service, uid, gid);
	return uid == 1 ? 0 : -EPERM;
}

int manyport_shutdown(int fd, int how)
{
	return shutdown(fd, how) ? -errno : 0;
}

int manyport_abort(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	/* TCP sends a reset. */
	return connect(fd, &nobody, sizeof(nobody)) ? -errno : 0;
}

/* ---- the tests' side ---- */

struct relayed {
	pid_t forwarder;
	int client, service;
	unsigned int port;		/* the forwarder's, of TCP */
};

/* "forward" with @words, up to a NULL; what it says comes out of message_pipe. */
static inline pid_t start_words(const char *const *words)
{
	const char *all[12] = { "forward" };
	int count = 1;
	pid_t pid;

	while (*words && count < 11)
		all[count++] = *words++;
	fflush(stdout);		/* not by a child that exits, too */
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);	/* it does not outlive a test that fails */
		dup2(message_pipe[1], STDERR_FILENO);
		_exit(run_forward(count, (char **)all));
	}
	return pid;
}

#define START(...) start_words((const char *const []){ __VA_ARGS__, NULL })

static inline void name_sockets(void)
{
	for (int i = 0; i < 2; i++) {
		snprintf(unix_path[i], sizeof(unix_path[i]), "/tmp/test-forward.%d.%d", getpid(),
			 i);
		unlink(unix_path[i]);
	}
	assert_int_equal(pipe2(message_pipe, O_CLOEXEC), 0);
}

/* The next line that the forwarder says. */
static inline const char *next_line(void)
{
	static char line[1000];
	size_t len = 0;

	do {
		assert_int_equal(read(message_pipe[0], line + len, 1), 1);
	} while (line[len++] != '\n' && len < sizeof(line) - 1);
	line[len] = '\0';
	return line;
}

static inline void expect_line(const char *words)
{
	const char *line = next_line();

	if (!strstr(line, words))
		fail_msg("'%s' is not in '%s'", words, line);
}

/* The TCP port in the line that says that a listener is there. */
static inline unsigned int await_listener(void)
{
	const char *line = next_line(), *port = strstr(line, "TCP port ");

	if (!strstr(line, "forwarding"))
		fail_msg("%s", line);
	return port ? atoi(port + 9) : 0;
}

static inline int listen_for(int family)
{
	struct sockaddr_in inet = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int little = 32768;

	strcpy(local.sun_path, unix_path[0]);
	assert_true(fd >= 0);
	/* Connections have it from here. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
	assert_int_equal(family == AF_INET ?
			 bind(fd, (struct sockaddr *)&inet, sizeof(inet)) :
			 bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
	assert_int_equal(listen(fd, 10), 0);
	return fd;
}

static inline int dial_forwarder(int family, unsigned int port)
{
	int fd = family == AF_INET ? dial_tcp(port) : dial_unix(unix_path[1]);

	assert_true(fd >= 0);
	return fd;
}

/* A connection of a client of family @client to a service of family @service, with an option. */
static inline struct relayed relay_with(int client, int service, const char *option)
{
	struct relayed r;
	char listen_at[100] = "0:name";

	name_sockets();
	if (client == AF_UNIX)
		snprintf(listen_at, sizeof(listen_at), "%s:name", unix_path[1]);
	service_family = service;
	service_listener = listen_for(service);
	r.forwarder = START("-L", listen_at, option);
	r.port = await_listener();
	r.client = dial_forwarder(client, r.port);
	r.service = accept(service_listener, NULL, NULL);
	assert_true(r.service >= 0);
	return r;
}

static inline struct relayed relay(int client, int service)
{
	return relay_with(client, service, NULL);
}

static inline void end_forwarder(struct relayed *r)
{
	int status;

	assert_int_equal(kill(r->forwarder, SIGTERM), 0);
	assert_int_equal(waitpid(r->forwarder, &status, 0), r->forwarder);
	assert_int_equal(status, 0);
	r->forwarder = 0;
}

static inline void over(struct relayed *r)
{
	if (r->forwarder)
		end_forwarder(r);
	close(r->client);
	close(r->service);
	close(service_listener);
	close(message_pipe[0]);
	close(message_pipe[1]);
	unlink(unix_path[0]);
}

static inline void send_all(int fd, size_t len)
{
	static char buf[65536];
	ssize_t ret;

	for (; len; len -= ret) {
		ret = send(fd, buf, len < sizeof(buf) ? len : sizeof(buf), MSG_NOSIGNAL);
		assert_true(ret > 0);
	}
}

static inline void receive_all(int fd, size_t len)
{
	static char buf[65536];
	ssize_t ret;

	for (; len; len -= ret) {
		ret = recv(fd, buf, len < sizeof(buf) ? len : sizeof(buf), 0);
		assert_true(ret > 0);
	}
}

/* Reads until it is over. Returns 0 for an end, or errno; *bytes: how many came. */
static inline int read_over(int fd, size_t *bytes)
{
	static char buf[4096];
	ssize_t ret;

	*bytes = 0;
	while ((ret = recv(fd, buf, sizeof(buf), 0)) > 0)
		*bytes += ret;
	return ret < 0 ? errno : 0;
}

static inline void reset(int fd)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(fd);
}

/* Until nothing more goes in: the service does not read. Returns how much went. */
static inline size_t fill(int fd)
{
	static char buf[65536];
	struct timeval limit = { .tv_usec = 300 * 1000 };
	size_t len = 0;
	ssize_t ret;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
	/* A process that was stopped and goes on gets EINTR. */
	while ((ret = send(fd, buf, sizeof(buf), MSG_NOSIGNAL)) > 0 || errno == EINTR)
		len += ret > 0 ? ret : 0;
	assert_int_equal(errno, EAGAIN);
	return len;
}

/* All that was sent, the end of the stream too, is with the other side's kernel. */
static inline void await_acknowledged(int fd)
{
	int bytes = 1;

	while (bytes)
		assert_int_equal(ioctl(fd, SIOCOUTQ, &bytes), 0);
}

#endif
