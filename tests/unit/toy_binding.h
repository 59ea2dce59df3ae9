/* SPDX-License-Identifier: MIT */
/*
 * A second way to the channel core, in small: frames over a socket pair, one message each, with
 * absolute grants in both directions. It knows no ring and no guest memory.
 *
 *	to the host	OPEN name, DATA bytes, GRANT offset, SHUT, CLOSE, ABORT
 *	to the guest	STATE phase and cause, DATA bytes, GRANT offset, END
 *
 * The guest may send up to the offset that it was granted; what the service does not take is held
 * here and never more than TOY_WINDOW. Bytes for the guest stay with the service until
 * it grants more.
 */
#ifndef TESTS_UNIT_TOY_BINDING_H
#define TESTS_UNIT_TOY_BINDING_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "channel/channel.h"

#define TOY_WINDOW   4096
#define TOY_CHANNELS 8

enum toy_type { TOY_OPEN, TOY_DATA, TOY_GRANT, TOY_SHUT, TOY_CLOSE, TOY_ABORT, TOY_STATE, TOY_END };

struct toy_frame {
	uint32_t type, channel;
	uint64_t value;			/* GRANT: offset; STATE: phase << 16 | cause */
	uint32_t len;
	char bytes[1024];
};

struct toy_channel {
	struct channel channel;
	struct toy *toy;
	uint32_t number;
	uint64_t may_send;		/* to the guest: up to this offset */
	uint64_t granted;		/* to the host: up to this offset */
	char held[TOY_WINDOW];		/* what the service has not taken */
	size_t held_len;
	bool is_shut;			/* the guest has said SHUT: after what is held */
	bool has_told_end;
	int told;			/* the last STATE; -1: none */
};

struct toy {
	struct core core;
	struct gate gate;
	int fd;				/* the host's end */
	struct toy_channel *channels[TOY_CHANNELS];
};

static inline void toy_send(struct toy_channel *c, uint32_t type, uint64_t value,
			    const void *bytes, uint32_t len)
{
	struct toy_frame frame = { .type = type, .channel = c->number, .value = value, .len = len };
	ssize_t size = offsetof(struct toy_frame, bytes) + len;

	if (len)
		memcpy(frame.bytes, bytes, len);
	if (send(c->toy->fd, &frame, size, MSG_DONTWAIT | MSG_NOSIGNAL) != size)
		abort();	/* the tests leave room for all frames */
}

/* What is held goes to the service, then the guest may send more. */
static inline void toy_move_out(struct toy_channel *c)
{
	struct channel *ch = &c->channel;
	struct iovec iov = { .iov_base = c->held, .iov_len = c->held_len };
	struct bytes bytes = { .iov = &iov, .count = 1 };

	if (ch->phase != CHANNEL_CONNECTED && ch->phase != CHANNEL_CLOSING)
		return;
	if (c->held_len)
		transfer_write(ch, &bytes);
	c->held_len -= bytes.moved;
	memmove(c->held, c->held + bytes.moved, c->held_len);
	if (c->is_shut && ch->phase == CHANNEL_CONNECTED && !ch->out.has_ended)
		close_shut(ch, MP_SHUT_WRITE, ch->out.offset + c->held_len);
	if (c->granted == ch->out.offset + TOY_WINDOW)
		return;
	c->granted = ch->out.offset + TOY_WINDOW;
	toy_send(c, TOY_GRANT, c->granted, NULL, 0);
}

static inline void toy_move_in(struct toy_channel *c)
{
	struct channel *ch = &c->channel;
	char buf[sizeof(((struct toy_frame *)0)->bytes)];
	enum moved result = MOVED_ALL;

	while (ch->phase == CHANNEL_CONNECTED && result == MOVED_ALL &&
	       ch->in.offset < c->may_send) {
		uint64_t room = c->may_send - ch->in.offset;
		struct iovec iov = {
			.iov_base = buf, .iov_len = room < sizeof(buf) ? room : sizeof(buf),
		};
		struct bytes bytes = { .iov = &iov, .count = 1 };

		result = transfer_read(ch, &bytes);
		if (bytes.moved)
			toy_send(c, TOY_DATA, 0, buf, bytes.moved);
	}
	if (ch->in.has_ended && !c->has_told_end)
		toy_send(c, TOY_END, 0, NULL, 0);
	c->has_told_end = ch->in.has_ended;
}

/* What has become of the channel, by a call or without one. */
static inline void toy_look(struct toy_channel *c)
{
	struct channel *ch = &c->channel;
	int state;

	toy_move_out(c);
	toy_move_in(c);
	state = ch->phase << 16 | ch->cause;
	if (state != c->told)
		toy_send(c, TOY_STATE, state, NULL, 0);
	c->told = state;
	if (ch->phase != CHANNEL_CLOSED)
		return;
	c->toy->channels[c->number] = NULL;
	channel_drop(ch);
}

static inline void toy_changed(struct channel *ch)
{
	toy_look(container_of(ch, struct toy_channel, channel));
}

static inline struct toy_channel *toy_create(struct toy *toy, uint32_t number)
{
	const struct mp_opener opener = { .uid = 1000, .channel = number };
	struct toy_channel *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->toy = toy;
	c->number = number;
	c->told = -1;
	toy->channels[number] = c;
	channel_init(&c->channel, &toy->core, toy_changed, &toy->gate, &opener);
	return c;
}

static inline void toy_handle(struct toy *toy, const struct toy_frame *frame)
{
	struct toy_channel *c = toy->channels[frame->channel];

	if (!c && frame->type != TOY_OPEN)
		return;		/* late: the channel is over */
	if (!c)
		c = toy_create(toy, frame->channel);
	switch ((enum toy_type)frame->type) {
	case TOY_OPEN:
		connect_begin(&c->channel, frame->bytes, frame->len);
		break;
	case TOY_DATA:
		if (c->channel.out.offset + c->held_len + frame->len > c->granted)
			abort();	/* beyond the grant: the tests do not */
		memcpy(c->held + c->held_len, frame->bytes, frame->len);
		c->held_len += frame->len;
		break;
	case TOY_GRANT:
		c->may_send = frame->value;
		break;
	case TOY_SHUT:
		c->is_shut = true;
		break;
	case TOY_CLOSE:
		close_begin(&c->channel, c->channel.out.offset + c->held_len);
		break;
	default:
		close_abort(&c->channel);
	}
	toy_look(c);
}

/* An entry: all frames that have come. */
static inline void toy_serve(struct toy *toy)
{
	struct toy_frame frame;

	while (recv(toy->fd, &frame, sizeof(frame), MSG_DONTWAIT) > 0)
		toy_handle(toy, &frame);
	core_settle(&toy->core);
}

/* The guest is gone. */
static inline void toy_leave(struct toy *toy)
{
	for (int i = 0; i < TOY_CHANNELS; i++) {
		struct toy_channel *c = toy->channels[i];

		toy->channels[i] = NULL;
		if (c)
			channel_leave(&c->channel, MP_END_CUT);
	}
	core_settle(&toy->core);
}

#endif
