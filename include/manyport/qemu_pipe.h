/* SPDX-License-Identifier: MIT */
/*
 * The calls of Android's qemu_pipe.h on channels, for programs that were written for that pipe.
 * Link with libmanyport; MANYPORT_PORT in the environment names another port.
 *
 * "pipe:NAME" and NAME mean the service NAME. All that follows "pipe:" is one name, colons too
 * ("pipe:qemud:adb:5555"), and the host's configuration must have it. Errors are -1 and errno, as
 * manyport_open() has them: ENOENT for a name that the host does not know, ENODEV for no port.
 * What differs from Android's: an end inside of qemu_pipe_read_fully() is ECONNRESET, and
 * qemu_pipe_open() leaves no descriptor behind when it fails.
 */
#ifndef MANYPORT_QEMU_PIPE_H
#define MANYPORT_QEMU_PIPE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <manyport/client.h>

typedef int QEMU_PIPE_HANDLE;

#define QEMU_PIPE_INVALID_HANDLE (-1)

/* Waits for the host's answer, also with O_NONBLOCK in @flags. */
static inline QEMU_PIPE_HANDLE qemu_pipe_open_ns(const char *ns, const char *name, int flags)
{
	char service[MANYPORT_NAME_SIZE + sizeof("pipe:")];
	int len = snprintf(service, sizeof(service), "%s%s%s", ns ? ns : "", ns ? ":" : "", name);
	int fd = -ENAMETOOLONG;

	if (len >= 0 && len < (int)sizeof(service))
		fd = manyport_open(NULL, service, O_CLOEXEC);
	if (fd < 0) {
		errno = -fd;
		return QEMU_PIPE_INVALID_HANDLE;
	}
	if (flags & O_NONBLOCK)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static inline QEMU_PIPE_HANDLE qemu_pipe_open(const char *name)
{
	return qemu_pipe_open_ns(NULL, name, 0);
}

static inline int qemu_pipe_valid(QEMU_PIPE_HANDLE pipe)
{
	return pipe >= 0;
}

static inline void qemu_pipe_close(QEMU_PIPE_HANDLE pipe)
{
	close(pipe);
}

static inline int qemu_pipe_read(QEMU_PIPE_HANDLE pipe, void *buffer, int size)
{
	return (int)read(pipe, buffer, (size_t)size);
}

/* Without SIGPIPE, whether the channel is a node or a socket. */
static inline int qemu_pipe_write(QEMU_PIPE_HANDLE pipe, const void *buffer, int size)
{
	ssize_t ret = send(pipe, buffer, (size_t)size, MSG_NOSIGNAL);

	if (ret < 0 && errno == ENOTSOCK)
		ret = write(pipe, buffer, (size_t)size);
	return (int)ret;
}

/* May the call that gave @ret be made again? */
static inline int qemu_pipe_try_again(int ret)
{
	return ret < 0 && (errno == EINTR || errno == EAGAIN);
}

/* Waits where a channel that was opened with O_NONBLOCK has said EAGAIN. */
static inline void qemu_pipe_await(QEMU_PIPE_HANDLE pipe, short events)
{
	struct pollfd channel = { pipe, events, 0 };

	if (errno == EAGAIN)
		poll(&channel, 1, -1);
}

/* Returns 0 when all @size bytes are read, or -1. */
static inline int qemu_pipe_read_fully(QEMU_PIPE_HANDLE pipe, void *buffer, int size)
{
	char *to = (char *)buffer;

	while (size > 0) {
		int ret = qemu_pipe_read(pipe, to, size);

		if (ret > 0) {
			to += ret;
			size -= ret;
		} else if (qemu_pipe_try_again(ret)) {
			qemu_pipe_await(pipe, POLLIN);
		} else {
			if (!ret)
				errno = ECONNRESET;
			return -1;
		}
	}
	return 0;
}

/* Returns 0 when all @size bytes are written, or -1. */
static inline int qemu_pipe_write_fully(QEMU_PIPE_HANDLE pipe, const void *buffer, int size)
{
	const char *from = (const char *)buffer;

	while (size > 0) {
		int ret = qemu_pipe_write(pipe, from, size);

		if (ret >= 0) {
			from += ret;
			size -= ret;
		} else if (qemu_pipe_try_again(ret)) {
			qemu_pipe_await(pipe, POLLOUT);
		} else {
			return -1;
		}
	}
	return 0;
}

static inline void qemu_pipe_print_error(QEMU_PIPE_HANDLE pipe)
{
	fprintf(stderr, "pipe %d: %s\n", pipe, manyport_explain(errno));
}

#endif
