// SPDX-License-Identifier: MIT
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/iov.h"
#include "base/list.h"
#include "base/log.h"
#include "base/record.h"
#include "service/leave.h"
#include "service/socket_stream.h"

/*
 * A large send buffer lets one write of a guest be one system call, but what
 * a service does not read lies in kernel memory of this process. So only
 * streams that write in bulk get one, and only so many at a time: when all are taken, the
 * stream that has not written in bulk for the longest time, and not lately, gives its own up.
 */
#define WIDE_BYTES	(4 << 20)
#define WIDE_FROM	(64U << 10)
#define WIDE_STREAMS	64
#define WIDE_IDLE_MS	1000
#define MAX_ERROR	4095	/* of the kernel */
static struct list wide = LIST_HEAD_INIT(wide);	/* in order of the last large write */
static unsigned int wide_streams;

static struct log_limit limit;

/*
 * A short read means that the socket is empty, which saves the call that would give EAGAIN: bytes
 * that come later make an event, since the watch is edge-triggered. Not so once the other end has
 * ended or has sent out-of-band data: a read also stops at the mark of these, with bytes after
 * the mark. Such an end or mark comes with an event, before or after the read.
 */
static void learn_dry(struct socket_stream *stream, uint32_t events)
{
	stream->is_dry = false;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		stream->may_be_dry = false;
}

static bool is_now_dry(const struct socket_stream *stream, const struct msghdr *message,
		       const struct iovec *iov, size_t len)
{
	return stream->may_be_dry && !stream->error && !stream->is_broken &&
	       len < iov_size(iov, message->msg_iovlen);
}

#define IN_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET)

/*
 * A local socket tells of room after each read of the other end, which is to be heard only by who
 * waits for it: so it is watched for from EAGAIN on, until it comes and was not waited for. What is
 * there already makes an event, too.
 */
static void watch_for_room(struct socket_stream *stream, bool wanted)
{
	if (stream->watches_room == wanted)
		return;
	stream->watches_room = wanted;
	loop_watch_modify(&stream->watch, wanted ? IN_EVENTS | EPOLLOUT : IN_EVENTS);
}

void socket_stream_init(struct socket_stream *stream, const struct mp_stream_ops *ops,
			struct mp_peer *peer, const char *name)
{
	memset(stream, 0, sizeof(*stream));
	stream->stream.ops = ops;
	stream->peer = peer;
	stream->name = name;
	list_init(&stream->wide);
	stream->fd = -1;
	stream->watch.fd = -1;
	/* Connecting arms IN [protocol.md 7.2], so the first call is owed at once. */
	stream->owes_readable = true;
	stream->may_be_dry = true;
}

/* The stream whose peer is being called, until it is closed. Such calls never nest (service.h). */
static struct socket_stream *reporting;

static void report(struct socket_stream *stream, bool readable, bool writable, uint16_t hung_up)
{
	readable = readable && stream->owes_readable;
	writable = writable && stream->owes_writable;
	if (readable)
		stream->owes_readable = false;
	if (writable)
		stream->owes_writable = false;
	reporting = stream;
	if (readable)
		stream->peer->ops->readable(stream->peer);
	if (writable && reporting == stream)
		stream->peer->ops->writable(stream->peer);
	if (hung_up && reporting == stream)
		stream->peer->ops->hung_up(stream->peer, hung_up);
	reporting = NULL;
}

void socket_stream_report_readable(struct socket_stream *stream)
{
	stream->is_dry = false;
	stream->may_be_dry = false;
	report(stream, true, false, 0);
}

static void socket_ready(struct loop_watch *watch, uint32_t events)
{
	struct socket_stream *stream = container_of(watch, struct socket_stream, watch);

	learn_dry(stream, events);
	if ((events & EPOLLOUT) && !stream->owes_writable)
		watch_for_room(stream, false);
	/* An end or a failure moves both directions. */
	report(stream, events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR),
	       events & (EPOLLOUT | EPOLLHUP | EPOLLERR),
	       (events & (EPOLLRDHUP | EPOLLHUP) ? MP_SHUT_READ : 0) |
	       (events & EPOLLHUP ? MP_SHUT_WRITE : 0));
}

int socket_stream_attach(struct socket_stream *stream, struct loop *loop, int fd)
{
	int family = 0;
	socklen_t len = sizeof(family);
	int ret = loop_watch_add(loop, &stream->watch, fd, IN_EVENTS, socket_ready);

	if (ret)
		return ret;
	watch_for_room(stream, stream->owes_writable);
	stream->fd = fd;
	stream->local = !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) && family == AF_UNIX;
	return 0;
}

int socket_stream_take(struct socket_stream *stream)
{
	int fd = stream->fd;

	if (reporting == stream)
		reporting = NULL;
	if (list_is_linked(&stream->wide))
		wide_streams--;
	list_del(&stream->wide);
	if (fd >= 0)
		loop_watch_remove(&stream->watch);
	stream->fd = -1;
	return fd;
}

/*
 * A close() with unread input is a reset, for a local socket too: the other end would meet an
 * error after our last byte instead of the end. So the socket is shut for reading, and its input
 * is thrown away.
 */
static void discard_input(int fd)
{
	static char scratch[65536];
	ssize_t len;

	shutdown(fd, SHUT_RD);
	do {
		len = recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT);
	} while (len > 0 || (len < 0 && errno == EINTR));
}

void socket_stream_end(int fd, enum mp_end how, bool is_local)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (how != MP_END_WHOLE && !is_local)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (how == MP_END_WHOLE && is_local)
		discard_input(fd);
	close(fd);
}

void socket_stream_detach(struct socket_stream *stream, enum mp_end how)
{
	bool is_clean = stream->local && stream->has_ended;
	int fd = socket_stream_take(stream);

	if (fd < 0)
		return;
	if (is_clean)
		close(fd);
	else
		socket_stream_end(fd, how, stream->local);
}

uint64_t socket_stream_backlog(struct mp_stream *base, bool *is_kept)
{
	struct socket_stream *stream = (struct socket_stream *)base;

	*is_kept = stream->local;
	return stream->fd < 0 ? 0 : leave_queued(stream->fd);
}

/*
 * The descriptor is lost, so the guest cannot make sense of what the service says about it. The
 * stream fails after the bytes that came with the descriptor, and the service sees the end.
 */
static void fail_for_descriptor(struct socket_stream *stream)
{
	log_limited(&limit, LOG_LEVEL_WARNING, "service %s passed a descriptor, which cannot "
		    "travel: the channel fails", stream->name);
	stream->is_broken = true;
	shutdown(stream->fd, SHUT_RDWR);
}

ssize_t socket_stream_readv(struct mp_stream *base, const struct iovec *iov, int count)
{
	struct socket_stream *stream = (struct socket_stream *)base;
	struct msghdr message = { .msg_iov = (struct iovec *)iov };
	ssize_t len;

	if (stream->is_broken)
		return -ECONNRESET;
	if (stream->is_dry) {
		stream->owes_readable = true;
		return -EAGAIN;
	}
	/* More than one call can describe is a short count, not an error. */
	message.msg_iovlen = count < IOV_MAX ? count : IOV_MAX;
	do {
		len = recvmsg(stream->fd, &message, MSG_DONTWAIT);
	} while (len < 0 && errno == EINTR);
	if (len > 0) {
		if (message.msg_flags & MSG_CTRUNC)
			fail_for_descriptor(stream);
		stream->is_dry = is_now_dry(stream, &message, iov, len);
		return len;
	}
	if (!len) {
		stream->has_ended = true;
		return -stream->error;
	}
	if (errno == EAGAIN)
		stream->owes_readable = true;
	return -errno;
}

static void narrow(struct socket_stream *stream)
{
	/* getsockopt() gives twice the size that setsockopt() takes. */
	const int bytes = stream->narrow_bytes / 2;

	list_del(&stream->wide);
	wide_streams--;
	setsockopt(stream->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* Called for each write in bulk: gives the stream one of the large send buffers. */
static void widen(struct socket_stream *stream)
{
	struct socket_stream *idlest = list_first(&wide, struct socket_stream, wide);
	socklen_t len = sizeof(stream->narrow_bytes);
	const int bytes = WIDE_BYTES;

	stream->wide_ms = loop_now(stream->watch.loop);
	if (list_is_linked(&stream->wide)) {
		list_del(&stream->wide);
		list_add_tail(&wide, &stream->wide);
		return;
	}
	if (wide_streams >= WIDE_STREAMS) {
		if (stream->wide_ms - idlest->wide_ms < WIDE_IDLE_MS)
			return;
		narrow(idlest);
	}
	if (getsockopt(stream->fd, SOL_SOCKET, SO_SNDBUF, &stream->narrow_bytes, &len))
		return;
	list_add_tail(&wide, &stream->wide);
	wide_streams++;
	/* A process with privilege may exceed the system's limit; others get the limit. */
	if (setsockopt(stream->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(stream->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

ssize_t socket_stream_writev(struct mp_stream *base, const struct iovec *iov, int count)
{
	struct socket_stream *stream = (struct socket_stream *)base;
	struct msghdr message = { .msg_iov = (struct iovec *)iov };
	ssize_t len;

	message.msg_iovlen = count < IOV_MAX ? count : IOV_MAX;
	/* TCP sizes its own buffers. */
	if (stream->local && iov_size(iov, count) > WIDE_FROM)
		widen(stream);
	do {
		len = sendmsg(stream->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (len < 0 && errno == EINTR);
	if (len >= 0)
		return len;
	if (errno == EAGAIN) {
		stream->owes_writable = true;
		watch_for_room(stream, true);
		return -EAGAIN;
	}
	/*
	 * The kernel reports a failure once, and this call took it. What the
	 * service said before may still be there to read, so writing has ended
	 * and reading meets the failure after the last byte [protocol.md 6.6].
	 */
	if (errno != EPIPE && errno != EFAULT) {
		stream->error = errno;
		return -EPIPE;
	}
	return -errno;
}

void socket_stream_shutdown(struct mp_stream *base, uint16_t how)
{
	struct socket_stream *stream = (struct socket_stream *)base;

	if (stream->fd < 0)
		return;
	if (how & MP_SHUT_READ)
		shutdown(stream->fd, SHUT_RD);
	if (how & MP_SHUT_WRITE)
		shutdown(stream->fd, SHUT_WR);
}

/* --- Handing over ------------------------------------------------------------ */

/*
 * The next program watches the socket again, and gets an event for all that is there then: so that
 * nothing is there to read, and which family the socket has, it finds out itself.
 */
static void hand_over(struct socket_stream *stream, bool *is_wide, struct record *record)
{
	stream->error = record_number(record, stream->error, MAX_ERROR);
	record_bool(record, &stream->owes_readable);
	record_bool(record, &stream->owes_writable);
	record_bool(record, &stream->may_be_dry);
	record_bool(record, &stream->is_broken);
	record_bool(record, &stream->has_ended);
	record_bool(record, is_wide);
	record_u64(record, &stream->wide_ms);
	stream->narrow_bytes = record_number(record, stream->narrow_bytes, INT_MAX);
}

void socket_stream_save(struct mp_stream *base, struct record *record)
{
	struct socket_stream *stream = (struct socket_stream *)base;
	bool is_wide = list_is_linked(&stream->wide);

	record_fd(record, stream->fd);
	hand_over(stream, &is_wide, record);
}

void socket_stream_save_taken(int fd, struct record *record)
{
	struct socket_stream stream;

	socket_stream_init(&stream, NULL, NULL, NULL);
	stream.fd = fd;
	socket_stream_save(&stream.stream, record);
}

int socket_stream_restore(struct socket_stream *stream, struct loop *loop, struct record *record)
{
	bool is_wide = false;
	int fd = record_fd(record, -1), ret = 0;

	hand_over(stream, &is_wide, record);
	if (fd < 0)
		return record_is_good(record) ? 0 : -EPROTO;
	if (record_is_good(record))
		ret = socket_stream_attach(stream, loop, fd);
	else
		ret = -EPROTO;
	if (ret) {
		close(fd);
		return ret;
	}
	if (is_wide && wide_streams < WIDE_STREAMS) {
		list_add_tail(&wide, &stream->wide);
		wide_streams++;
	}
	return 1;
}

enum mp_reason socket_reason(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return MP_REASON_DENIED;
	case ETIMEDOUT:
		return MP_REASON_TIMED_OUT;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
	case ENOSPC:
	case EAGAIN:
	case EADDRNOTAVAIL:	/* no local port is left */
		return MP_REASON_BUSY;
	default:
		return MP_REASON_NOT_LISTENING;
	}
}
