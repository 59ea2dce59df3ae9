// SPDX-License-Identifier: MIT
/*
 * What the program calls. A descriptor that is not known for a channel goes to the C library's
 * call, so a socket costs nothing, and what the kernel says stands unless it is ENOTSOCK. One
 * that is known goes to the channel's call, and to the other if that finds that it is no channel
 * any more.
 */
#include <errno.h>
#include <unistd.h>

#include "preload.h"

#define EXPORT __attribute__((visibility("default")))

/* @ret and errno are what a socket's call gave: was that for a channel? */
static bool was_channel(int fd, ssize_t ret)
{
	return ret < 0 && errno == ENOTSOCK && known_is_channel(fd);
}

/*
 * The same of a channel's call: was that for a channel? Other files say ENOTTY, but not all: a
 * socket of AF_VSOCK says EOPNOTSUPP. So an error that is no everyday one of a channel needs proof.
 */
static bool is_answer(int fd, ssize_t ret)
{
	if (ret >= 0)
		return true;
	switch (errno) {
	case EAGAIN:
	case EINTR:
	case EPIPE:
	case ECONNRESET:
		return true;
	case ENOTTY:
		known_clear(fd);
		return false;
	default:
		return known_is_channel(fd);
	}
}

/* Flags that only a socket has an answer to go there, and what is in their place comes after it. */
static bool begins_here(int fd, int flags, bool is_send)
{
	return known_maybe(fd) && !transfer_lacks(flags, is_send);
}

static bool ends_here(int fd, ssize_t ret, int flags, bool is_send)
{
	int error;

	if (!was_channel(fd, ret))
		return false;
	error = transfer_lacks(flags, is_send);
	errno = error ? error : errno;
	return !error;
}

EXPORT int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	const struct target *target = target_find(address, len);
	int ret = target ? connect_replace(fd, target) : 1;

	if (ret <= 0)
		return ret;
	ret = NEXT(connect)(fd, address, len);
	return was_channel(fd, ret) ? connect_channel(fd) : ret;
}

EXPORT ssize_t send(int fd, const void *data, size_t len, int flags)
{
	struct iovec iov = { (void *)data, len };
	ssize_t ret;

	if (begins_here(fd, flags, true)) {
		ret = transfer_send(fd, &iov, 1, flags);
		if (is_answer(fd, ret))
			return ret;
	}
	ret = NEXT(send)(fd, data, len, flags);
	return ends_here(fd, ret, flags, true) ? transfer_send(fd, &iov, 1, flags) : ret;
}

/* The address is for sockets that are not connected. */
EXPORT ssize_t sendto(int fd, const void *data, size_t len, int flags,
		      const struct sockaddr *address, socklen_t address_len)
{
	struct iovec iov = { (void *)data, len };
	ssize_t ret;

	if (!address)
		return send(fd, data, len, flags);
	ret = NEXT(sendto)(fd, data, len, flags, address, address_len);
	return ends_here(fd, ret, flags, true) ? transfer_send(fd, &iov, 1, flags) : ret;
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t ret;

	if (begins_here(fd, flags, true)) {
		ret = transfer_sendmsg(fd, message, flags);
		if (is_answer(fd, ret))
			return ret;
	}
	ret = NEXT(sendmsg)(fd, message, flags);
	return ends_here(fd, ret, flags, true) ? transfer_sendmsg(fd, message, flags) : ret;
}

static bool is_whole(const struct mmsghdr *message)
{
	size_t len = 0;

	for (size_t i = 0; i < message->msg_hdr.msg_iovlen; i++)
		len += message->msg_hdr.msg_iov[i].iov_len;
	return message->msg_len == len;
}

/* Behind a message of which a part went nothing may go: the part that is left comes first. */
EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	int ret = NEXT(sendmmsg)(fd, messages, count, flags);
	unsigned int i;
	ssize_t bytes;

	if (!ends_here(fd, ret, flags, true))
		return ret;
	for (i = 0; i < count && (!i || is_whole(&messages[i - 1])); i++) {
		bytes = transfer_sendmsg(fd, &messages[i].msg_hdr, flags);
		if (bytes < 0)
			break;
		messages[i].msg_len = bytes;
	}
	return i ? (int)i : -!!count;
}

EXPORT ssize_t recv(int fd, void *data, size_t len, int flags)
{
	struct iovec iov = { data, len };
	ssize_t ret;

	if (begins_here(fd, flags, false)) {
		ret = transfer_recv(fd, &iov, 1, flags);
		if (is_answer(fd, ret))
			return ret;
	}
	ret = NEXT(recv)(fd, data, len, flags);
	return ends_here(fd, ret, flags, false) ? transfer_recv(fd, &iov, 1, flags) : ret;
}

EXPORT ssize_t recvfrom(int fd, void *data, size_t len, int flags, struct sockaddr *address,
			socklen_t *address_len)
{
	struct iovec iov = { data, len };
	ssize_t ret;

	if (!address)
		return recv(fd, data, len, flags);
	ret = NEXT(recvfrom)(fd, data, len, flags, address, address_len);
	if (!ends_here(fd, ret, flags, false))
		return ret;
	ret = transfer_recv(fd, &iov, 1, flags);
	if (ret >= 0 && address_len)
		*address_len = 0;
	return ret;
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t ret;

	if (begins_here(fd, flags, false)) {
		ret = transfer_recvmsg(fd, message, flags);
		if (is_answer(fd, ret))
			return ret;
	}
	ret = NEXT(recvmsg)(fd, message, flags);
	return ends_here(fd, ret, flags, false) ? transfer_recvmsg(fd, message, flags) : ret;
}

/* The kernel looks at @limit between messages only, and here what is there makes one message. */
EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
		    struct timespec *limit)
{
	int ret = NEXT(recvmmsg)(fd, messages, count, flags, limit);
	ssize_t bytes;

	if (!ends_here(fd, ret, flags, false) || !count)
		return ret;
	bytes = transfer_recvmsg(fd, &messages[0].msg_hdr, flags & ~MSG_WAITFORONE);
	if (bytes < 0)
		return -1;
	messages[0].msg_len = bytes;
	return 1;
}

/*
 * read and write are the kernel's, but where a channel has a limit of time, and where the answer to
 * its name may still be to collect.
 */
static bool needs_more(int fd, enum limit_way way)
{
	return limit_get(fd, way) || known_has(fd, KNOWN_PENDING);
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int count)
{
	ssize_t ret;

	if (count > 0 && needs_more(fd, LIMIT_IN)) {
		ret = transfer_recv(fd, iov, count, 0);
		if (is_answer(fd, ret))
			return ret;
	}
	return NEXT(readv)(fd, iov, count);
}

EXPORT ssize_t read(int fd, void *data, size_t len)
{
	struct iovec iov = { data, len };

	return needs_more(fd, LIMIT_IN) ? readv(fd, &iov, 1) : NEXT(read)(fd, data, len);
}

/*
 * @ret and errno are what the kernel gave. A channel that was not ready for bytes may be by now,
 * and the signal of an end is not the kernel's for a channel.
 */
static ssize_t write_again(int fd, const struct iovec *iov, int count, ssize_t ret)
{
	if (ret >= 0 || !known_maybe(fd) || (errno != EPIPE && !transfer_is_unnamed(errno)) ||
	    !known_is_channel(fd))
		return ret;
	return transfer_send(fd, iov, count, 0);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int count)
{
	ssize_t ret;

	if (count > 0 && needs_more(fd, LIMIT_OUT)) {
		ret = transfer_send(fd, iov, count, 0);
		if (is_answer(fd, ret))
			return ret;
	}
	ret = NEXT(writev)(fd, iov, count);
	return write_again(fd, iov, count, ret);
}

EXPORT ssize_t write(int fd, const void *data, size_t len)
{
	struct iovec iov = { (void *)data, len };
	ssize_t ret;

	if (needs_more(fd, LIMIT_OUT))
		return writev(fd, &iov, 1);
	ret = NEXT(write)(fd, data, len);
	return write_again(fd, &iov, 1, ret);
}

/* What programs call that were built with _FORTIFY_SOURCE. */
EXPORT ssize_t __read_chk(int fd, void *data, size_t len, size_t size);
EXPORT ssize_t __recv_chk(int fd, void *data, size_t len, size_t size, int flags);
EXPORT ssize_t __recvfrom_chk(int fd, void *data, size_t len, size_t size, int flags,
			      struct sockaddr *address, socklen_t *address_len);

EXPORT ssize_t __read_chk(int fd, void *data, size_t len, size_t size)
{
	if (len > size)
		__builtin_trap();
	return read(fd, data, len);
}

EXPORT ssize_t __recv_chk(int fd, void *data, size_t len, size_t size, int flags)
{
	if (len > size)
		__builtin_trap();
	return recv(fd, data, len, flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *data, size_t len, size_t size, int flags,
			      struct sockaddr *address, socklen_t *address_len)
{
	if (len > size)
		__builtin_trap();
	return recvfrom(fd, data, len, flags, address, address_len);
}

EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int ret = NEXT(getsockopt)(fd, level, name, value, len);

	return was_channel(fd, ret) ? option_get(fd, level, name, value, len) : ret;
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int ret = NEXT(setsockopt)(fd, level, name, value, len);

	return was_channel(fd, ret) ? option_set(fd, level, name, value, len) : ret;
}

EXPORT int shutdown(int fd, int how)
{
	int ret = NEXT(shutdown)(fd, how);

	if (!was_channel(fd, ret))
		return ret;
	ret = manyport_shutdown(fd, how);
	if (!ret)
		return 0;
	errno = -ret;
	return -1;
}

EXPORT int getpeername(int fd, struct sockaddr *address, socklen_t *len)
{
	int ret = NEXT(getpeername)(fd, address, len);

	return was_channel(fd, ret) ? option_peer(fd, address, len) : ret;
}

EXPORT int getsockname(int fd, struct sockaddr *address, socklen_t *len)
{
	int ret = NEXT(getsockname)(fd, address, len);

	return was_channel(fd, ret) ? option_self(fd, address, len) : ret;
}

EXPORT int epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
	int ret = NEXT(epoll_ctl)(set, operation, fd, event);

	if (!ret && operation != EPOLL_CTL_DEL)
		watch_note(set, fd, event);
	return ret;
}
