// SPDX-License-Identifier: MIT
/* Channels: open, connect, shut down, abort, ask. See manyport/client.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <manyport/client.h>
#include <manyport/wire.h>

#include "road.h"

static int call(int fd, unsigned long request, unsigned long arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

/*
 * Names the channel without the ioctl: the name and its NUL are the first bytes [protocol.md 13.1].
 * Once a part is written the name cannot be started again, so this waits until the rest is
 * written, on a non-blocking file too.
 */
static int write_name(int fd, const char *service)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	size_t len = strlen(service) + 1, done = 0;
	struct iovec iov;
	ssize_t ret;

	while (done < len) {
		iov = (struct iovec){ (char *)service + done, len - done };
		/* Not write(), in front of which the library of manyport run stands. */
		ret = pwritev2(fd, &iov, 1, -1, 0);
		if (ret > 0)
			done += ret;
		else if (ret < 0 && (!done || (errno != EAGAIN && errno != EINTR)))
			return -errno;
		else if (ret < 0 && errno == EAGAIN)
			poll(&room, 1, -1);
	}
	return 0;
}

static const char *skip_prefix(const char *service)
{
	const size_t len = strlen(MP_NAME_PREFIX);

	return strncmp(service, MP_NAME_PREFIX, len) ? service : service + len;
}

/* Copies @service to @name, an array of MANYPORT_NAME_SIZE. Returns 0 or -ENAMETOOLONG. */
static int copy_name(char *name, const char *service)
{
	size_t len = strlen(service);

	if (len >= MANYPORT_NAME_SIZE)
		return -ENAMETOOLONG;
	memcpy(name, service, len);
	return 0;
}

int manyport_connect(int fd, const char *service)
{
	struct manyport_connect arg = { 0 };
	int ret;

	service = skip_prefix(service);
	if (road_is_socket(fd))
		return road_collect(fd);
	ret = copy_name(arg.name, service);
	if (!ret)
		ret = call(fd, MANYPORT_IOC_CONNECT, (unsigned long)&arg);
	return ret == -ENOTTY ? write_name(fd, service) : ret;
}

/* A driver that cannot be told the user gets no name: the channel must not have our rights. */
int manyport_connect_as(int fd, const char *service, unsigned int uid, unsigned int gid)
{
	struct manyport_connect_as arg = { .uid = uid, .gid = gid };
	int ret = copy_name(arg.name, skip_prefix(service));

	return ret ? ret : call(fd, MANYPORT_IOC_CONNECT_AS, (unsigned long)&arg);
}

int manyport_shutdown(int fd, int how)
{
	if (road_is_socket(fd))
		return shutdown(fd, how) ? -errno : 0;
	return call(fd, MANYPORT_IOC_SHUTDOWN, how);
}

int manyport_abort(int fd)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	/* The other end meets a reset where the road has one. */
	if (road_is_socket(fd)) {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		return shutdown(fd, SHUT_RDWR) ? -errno : 0;
	}
	return call(fd, MANYPORT_IOC_ABORT, 0);
}

int manyport_info(int fd, struct manyport_info *info)
{
	int ret;

	memset(info, 0, sizeof(*info));
	if (road_is_socket(fd))
		return -ENOTTY;
	ret = call(fd, MANYPORT_IOC_INFO, (unsigned long)info);
	/* A driver of before knows less. */
	return ret == -ENOTTY ? call(fd, MANYPORT_IOC_INFO_1, (unsigned long)info) : ret;
}

int manyport_exit_status(int fd)
{
	struct manyport_info info;
	int ret = manyport_info(fd, &info), detail = info.exit & 0xff;

	if (ret)
		return ret;
	if (info.exit & MANYPORT_EXITED)
		return detail;
	if (info.exit & MANYPORT_KILLED)
		return 128 + detail;
	if (info.error)
		return -(int)info.error;
	return info.flags & MANYPORT_INFO_IN_ENDED ? 0 : -EINPROGRESS;
}

/* @path: that of a node. */
static int open_node(const char *path, const char *service, int flags)
{
	int fd = open(path, O_RDWR | flags), ret;

	/* ENOENT is kept for the host's answer that there is no such service. */
	if (fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	ret = service ? manyport_connect(fd, service) : 0;
	/* -EAGAIN: a stock port has no room for the name yet. */
	if (ret && ret != -EINPROGRESS && ret != -EAGAIN) {
		close(fd);
		return ret;
	}
	return fd;
}

int manyport_find_road(const char *port, char *road, unsigned long size)
{
	char buf[PATH_MAX];
	int ret;

	if (!port || !*port)
		port = road_default(buf, sizeof(buf));
	if (port && road_is_socket_name(port))
		return road_find(port, road, size);
	ret = manyport_find(port, road, size);
	if (!ret && access(road, F_OK))
		ret = -ENODEV;
	return ret == -ENODEV && !port ? road_find(NULL, road, size) : ret;
}

int manyport_open(const char *port, const char *service, int flags)
{
	char path[PATH_MAX], buf[PATH_MAX];
	int ret;

	if (flags & ~(O_NONBLOCK | O_CLOEXEC | O_RDWR))
		return -EINVAL;
	if (!port || !*port)
		port = road_default(buf, sizeof(buf));
	if (port && road_is_socket_name(port))
		return road_open(port, service ? skip_prefix(service) : NULL, flags);
	ret = manyport_find(port, path, sizeof(path));
	if (!ret)
		ret = open_node(path, service, flags);
	/* Another road is tried only where this one is missing: an answer to a name is final. */
	if (ret == -ENODEV && !port && service)
		ret = road_open(NULL, skip_prefix(service), flags);
	return ret;
}
