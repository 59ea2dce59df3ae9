// SPDX-License-Identifier: MIT
/* Channels: open, connect, shut down, abort, ask. See manyport/client.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <manyport/client.h>

static int call(int fd, unsigned long request, unsigned long arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

/*
 * Without the ioctl: the name and its NUL are the first bytes [protocol.md 13.1]. A name of which
 * a part is written cannot be begun again, so the rest is waited for on a non-blocking file, too.
 */
static int write_name(int fd, const char *service)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	size_t len = strlen(service) + 1, done = 0;
	ssize_t ret;

	while (done < len) {
		ret = write(fd, service + done, len - done);
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
	return strncmp(service, "pipe:", 5) ? service : service + 5;
}

static int connect_with(int fd, const char *service, struct manyport_connect *arg)
{
	size_t len = strlen(service);

	if (len >= sizeof(arg->name))
		return -ENAMETOOLONG;
	memcpy(arg->name, service, len);
	return call(fd, MANYPORT_IOC_CONNECT, (unsigned long)arg);
}

int manyport_connect(int fd, const char *service)
{
	struct manyport_connect arg = { 0 };
	int ret;

	service = skip_prefix(service);
	ret = connect_with(fd, service, &arg);
	return ret == -ENOTTY ? write_name(fd, service) : ret;
}

/* Where it cannot be said for whom, nothing is said at all: never with our own rights instead. */
int manyport_connect_as(int fd, const char *service, unsigned int uid, unsigned int gid)
{
#ifdef MANYPORT_CONNECT_AS
	struct manyport_connect arg = { .flags = MANYPORT_CONNECT_AS, .uid = uid, .gid = gid };

	return connect_with(fd, skip_prefix(service), &arg);
#else
	(void)fd;
	(void)service;
	(void)uid;
	(void)gid;
	return -ENOTTY;
#endif
}

int manyport_shutdown(int fd, int how)
{
	return call(fd, MANYPORT_IOC_SHUTDOWN, how);
}

int manyport_abort(int fd)
{
	return call(fd, MANYPORT_IOC_ABORT, 0);
}

int manyport_info(int fd, struct manyport_info *info)
{
	memset(info, 0, sizeof(*info));
	return call(fd, MANYPORT_IOC_INFO, (unsigned long)info);
}

int manyport_open(const char *port, const char *service, int flags)
{
	char path[PATH_MAX];
	int fd, ret;

	if (flags & ~(O_NONBLOCK | O_CLOEXEC | O_RDWR))
		return -EINVAL;
	ret = manyport_find(port, path, sizeof(path));
	if (ret)
		return ret;
	fd = open(path, O_RDWR | flags);
	/* ENOENT is what the host says of a service. */
	if (fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	ret = service ? manyport_connect(fd, service) : 0;
	if (ret && ret != -EINPROGRESS) {
		close(fd);
		return ret;
	}
	return fd;
}
