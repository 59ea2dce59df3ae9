/* SPDX-License-Identifier: MIT */
/*
 * One direction of a stream between two links: what one has sent, and the other has not got. It
 * takes and gives as many bytes as its caller says, and loses what its caller says.
 */
#ifndef TESTS_UNIT_LINK_PIPE_H
#define TESTS_UNIT_LINK_PIPE_H

#include <assert.h>
#include <string.h>

#include "link/link.h"

#define PIPE_SIZE (64U << 10)

struct pipe {
	_Alignas(struct mp_frame) char bytes[PIPE_SIZE];
	size_t len;
};

/* @link sends at most @most bytes. Returns how many. */
static inline size_t pipe_send(struct pipe *pipe, struct link *link, size_t most, uint64_t now)
{
	struct iovec iov[OUTBOX_IOVS];
	size_t room = PIPE_SIZE - pipe->len, sent = 0;
	int count = link_iov(link, iov);

	most = most < room ? most : room;
	for (int i = 0; i < count && sent < most; i++) {
		size_t left = most - sent, part = iov[i].iov_len < left ? iov[i].iov_len : left;

		memcpy(pipe->bytes + pipe->len, iov[i].iov_base, part);
		pipe->len += part;
		sent += part;
	}
	if (count)
		link_sent(link, sent, now);
	return sent;
}

/* The last @len bytes were sent, and never come. */
static inline void pipe_lose(struct pipe *pipe, size_t len)
{
	assert(len <= pipe->len);
	pipe->len -= len;
}

/* How many bytes @link can get now. */
static inline size_t pipe_ready(const struct pipe *pipe, struct link *link)
{
	void *buf;
	size_t room = link_room(link, &buf);

	return pipe->len < room ? pipe->len : room;
}

/* @link gets @len bytes, of those that are ready. */
static inline void pipe_deliver(struct pipe *pipe, struct link *link, size_t len, uint64_t now)
{
	void *buf;

	link_room(link, &buf);
	memcpy(buf, pipe->bytes, len);
	pipe->len -= len;
	memmove(pipe->bytes, pipe->bytes + len, pipe->len);
	if (len)
		link_came(link, len, now);
}

#endif
