/* SPDX-License-Identifier: MIT */
/*
 * Two links back to back, over a pair of byte pipes that cut at random places and lose what a test
 * wants. Each byte of each stream is a function of its place, and is compared at the far end. Time
 * is a number.
 */
#ifndef TESTS_UNIT_LINK_RIG_H
#define TESTS_UNIT_LINK_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "link_pipe.h"

#define RIG_SLOTS 1000

struct rig_channel {
	struct lane lane;
	bool is_used, is_open, is_deaf, is_closing, has_taken;
	uint64_t to_send, to_get;	/* in all */
	uint64_t got;
};

struct rig_end {
	struct rig *rig;
	struct link *link;
	bool is_device;
	struct pipe pipe;		/* what it has sent, and the other has not got */
	unsigned int sessions, ends, lost, closed;
	enum link_session_why why;
	struct link_session_peer peer;
	struct rig_channel channels[RIG_SLOTS];
	uint32_t data_frames;
};

struct rig {
	uint64_t now, random;
	struct rig_end driver, device;
	uint32_t generation;
	uint64_t to_send, to_get;	/* of a channel that is opened, seen from the driver */
	uint32_t loss;			/* of a million bytes */
	uint32_t small;			/* most bytes in a cut; 0: any number */
	bool takes_less;		/* consumers take a tenth, and not the rest at once */
	bool leaves_one;		/* they take all but a byte, and not that at once */
};

static inline uint32_t rig_random(struct rig *rig, uint32_t below)
{
	rig->random = rig->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (rig->random >> 33) % below;
}

static inline void rig_check(struct rig *rig, bool ok, const char *what)
{
	(void)rig;
	if (ok)
		return;
	fprintf(stderr, "# broken: %s\n", what);
	abort();
}

static inline char rig_byte(const struct lane *lane, bool to_device, uint64_t at)
{
	return at * 31 + (at >> 8) + lane->slot * 7 + lane->generation * 13 + to_device;
}

static inline struct rig_channel *rig_of(struct lane *lane)
{
	return container_of(lane, struct rig_channel, lane);
}

static inline void rig_nonce(void *context, uint8_t *nonce)
{
	struct rig_end *end = context;

	for (int i = 0; i < MP_NONCE_SIZE; i++)
		nonce[i] = rig_random(end->rig, 256);
}

static inline void rig_begin(void *context, const struct link_session_peer *peer)
{
	struct rig_end *end = context;

	end->sessions++;
	end->peer = *peer;
}

static inline void rig_end(void *context, enum link_session_why why)
{
	struct rig_end *end = context;

	end->ends++;
	end->why = why;
}

static inline struct rig_channel *rig_attach(struct rig_end *end, uint32_t slot,
					     uint32_t generation)
{
	struct rig_channel *c = &end->channels[slot];
	struct rig *rig = end->rig;

	rig_check(rig, !c->is_used, "the slot is free");
	*c = (struct rig_channel){ .is_used = true };
	c->to_send = end->is_device ? rig->to_get : rig->to_send;
	c->to_get = end->is_device ? rig->to_send : rig->to_get;
	link_attach(end->link, &c->lane, slot, generation, rig->now);
	return c;
}

static inline struct rig_channel *rig_open(struct rig *rig, uint32_t slot)
{
	struct rig_channel *c = rig_attach(&rig->driver, slot, ++rig->generation);

	link_owe(rig->driver.link, &c->lane, LANE_CONNECT);
	return c;
}

static inline bool rig_connect(void *context, struct lane *lane, const struct frame *frame,
			       const void *body)
{
	struct rig_end *end = context;
	struct frame_connect connect;
	struct rig_channel *c;

	if (lane || !frame_get_connect(&connect, body, frame->length))
		return false;
	c = rig_attach(end, frame->slot, frame->generation);
	c->is_open = true;
	link_set_takes(end->link, &c->lane, LANE_BYTES);
	link_owe(end->link, &c->lane, LANE_STATE | LANE_DATA);
	return true;
}

/* The driver closes when it has sent and got all. */
static inline void rig_look(struct rig_end *end, struct rig_channel *c)
{
	if (end->is_device || c->is_closing || !c->is_open || c->got != c->to_get ||
	    c->lane.out.offset != c->to_send)
		return;
	c->is_closing = true;
	link_set_takes(end->link, &c->lane, LANE_DROPS);
	link_owe(end->link, &c->lane, LANE_CLOSE);
}

static inline bool rig_message(void *context, struct lane *lane, const struct frame *frame)
{
	struct rig_end *end = context;
	struct rig_channel *c = rig_of(lane);

	if (frame->type == MP_FRAME_CLOSE) {
		rig_check(end->rig, frame->offset == lane->in.expected, "all was sent");
		c->is_closing = true;
		if (c->got == frame->offset)
			link_owe(end->link, lane, LANE_STATE);
		return true;
	}
	if (frame->type != MP_FRAME_STATE)
		return false;
	if (frame->flags & MP_ST_CLOSED) {
		link_detach(end->link, lane);
		c->is_used = false;
		end->closed++;
		return true;
	}
	c->is_open = true;
	link_set_takes(end->link, lane, LANE_BYTES);
	link_owe(end->link, lane, LANE_DATA);
	rig_look(end, c);
	return true;
}

static inline uint32_t rig_produce(void *context, struct lane *lane, void *buf, uint32_t max)
{
	struct rig_end *end = context;
	struct rig_channel *c = rig_of(lane);
	uint64_t left = c->to_send - lane->out.offset;
	uint32_t len = left < max ? left : max;

	if (end->rig->small && len > 1)
		len = 1 + rig_random(end->rig, len);
	rig_check(end->rig, lane->out.offset + len <= lane->out.granted, "within the grant");
	for (uint32_t i = 0; i < len; i++)
		((char *)buf)[i] = rig_byte(lane, !end->is_device, lane->out.offset + i);
	end->data_frames += len != 0;
	if (!len && !end->is_device && c->got == c->to_get && !c->is_closing) {
		c->is_closing = true;
		link_set_takes(end->link, lane, LANE_DROPS);
		link_owe(end->link, lane, LANE_CLOSE);
	}
	return len;
}

static inline uint32_t rig_consume(void *context, struct lane *lane, const void *buf, uint32_t len)
{
	struct rig_end *end = context;
	struct rig_channel *c = rig_of(lane);
	uint32_t take = c->is_deaf ? 0 : end->rig->small ? rig_random(end->rig, len + 1) : len;

	if (end->rig->takes_less)
		take = c->has_taken ? 0 : len / 10 + 1;
	if (end->rig->leaves_one)
		take = c->has_taken ? 0 : len - 1;
	c->has_taken = take;
	for (uint32_t i = 0; i < take; i++)
		rig_check(end->rig, ((const char *)buf)[i] ==
			  rig_byte(lane, end->is_device, c->got + i), "each byte at its place");
	c->got += take;
	rig_check(end->rig, c->got <= c->to_get, "no byte too many");
	if (end->is_device && c->is_closing && c->got == c->to_get)
		link_owe(end->link, lane, LANE_STATE);
	rig_look(end, c);
	return take;
}

static inline void rig_fill(void *context, struct lane *lane, struct frame *frame, void *body)
{
	struct rig_end *end = context;
	struct rig_channel *c = rig_of(lane);
	const struct frame_connect connect = { .uid = 1000, .name = "echo", .name_len = 4 };

	if (frame->type == MP_FRAME_CONNECT)
		frame->length = frame_put_connect(body, &connect);
	else if (frame->type == MP_FRAME_CLOSE)
		frame->offset = lane->out.offset;
	else if (end->is_device && c->is_closing && c->got == c->to_get)
		frame->flags = MP_ST_CLOSED;
	else
		frame->flags = MP_ST_CONNECTED;
}

static inline void rig_closed(void *context, struct lane *lane)
{
	struct rig_end *end = context;

	rig_of(lane)->is_used = false;
	end->closed++;
}

static inline void rig_cut(void *context, struct lane *lane)
{
	(void)context;
	rig_of(lane)->is_used = false;
}

static inline void rig_lost(void *context, struct lane *lane)
{
	struct rig_end *end = context;

	(void)lane;
	end->lost++;
}

static const struct link_ops rig_ops = {
	.nonce = rig_nonce, .begin = rig_begin, .end = rig_end, .connect = rig_connect,
	.message = rig_message, .produce = rig_produce, .consume = rig_consume, .fill = rig_fill,
	.closed = rig_closed, .cut = rig_cut, .lost = rig_lost,
};

static inline void rig_setup_end(struct rig *rig, struct rig_end *end, bool is_device)
{
	const struct link_config config = {
		.session = {
			.is_device = is_device, .version = is_device ? 2 : 1, .window = 4096,
			.max_channels = is_device ? RIG_SLOTS : 0, .answer_ms = 60000,
		},
		.slots = RIG_SLOTS, .granted_max = 1U << 20,
	};

	end->rig = rig;
	end->is_device = is_device;
	end->link = link_create(&config, &rig_ops, end);
	rig_check(rig, end->link, "memory");
}

static inline struct rig *rig_create(void)
{
	const char *seed = getenv("SEED");
	struct rig *rig = calloc(1, sizeof(*rig));

	rig->random = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
	printf("# SEED=%llu\n", (unsigned long long)rig->random);
	rig->now = 1000;
	rig->to_send = rig->to_get = 100000;
	rig_setup_end(rig, &rig->driver, false);
	rig_setup_end(rig, &rig->device, true);
	return rig;
}

static inline void rig_destroy(struct rig *rig)
{
	link_stop(rig->driver.link);
	link_stop(rig->device.link);
	rig_check(rig, !link_granted(rig->driver.link) && !link_granted(rig->device.link),
		  "nothing granted is left");
	link_destroy(rig->driver.link);
	link_destroy(rig->device.link);
	free(rig);
}

/* One side sends what it has, or loses it. Returns how many bytes. */
static inline size_t rig_send(struct rig_end *from)
{
	struct rig *rig = from->rig;
	size_t most = rig->small ? 1 + rig_random(rig, rig->small) : PIPE_SIZE;
	size_t sent = pipe_send(&from->pipe, from->link, most, rig->now);

	if (sent && rig->loss && rig_random(rig, 1000000) < rig->loss * sent / 64)
		pipe_lose(&from->pipe, 1 + rig_random(rig, sent));
	return sent;
}

/* The other gets some of what is on the way. Returns how many bytes. */
static inline size_t rig_deliver(struct rig_end *from, struct rig_end *to)
{
	size_t part = pipe_ready(&from->pipe, to->link);

	if (from->rig->small && part > 1)
		part = 1 + rig_random(from->rig, part);
	pipe_deliver(&from->pipe, to->link, part, from->rig->now);
	return part;
}

/* Both. False: nothing moved. */
static inline bool rig_step(struct rig_end *from, struct rig_end *to)
{
	size_t sent = rig_send(from);

	return rig_deliver(from, to) || sent;
}

/* Consumers that left bytes take more. */
static inline bool rig_feed(struct rig_end *end)
{
	bool moved = false;

	for (uint32_t slot = 0; slot < RIG_SLOTS; slot++) {
		struct rig_channel *c = &end->channels[slot];

		if (!c->is_used || !c->lane.held_len || c->is_deaf)
			continue;
		link_taken(end->link, &c->lane);
		moved = true;
	}
	return moved;
}

/* Until nothing moves any more at this time. */
static inline void rig_run(struct rig *rig)
{
	bool moved = true;

	while (moved) {
		moved = rig_step(&rig->driver, &rig->device);
		moved |= rig_step(&rig->device, &rig->driver);
		moved |= rig_feed(&rig->driver);
		moved |= rig_feed(&rig->device);
	}
}

/* Time goes on to the next thing that is due; false: nothing is. */
static inline bool rig_wait(struct rig *rig)
{
	uint64_t a = link_deadline(rig->driver.link), b = link_deadline(rig->device.link);
	uint64_t at = a < b ? a : b;

	if (at == SESSION_NEVER)
		return false;
	rig->now = at > rig->now ? at : rig->now;
	link_tick(rig->driver.link, rig->now);
	link_tick(rig->device.link, rig->now);
	rig_run(rig);
	return true;
}

static inline bool rig_is_up(const struct rig *rig)
{
	return rig->driver.sessions == rig->driver.ends + 1 &&
	       rig->device.sessions == rig->device.ends + 1;
}

/* Both have the same session; frames move in it. */
static inline void rig_come_up(struct rig *rig)
{
	rig_run(rig);
	for (int i = 0; i < 100 && !rig_is_up(rig); i++)
		rig_wait(rig);
	rig_check(rig, rig_is_up(rig), "a session within 100 deadlines");
}

#endif
