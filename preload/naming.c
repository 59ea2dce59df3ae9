// SPDX-License-Identifier: MIT
/* From an open port to a connected channel. */
#include <errno.h>
#include <poll.h>

#include "preload.h"

int naming_begin(int fd, const char *service, int wait_ms)
{
	struct pollfd answer = { .fd = fd, .events = POLLOUT };
	int ret;

	if (!*service)
		return 0;
	ret = manyport_connect(fd, service);
	if (ret == -EINPROGRESS && wait_ms && poll(&answer, 1, wait_ms) > 0)
		ret = manyport_connect(fd, service);
	return ret;
}

static int ask(int fd, bool may_wait)
{
	struct manyport_info info;
	int ret = manyport_info(fd, &info);

	if (ret)
		return ret;
	switch (info.state) {
	case MANYPORT_CONNECTING:
		if (!may_wait)
			return -EINPROGRESS;
		/* fall through */
	case MANYPORT_CONNECTED:
		return *info.service ? manyport_connect(fd, info.service) : -EISCONN;
	case MANYPORT_REFUSED:
	case MANYPORT_FAILED:
	case MANYPORT_GONE:
	case MANYPORT_ABORTED:
		return -(int)info.error;
	default:
		return -EISCONN;
	}
}

int naming_ask(int fd, bool may_wait)
{
	int ret = ask(fd, may_wait);

	if (!ret || ret == -EISCONN)
		known_unmark(fd, KNOWN_PENDING);
	return ret;
}

int naming_collect(int fd, bool may_wait)
{
	int ret = naming_ask(fd, may_wait);

	return ret == -EISCONN ? 0 : ret;
}

bool naming_is_over(int fd)
{
	struct manyport_info info;

	return known_has(fd, KNOWN_TOLD) && known_is_channel(fd) && !manyport_info(fd, &info) &&
	       info.state == MANYPORT_REFUSED;
}

int naming_errno(int error)
{
	switch (error) {
	case ENOENT:	/* the host has no such service */
	case EBUSY:	/* a limit; EAGAIN, as of a full backlog, is "in progress" to many */
	case ENODEV:
	case ENXIO:
	case EINVAL:
	case EIO:
		return ECONNREFUSED;
	default:
		return error;
	}
}
