// SPDX-License-Identifier: MIT
/*
 * send and recv of a channel. The driver's calls for them fail on every other file (calls.c), so a
 * descriptor that was closed and is another file now is never mistaken for the channel that it was.
 *
 * More than one buffer, and a driver that has no such calls, get read and write, once it is proved
 * that the descriptor is a channel.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "preload.h"

static ssize_t fail(int error)
{
	errno = error;
	return -1;
}

/*
 * Returns bytes, or -1 and errno: ENOTTY for what is no channel, or a driver that has no such
 * call. As in send() and recv() a thread may be cancelled here, which in an ioctl() it may not.
 */
static ssize_t ask_driver(int fd, unsigned long call, const struct iovec *buf, int flags)
{
	struct manyport_transfer transfer = {
		.data = (uintptr_t)buf->iov_base,
		.size = buf->iov_len < INT32_MAX ? buf->iov_len : INT32_MAX,
		.flags = (flags & MSG_DONTWAIT ? MANYPORT_TRANSFER_NOWAIT : 0) |
			 (flags & MSG_PEEK ? MANYPORT_TRANSFER_PEEK : 0),
	};
	ssize_t ret;
	int type;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	ret = ioctl(fd, call, &transfer);
	pthread_setcanceltype(type, NULL);
	return ret;
}

/* ---- out ---- */

static ssize_t write_some(int fd, const struct iovec *iov, size_t count, int flags)
{
	ssize_t ret = fail(ENOTTY);

	if (count == 1)
		ret = ask_driver(fd, MANYPORT_IOC_SEND, iov, flags);
	if (ret >= 0 || errno != ENOTTY)
		return ret;
	if (!known_is_channel(fd))
		return fail(ENOTTY);
	return flags & MSG_DONTWAIT ? pwritev2(fd, iov, count, -1, RWF_NOWAIT) :
				      NEXT(writev)(fd, iov, count);
}

/* What is left of @iov behind @done bytes, as far as one buffer has it. */
static struct iovec rest_of(const struct iovec *iov, size_t count, size_t done)
{
	for (; count; iov++, count--) {
		if (done < iov->iov_len)
			return (struct iovec){ (char *)iov->iov_base + done, iov->iov_len - done };
		done -= iov->iov_len;
	}
	return (struct iovec){ 0 };
}

/* All bytes, or as many as go within the channel's limit. */
static ssize_t write_in_time(int fd, const struct iovec *iov, size_t count, int flags)
{
	struct iovec rest;
	int64_t until = 0;
	size_t total = 0;
	ssize_t ret;

	if ((flags & MSG_DONTWAIT) || !limit_get(fd, LIMIT_OUT))
		return write_some(fd, iov, count, flags);
	flags |= MSG_DONTWAIT;
	ret = write_some(fd, iov, count, flags);
	for (;;) {
		total += ret > 0 ? ret : 0;
		rest = rest_of(iov, count, total);
		if (!rest.iov_len)
			return total ? (ssize_t)total : ret;
		if (ret < 0 && (errno != EAGAIN || !limit_wait(fd, LIMIT_OUT, &until)))
			return total ? (ssize_t)total : ret;
		ret = write_some(fd, &rest, 1, flags);
	}
}

/*
 * While the answer to a name is still to be collected, the driver takes what is written for a name:
 * it refuses other bytes, and those of the same name would be lost. Returns true when the channel
 * is connected.
 */
static bool collect(int fd, int flags)
{
	int ret = naming_collect(fd, !(flags & MSG_DONTWAIT));

	if (!ret)
		return true;
	errno = ret == -EINPROGRESS ? EAGAIN : naming_errno(-ret);
	return false;
}

static bool is_ready(int fd, int flags)
{
	return !known_has(fd, KNOWN_PENDING) || !known_is_channel(fd) || collect(fd, flags);
}

bool transfer_is_unnamed(int error)
{
	return error == EALREADY || error == EINVAL || error == ENAMETOOLONG;
}

ssize_t transfer_send(int fd, const struct iovec *iov, size_t count, int flags)
{
	ssize_t ret = -1;

	if (is_ready(fd, flags))
		ret = write_in_time(fd, iov, count, flags & ~MSG_PEEK);
	if (ret < 0 && transfer_is_unnamed(errno) && collect(fd, flags))
		ret = write_in_time(fd, iov, count, flags & ~MSG_PEEK);
	/* A channel is no socket for the kernel, which sends no signal. */
	if (ret < 0 && errno == EPIPE && !(flags & MSG_NOSIGNAL)) {
		raise(SIGPIPE);
		errno = EPIPE;
	}
	return ret;
}

static bool has_descriptors(const struct msghdr *message)
{
	struct msghdr copy = *message;

	for (struct cmsghdr *control = CMSG_FIRSTHDR(&copy); control;
	     control = CMSG_NXTHDR(&copy, control))
		if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS)
			return true;
	return false;
}

ssize_t transfer_sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (has_descriptors(message))
		return fail(EBADMSG);
	return transfer_send(fd, message->msg_iov, message->msg_iovlen, flags);
}

/* ---- in ---- */

static ssize_t read_some(int fd, const struct iovec *iov, size_t count, int flags)
{
	ssize_t ret = fail(ENOTTY);

	/* A look at the first buffer's bytes alone would say that there are no more. */
	if (count > 1 && (flags & MSG_PEEK))
		return fail(EOPNOTSUPP);
	if (count == 1)
		ret = ask_driver(fd, MANYPORT_IOC_RECV, iov, flags);
	if (ret >= 0 || errno != ENOTTY)
		return ret;
	if (!known_is_channel(fd))
		return fail(ENOTTY);
	if (flags & MSG_PEEK)
		return fail(EOPNOTSUPP);
	return flags & MSG_DONTWAIT ? preadv2(fd, iov, count, -1, RWF_NOWAIT) :
				      NEXT(readv)(fd, iov, count);
}

static ssize_t read_in_time(int fd, const struct iovec *iov, size_t count, int flags,
			    int64_t *until)
{
	ssize_t ret;

	if ((flags & MSG_DONTWAIT) || !limit_get(fd, LIMIT_IN))
		return read_some(fd, iov, count, flags);
	do
		ret = read_some(fd, iov, count, flags | MSG_DONTWAIT);
	while (ret < 0 && errno == EAGAIN && limit_wait(fd, LIMIT_IN, until));
	return ret;
}

/* Reads until each buffer is full, or the call would have to say something else. */
static ssize_t read_all(int fd, const struct iovec *iov, size_t count, int flags)
{
	ssize_t total = 0, ret = 0;
	int64_t until = 0;

	for (size_t i = 0; i < count; i++) {
		for (size_t done = 0; done < iov[i].iov_len; done += ret) {
			struct iovec rest = { (char *)iov[i].iov_base + done,
					      iov[i].iov_len - done };

			ret = read_in_time(fd, &rest, 1, flags, &until);
			if (ret <= 0)
				return total ? total : ret;
			total += ret;
		}
	}
	return total;
}

ssize_t transfer_recv(int fd, const struct iovec *iov, size_t count, int flags)
{
	bool waits_for_all = (flags & MSG_WAITALL) && !(flags & (MSG_PEEK | MSG_DONTWAIT));
	int64_t until = 0;

	if (!is_ready(fd, flags))
		return -1;
	return waits_for_all ? read_all(fd, iov, count, flags) :
			       read_in_time(fd, iov, count, flags, &until);
}

ssize_t transfer_recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t ret = transfer_recv(fd, message->msg_iov, message->msg_iovlen, flags);

	if (ret < 0)
		return ret;
	message->msg_namelen = 0;
	message->msg_controllen = 0;
	message->msg_flags = 0;
	return ret;
}

/* ---- what a stream without urgent bytes has no answer to ---- */

int transfer_lacks(int flags, bool is_send)
{
	if (flags & MSG_OOB)
		return is_send ? EOPNOTSUPP : EINVAL;
	if (!is_send && (flags & MSG_ERRQUEUE))
		return EAGAIN;
	return !is_send && (flags & MSG_TRUNC) ? EOPNOTSUPP : 0;
}
