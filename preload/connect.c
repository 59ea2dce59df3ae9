// SPDX-License-Identifier: MIT
/* connect(): a channel in the place of a socket. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "preload.h"

/*
 * How long a connect() that may not wait does wait: most names are answered within a round trip,
 * and a program whose connect() returns 0 has nothing more to ask.
 */
#define ANSWER_MS 50

static int fail(int error)
{
	errno = error;
	return -1;
}

static int number_of(int fd, int name)
{
	socklen_t len = sizeof(int);
	int value;

	return NEXT(getsockopt)(fd, SOL_SOCKET, name, &value, &len) ? -1 : value;
}

static int limit_of(int fd, int name)
{
	struct timeval limit = { 0 };
	socklen_t len = sizeof(limit);

	if (NEXT(getsockopt)(fd, SOL_SOCKET, name, &limit, &len))
		return limit_get(fd, name == SO_RCVTIMEO ? LIMIT_IN : LIMIT_OUT);
	return limit_of_time(&limit);
}

/* A socket to which a channel may be a stand-in? For any other the kernel has the right answer. */
static bool is_fresh_stream(int fd, const struct target *target)
{
	sa_family_t family = target->address.ss_family;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int domain = number_of(fd, SO_DOMAIN);

	return number_of(fd, SO_TYPE) == SOCK_STREAM && number_of(fd, SO_ACCEPTCONN) == 0 &&
	       (domain == family || (domain == AF_INET6 && family == AF_INET)) &&
	       NEXT(getpeername)(fd, (struct sockaddr *)&peer, &len);
}

static void tell(const struct target *target, int error)
{
	if (target_verbose)
		dprintf(STDERR_FILENO, "manyport run: no channel to service '%s' (%s): %s\n",
			target->service, strerrorname_np(error), manyport_explain(error));
}

/*
 * While the service is asked, another thread may close @fd, or open a file of its own with that
 * number: a channel there would belong to no one, or would close that file.
 */
static bool is_still(int fd, const struct stat *socket)
{
	struct stat now;

	return !fstat(fd, &now) && now.st_dev == socket->st_dev && now.st_ino == socket->st_ino;
}

/*
 * Puts @channel in the place of the socket @fd, in one step: a thread that looks has the one or the
 * other. A duplicate of the socket stays a socket.
 */
static int take_place(int fd, int channel)
{
	int flags = fcntl(fd, F_GETFD);
	struct watch watch = watch_take(fd);
	int ret = dup3(channel, fd, flags >= 0 && (flags & FD_CLOEXEC) ? O_CLOEXEC : 0);
	int error = errno;

	watch_put(&watch, fd);
	return ret < 0 ? -error : 0;
}

static bool is_begun(int error)
{
	return error == -EINPROGRESS || error == -EINTR;
}

/* A limit for sending is one for connect(), too. */
static int name_in_time(int channel, const struct target *target, bool nonblock, int limit)
{
	int ret;

	if (nonblock || !limit)
		return naming_begin(channel, target->service, nonblock ? ANSWER_MS : 0);
	fcntl(channel, F_SETFL, O_NONBLOCK);
	ret = naming_begin(channel, target->service, limit);
	fcntl(channel, F_SETFL, 0);
	return ret;
}

/* What is to be remembered of @fd besides its target. */
static unsigned int marks_of(int fd, const struct target *target, int named)
{
	bool is_six = known_has(fd, KNOWN_SIX);	/* of a channel; else the socket knows */
	int domain = number_of(fd, SO_DOMAIN);

	if (domain >= 0)
		is_six = domain == AF_INET6 && target->address.ss_family == AF_INET;
	return (is_six ? KNOWN_SIX : 0) | (named ? KNOWN_PENDING : 0);
}

/* @fd is a socket, or a channel that was refused. */
static int replace(int fd, const struct target *target)
{
	unsigned int marks;
	int in = limit_of(fd, SO_RCVTIMEO), out = limit_of(fd, SO_SNDTIMEO);
	int flags = fcntl(fd, F_GETFL), channel, named, ret;
	bool nonblock = flags >= 0 && (flags & O_NONBLOCK);
	struct stat socket;

	if (fstat(fd, &socket))
		return -errno;
	if ((in || out) && !limit_fits(fd))
		return -EOPNOTSUPP;
	channel = manyport_open(target_port, NULL, O_CLOEXEC | (nonblock ? O_NONBLOCK : 0));
	if (channel < 0)
		return channel;
	named = name_in_time(channel, target, nonblock, out);
	marks = marks_of(fd, target, named);
	/* After a signal, too, a socket goes on connecting, and a program may poll for it. */
	ret = named && !is_begun(named) ? named :
		!is_still(fd, &socket) ? -EBADF : take_place(fd, channel);
	if (!ret) {
		known_set(fd, target, marks);
		limit_set(fd, LIMIT_IN, in);
		limit_set(fd, LIMIT_OUT, out);
	}
	close(channel);
	return ret ? ret : named;
}

int connect_replace(int fd, const struct target *target)
{
	int before = errno, ret;

	if (!is_fresh_stream(fd, target) && !naming_is_over(fd))
		return 1;
	ret = replace(fd, target);
	if (ret && !is_begun(ret))
		tell(target, -ret);
	if (ret)
		return fail(naming_errno(-ret));
	errno = before;
	return 0;
}

int connect_channel(int fd)
{
	int ret = naming_ask(fd, true);

	if (!ret)
		return 0;
	if (ret != -EINPROGRESS && ret != -EINTR && ret != -EISCONN)
		known_mark(fd, KNOWN_TOLD);
	return fail(ret == -EINPROGRESS ? EALREADY : naming_errno(-ret));
}
