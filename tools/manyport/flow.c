// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <manyport/client.h>

#include "flow.h"

/* A flow moves at most this much before the others have their turn. */
#define TURN_BYTES (8 * FLOW_BUF_SIZE)

/* ---- sides ---- */

void side_init(struct side *side, enum side_kind kind, int fd)
{
	*side = (struct side){ .fd = fd, .kind = kind, .writable = true, .short_is_dry = true };
	side->watch.fd = -1;
}

static uint32_t wanted_events(const struct side *side)
{
	return EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET | (side->watches_room ? EPOLLOUT : 0);
}

int side_watch(struct loop *loop, struct side *side,
	       void (*ready)(struct loop_watch *watch, uint32_t events))
{
	return loop_watch_add(loop, &side->watch, side->fd, wanted_events(side), ready);
}

void side_watch_room(struct side *side, bool watches)
{
	if (side->watches_room == watches)
		return;
	side->watches_room = watches;
	loop_watch_modify(&side->watch, wanted_events(side));
}

void side_learn(struct side *side, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		side->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		side->writable = true;
	if (events & EPOLLHUP)
		side->hung_up = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		side->short_is_dry = false;
}

int side_take(struct side *side)
{
	int fd = side->fd;

	loop_watch_remove(&side->watch);
	side->fd = -1;
	return fd;
}

/*
 * Without room for control messages the kernel closes a descriptor that comes along, before this
 * process has it, and says so by MSG_CTRUNC.
 */
static ssize_t read_unix(int fd, char *buf, size_t size)
{
	struct iovec iov = { buf, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t ret = recvmsg(fd, &message, 0);

	if (ret >= 0 && (message.msg_flags & MSG_CTRUNC)) {
		errno = EBADMSG;
		return -1;
	}
	return ret;
}

/* Returns bytes, 0 (nothing now, or with *ended no more), or -errno. */
static ssize_t side_read(struct side *side, char *buf, size_t size, bool *ended)
{
	ssize_t ret;

	if (!side->readable)
		return 0;
	do {
		ret = side->kind == SIDE_UNIX ? read_unix(side->fd, buf, size) :
						read(side->fd, buf, size);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0 && errno != EAGAIN)
		return -errno;
	if (ret <= 0 || ((size_t)ret < size && side->short_is_dry))
		side->readable = false;
	*ended = !ret;
	return ret < 0 ? 0 : ret;
}

/* Returns bytes, 0 when there is no room now, or -errno. */
static ssize_t side_write(struct side *side, const char *data, size_t len)
{
	ssize_t ret;

	if (!side->writable)
		return 0;
	do {
		if (side->kind == SIDE_PORT)
			ret = write(side->fd, data, len);
		else
			ret = send(side->fd, data, len, MSG_NOSIGNAL);
	} while (ret < 0 && errno == EINTR);
	if (ret >= 0)
		return ret;
	if (errno != EAGAIN)
		return -errno;
	side->writable = false;
	side_watch_room(side, true);
	return 0;
}

static void side_say_end(struct side *side)
{
	if (side->kind == SIDE_PORT)
		manyport_shutdown(side->fd, SHUT_WR);
	else
		shutdown(side->fd, SHUT_WR);
}

/* ---- flows ---- */

void flow_forget(struct flow *flow)
{
	free(flow->held);
	flow->held = NULL;
}

static ssize_t write_some(struct flow *flow, const char *data, size_t len)
{
	ssize_t ret;

	if (flow->is_dropped)
		return len;
	ret = side_write(flow->to, data, len);
	if (ret > 0)
		flow->bytes += ret;
	return ret;
}

static ssize_t write_held(struct flow *flow)
{
	ssize_t ret = write_some(flow, flow->held + flow->held_done,
				 flow->held_len - flow->held_done);

	if (ret <= 0)
		return ret;
	flow->held_done += ret;
	if (flow->held_done == flow->held_len)
		flow_forget(flow);
	return ret;
}

static int hold(struct flow *flow, const char *data, size_t len)
{
	flow->held = malloc(len);
	if (!flow->held)
		return -ENOMEM;
	memcpy(flow->held, data, len);
	flow->held_len = len;
	flow->held_done = 0;
	return 0;
}

/* Returns bytes read, 0 when there is nothing now or no more, or -errno. */
static ssize_t read_and_write(struct flow *flow, char *buf, struct side **failed)
{
	ssize_t len, done = 0, ret = 0;

	*failed = flow->from;
	len = side_read(flow->from, buf, FLOW_BUF_SIZE, &flow->from_ended);
	if (len <= 0)
		return len;
	*failed = flow->to;
	do {
		ret = write_some(flow, buf + done, len - done);
		if (ret > 0)
			done += ret;
	} while (ret > 0 && done < len);
	/* Bytes that a channel does not take are kept: another channel may be tried. */
	if (done < len && hold(flow, buf + done, len - done))
		return -ENOMEM;
	return ret < 0 ? ret : len;
}

int flow_move(struct flow *flow, char *buf, struct side **failed)
{
	ssize_t ret, moved = 0;

	while (!flow->is_done && moved < TURN_BYTES) {
		if (flow->held) {
			*failed = flow->to;
			ret = write_held(flow);
		} else if (flow->from_ended) {
			flow->is_done = true;
			side_say_end(flow->to);
			return 0;
		} else {
			ret = read_and_write(flow, buf, failed);
			if (!ret && flow->from_ended)
				continue;
		}
		if (ret <= 0)
			return ret;
		moved += ret;
	}
	return !flow->is_done;
}
