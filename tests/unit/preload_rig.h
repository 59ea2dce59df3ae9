/* SPDX-License-Identifier: MIT */
/*
 * The library of manyport run in the test program itself. The port is /dev/zero, whose ioctls are
 * answered here as the test says.
 */
#ifndef UNIT_PRELOAD_RIG_H
#define UNIT_PRELOAD_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>
#include <manyport/client.h>

#include "run_env.h"

#define SOCKETS "unix:/run/a.sock\nalpha\n" "unix:@abstract\nbeta\n" "tcp:127.0.0.1:7000\ngamma\n" \
	"tcp:0.0.0.0:7001\ndelta\n" "tcp:[::1]:7002\nepsilon\n"

/* Of each naming call: the errno, or 0; the last one stays. */
static const int *script;
static char named[MANYPORT_NAME_SIZE];
static unsigned int state;
static int namings;
static void (*while_naming)(void);	/* what another thread does before the answer */

/* The driver has no bytes, and no room: every call that waits would do so for ever. */
static bool is_stuck;
static int transfers;
static bool wants_collected;		/* SEND before the name is collected may lose the bytes */

static bool others_lack_ioctl;
static unsigned int takes;		/* not 0: so many bytes of each send */

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __real_ioctl(int fd, unsigned long request, void *arg);

static int answer_name(const struct manyport_connect *connect)
{
	int error = *script;

	namings++;
	if (while_naming)
		while_naming();
	if (script[1] >= 0)
		script++;
	strcpy(named, connect->name);
	state = !error ? MANYPORT_CONNECTED :
		error == EINPROGRESS ? MANYPORT_CONNECTING : MANYPORT_REFUSED;
	errno = error;
	return error ? -1 : 0;
}

static int answer_transfer(const struct manyport_transfer *transfer)
{
	transfers++;
	if (!(transfer->flags & MANYPORT_TRANSFER_NOWAIT))
		fail_msg("a call with a limit waits in the driver");
	errno = EAGAIN;
	return -1;
}

static bool is_port(int fd)
{
	char path[40], target[40] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 && !strcmp(target, "/dev/zero");
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	struct manyport_info *info = arg;

	if (!is_port(fd)) {
		/* As a socket of AF_VSOCK, and of some others. */
		errno = EOPNOTSUPP;
		return others_lack_ioctl ? -1 : __real_ioctl(fd, request, arg);
	}
	if (request == MANYPORT_IOC_CONNECT)
		return answer_name(arg);
	if (request == MANYPORT_IOC_INFO) {
		*info = (struct manyport_info){ .state = state, .error = ECONNREFUSED };
		strcpy(info->service, named);
		return 0;
	}
	if (wants_collected && request == MANYPORT_IOC_SEND)
		assert_int_equal(state, MANYPORT_CONNECTED);
	if (takes && request == MANYPORT_IOC_SEND)
		return takes;
	if (is_stuck && (request == MANYPORT_IOC_SEND || request == MANYPORT_IOC_RECV))
		return answer_transfer(arg);
	errno = ENOTTY;
	return -1;
}

static void answer(const int *errors)
{
	script = errors;
	named[0] = '\0';
	state = MANYPORT_UNNAMED;
	namings = 0;
}

static const int good[] = { 0, -1 };

static int connect_unix(int fd, const char *path, size_t len)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, path, len);
	return connect(fd, (struct sockaddr *)&address,
		       offsetof(struct sockaddr_un, sun_path) + len);
}

static int connect_tcp(int fd, const char *host, int port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, host, &four.sin_addr) == 1)
		return connect(fd, (struct sockaddr *)&four, sizeof(four));
	assert_int_equal(inet_pton(AF_INET6, host, &six.sin6_addr), 1);
	return connect(fd, (struct sockaddr *)&six, sizeof(six));
}

/* The library reads its environment before main(): the program begins again. False: it cannot. */
static inline bool preload_begin(char **argv)
{
	if (getenv(RUN_SOCKETS_ENV))
		return true;
	setenv(RUN_SOCKETS_ENV, SOCKETS, 1);
	setenv(RUN_PORT_ENV, "/dev/zero", 1);
	execv("/proc/self/exe", argv);
	return false;
}

#endif
