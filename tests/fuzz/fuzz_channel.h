/* SPDX-License-Identifier: MIT */
/*
 * The channels of a link's owner, driver or device, as clause 15.4 has them: an honest owner, whose
 * every choice is taken from the input. It believes nothing of its peer, and checks what the link
 * calls it for: that there is a session, the order of frames, each byte at its place.
 */
#ifndef TESTS_FUZZ_CHANNEL_H
#define TESTS_FUZZ_CHANNEL_H

#include <stdlib.h>
#include <string.h>

#include <sanitizer/asan_interface.h>

#include "fuzz_input.h"
#include "link/link.h"

#define SLOTS	6U			/* at most */
#define PERIOD	4093U			/* of the bytes of a channel */

/* A channel, as its own end knows it. What ends it may come in any of them. */
enum stage { CONNECTING, REFUSED, CONNECTED };

struct channel {
	struct lane lane;
	enum stage stage;
	bool is_used;
	uint64_t got;			/* passed on */
	uint64_t written;		/* so many bytes it says in all */
	uint16_t ends;			/* MP_ST_*: the device's own; at the driver what it heard */
	uint8_t shut;			/* MP_SHUT_*, of the driver */
	bool is_deaf, is_full;		/* its consumer takes nothing; nothing the next time */
	bool has_last, said_last;	/* nothing more is written; the peer was told so */
	bool is_closing, is_aborted;	/* the driver is done with it */
	bool is_lost;			/* there was no memory for what came */
	bool is_over;			/* of the device: CLOSED is due */
	bool said_close;		/* CLOSE or CLOSED was sent */
};

struct owner {
	struct link *link;
	bool is_device, has_session;
	bool is_started;		/* with this nonce: the next start is not put off */
	bool is_new_stream;		/* so it may start at once */
	bool is_mixed;			/* the peer may say anything: see fuzz_peer.h */
	uint64_t started_at;
	uint8_t nonce[MP_NONCE_SIZE];
	struct link_session_peer peer;
	enum link_session_why why;
	unsigned int starts, sessions, ends;	/* so far */
	unsigned int begun;		/* the start that the last session had */
	unsigned int asked, denied;		/* frames of the peer that the link let through */
	uint32_t generation;
	struct link_config config;
	uint32_t slots;			/* of the session */
	struct channel channels[SLOTS];
};

static uint64_t now;
static bool is_calm;			/* nothing is taken from the input: all goes well */
static bool had_no_memory;
static uint8_t pattern[PERIOD + 2 * LANE_WINDOW_MAX];

/* --- Memory ------------------------------------------------------------------ */

static unsigned int failing;		/* allocations from now on that find none */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	if (!failing)
		return __real_malloc(size);
	failing--;
	had_no_memory = true;
	return NULL;
}

/* --- Bytes ------------------------------------------------------------------- */

static void owner_setup_bytes(void)
{
	uint32_t random = 1;

	if (pattern[0])
		return;
	for (size_t i = 0; i < sizeof(pattern); i++) {
		random = random * 1103515245 + 12345;
		pattern[i] = i < PERIOD ? random >> 16 | !i : pattern[i - PERIOD];
	}
}

/* At most twice the largest window of them follow. */
static const uint8_t *bytes_at(const struct frame *frame, bool to_device, uint64_t at)
{
	return pattern + (at + frame->slot * 17 + frame->generation * 257 + to_device) % PERIOD;
}

static const uint8_t *lane_bytes(const struct lane *lane, bool to_device, uint64_t at)
{
	const struct frame frame = { .slot = lane->slot, .generation = lane->generation };

	return bytes_at(&frame, to_device, at);
}

/* So many frames that a run stays short: enough for a window to grow to the largest. */
static uint64_t owner_at_most(const struct owner *owner, uint64_t written)
{
	const uint64_t most = 100 * owner->peer.window;

	return written < most ? written : most;
}

/* --- Ends -------------------------------------------------------------------- */

static struct channel *channel_of(struct lane *lane)
{
	return container_of(lane, struct channel, lane);
}

/* What is to come for it is dropped or breaks a rule; what is held is dropped. */
static void owner_stop_taking(struct owner *owner, struct channel *c, enum lane_takes takes)
{
	link_set_takes(owner->link, &c->lane, LANE_DROPS);
	link_set_takes(owner->link, &c->lane, takes);
}

/* What it has not sent is not sent. */
static void owner_stop_saying(struct owner *owner, struct channel *c)
{
	c->written = c->lane.out.offset;
	link_end_data(owner->link, &c->lane);
}

/* The service broke, or takes no more. */
static void owner_fail(struct owner *owner, struct channel *c, uint16_t ends)
{
	if (c->stage != CONNECTED || c->is_over)
		return;
	c->ends |= ends;
	owner_stop_taking(owner, c, c->lane.takes == LANE_NOTHING ? LANE_NOTHING : LANE_DROPS);
	if (c->is_closing)
		c->is_over = true;
	else if (ends & MP_ST_FAILED)
		owner_stop_saying(owner, c);
	link_owe(owner->link, &c->lane, LANE_STATE);
}

static void owner_close(struct owner *owner, struct channel *c, bool aborts)
{
	if (c->said_close || (c->is_closing && !aborts))
		return;
	c->is_closing = true;
	c->is_aborted |= aborts;
	c->has_last = true;
	link_set_takes(owner->link, &c->lane, LANE_DROPS);
	if (aborts)
		owner_stop_saying(owner, c);
	link_owe(owner->link, &c->lane, LANE_CLOSE);
}

/* At the device: is it over, now that the service has all? */
static void owner_look(struct owner *owner, struct channel *c)
{
	if (!owner->is_device || !c->is_closing || c->is_over || c->lane.held_len)
		return;
	c->is_over = true;
	link_owe(owner->link, &c->lane, LANE_STATE);
}

/* --- What the link calls: bytes ---------------------------------------------- */

static uint32_t owner_produce(void *context, struct lane *lane, void *buf, uint32_t max)
{
	struct owner *owner = context;
	struct channel *c = channel_of(lane);
	uint64_t left = c->written - lane->out.offset;
	uint32_t len = left < max ? left : max;

	CHECK(owner->has_session && c->stage == CONNECTED && !c->said_last && !c->said_close);
	CHECK(max && max <= MP_FRAME_BODY && max <= lane->out.granted - lane->out.offset);
	if (len > 1 && !is_calm && c->is_deaf)
		len = 1 + next() * len / 256;
	memcpy(buf, lane_bytes(lane, !owner->is_device, lane->out.offset), len);
	if (!len && c->has_last && owner->is_device && !c->is_closing) {
		c->ends |= MP_ST_IN_END;
		link_owe(owner->link, lane, LANE_STATE);
	}
	return len;
}

static uint32_t owner_consume(void *context, struct lane *lane, const void *buf, uint32_t len)
{
	struct owner *owner = context;
	struct channel *c = channel_of(lane);
	uint8_t choice = is_calm ? 192 : next();
	uint32_t part = choice < 192 ? (uint64_t)len * choice / 192 : len;

	CHECK(owner->has_session && len && lane->takes != LANE_DROPS);
	CHECK(lane->takes == LANE_BYTES || lane->held_len);
	CHECK(c->stage == CONNECTED && !c->is_lost && !c->is_aborted);
	CHECK(owner->is_mixed || !memcmp(buf, lane_bytes(lane, owner->is_device, c->got), len));
	if (c->is_deaf || (c->is_full && !is_calm)) {
		c->is_full = false;
		return 0;
	}
	c->is_full = part < len;
	c->got += part;
	if (owner->is_device && choice > 250)
		owner_fail(owner, c, MP_ST_FAILED | MP_ST_IN_END | MP_ST_OUT_END);
	return part;
}

static void owner_lost(void *context, struct lane *lane)
{
	struct owner *owner = context;
	struct channel *c = channel_of(lane);

	CHECK(had_no_memory && lane->takes == LANE_DROPS && !lane->held_len);
	c->is_lost = true;
	if (owner->is_device)
		owner_fail(owner, c, MP_ST_FAILED | MP_ST_IN_END | MP_ST_OUT_END);
	else
		owner_close(owner, c, true);
}

/* --- What the link calls: frames of the device -------------------------------- */

static bool deny(struct owner *owner)
{
	owner->denied++;
	return false;
}

static void owner_decide(struct owner *owner, struct channel *c, bool refuses)
{
	c->stage = refuses ? REFUSED : CONNECTED;
	if (!refuses) {
		link_set_takes(owner->link, &c->lane, LANE_BYTES);
		if (c->written)
			link_owe(owner->link, &c->lane, LANE_DATA);
	}
	link_owe(owner->link, &c->lane, LANE_STATE);
}

/* The link knows it no more: it may not touch the lane. */
static void owner_drop(struct channel *c)
{
	CHECK(c->is_used);
	c->is_used = false;
	ASAN_POISON_MEMORY_REGION(&c->lane, sizeof(c->lane));
}

static struct channel *owner_attach(struct owner *owner, uint32_t slot, uint32_t generation)
{
	struct channel *c = &owner->channels[slot];

	CHECK(slot < SLOTS && !c->is_used && owner->has_session);
	ASAN_UNPOISON_MEMORY_REGION(&c->lane, sizeof(c->lane));
	*c = (struct channel){ .is_used = true };
	link_attach(owner->link, &c->lane, slot, generation, now);
	return c;
}

static bool owner_connect(void *context, struct lane *lane, const struct frame *frame,
			  const void *body)
{
	struct owner *owner = context;
	struct channel *c = lane ? channel_of(lane) : NULL;
	uint8_t choice = is_calm ? 0 : next();
	struct frame_connect connect;

	owner->asked++;
	CHECK(owner->is_device && owner->has_session && frame->generation);
	CHECK(lane == link_lane(owner->link, frame->slot));
	if (!frame_get_connect(&connect, body, frame->length) ||
	    (c && (c->stage != REFUSED || c->is_closing)))
		return deny(owner);
	CHECK(connect.name_len && connect.name_len <= MP_NAME_MAX);
	if (!c)
		c = owner_attach(owner, frame->slot, frame->generation);
	c->stage = CONNECTING;
	if (is_calm)
		c->written = 3 * owner->peer.window;
	else if (choice & 8)
		c->written = owner_at_most(owner, (uint64_t)choice << (choice & 7));
	if (choice < 192)
		owner_decide(owner, c, choice >= 128);
	return true;
}

static bool owner_shut(struct owner *owner, struct channel *c, const struct frame *frame)
{
	bool writes = frame->flags & MP_SHUT_WRITE;

	if (c->stage != CONNECTED || c->is_closing || !frame->flags ||
	    (writes && frame->offset != c->lane.in.expected))
		return deny(owner);
	c->shut |= frame->flags;
	if (writes)
		link_set_takes(owner->link, &c->lane, LANE_NOTHING);
	if (frame->flags & MP_SHUT_READ) {
		owner_stop_saying(owner, c);
		c->has_last = true;
		c->ends |= MP_ST_IN_END;
	}
	link_owe(owner->link, &c->lane, LANE_STATE);
	return true;
}

/* A final offset that cannot be acts as ABORT [protocol.md 8.3]. */
static bool owner_hear_close(struct owner *owner, struct channel *c, const struct frame *frame)
{
	bool aborts = frame->flags & MP_CLOSE_ABORT;

	if (c->is_closing && !aborts)
		return deny(owner);
	c->is_closing = true;
	c->has_last = true;
	owner_stop_saying(owner, c);
	if (aborts || frame->offset != c->lane.in.expected) {
		c->is_aborted = true;
		owner_stop_taking(owner, c, LANE_NOTHING);
	}
	link_set_takes(owner->link, &c->lane, LANE_NOTHING);
	owner_look(owner, c);
	return true;
}

/* --- What the link calls: STATE ------------------------------------------------ */

static bool owner_hear_closed(struct owner *owner, struct channel *c, uint16_t flags)
{
	if (flags != MP_ST_CLOSED || !c->said_close)
		return deny(owner);
	link_detach(owner->link, &c->lane);
	owner_drop(c);
	return true;
}

static void owner_hear_connected(struct owner *owner, struct channel *c)
{
	if (c->stage == CONNECTED)
		return;
	c->stage = CONNECTED;
	if (!c->is_closing)
		link_set_takes(owner->link, &c->lane, LANE_BYTES);
	if (!c->is_aborted && !c->said_close)
		link_owe(owner->link, &c->lane, LANE_DATA);
}

static bool owner_hear_state(struct owner *owner, struct channel *c, uint16_t flags)
{
	const uint16_t known = MP_ST_IN_END | MP_ST_OUT_END | MP_ST_FAILED;

	if (flags & MP_ST_CLOSED)
		return owner_hear_closed(owner, c, flags);
	if ((flags & MP_ST_REFUSED) && (c->stage == CONNECTED || flags != MP_ST_REFUSED))
		return deny(owner);
	if (flags & MP_ST_REFUSED)
		c->stage = REFUSED;
	if (flags & MP_ST_REFUSED || !flags)
		return c->stage != CONNECTED || deny(owner);
	/* What has ended stays so. A refused one is connected by a CONNECT of its own only. */
	if (!(flags & MP_ST_CONNECTED) || (c->ends & ~flags) || c->stage == REFUSED)
		return deny(owner);
	owner_hear_connected(owner, c);
	c->ends = flags & known;
	if (c->ends & (MP_ST_OUT_END | MP_ST_FAILED))
		owner_stop_saying(owner, c);
	if (c->ends & (MP_ST_IN_END | MP_ST_FAILED) && !c->is_closing)
		link_set_takes(owner->link, &c->lane, LANE_NOTHING);
	return true;
}

static bool owner_message(void *context, struct lane *lane, const struct frame *frame)
{
	struct owner *owner = context;
	struct channel *c = channel_of(lane);

	owner->asked++;
	CHECK(owner->has_session && frame->generation == lane->generation);
	CHECK(c == &owner->channels[frame->slot]);
	CHECK(owner->is_device == (frame->type != MP_FRAME_STATE));
	if (frame->type == MP_FRAME_STATE)
		return owner_hear_state(owner, c, frame->flags);
	CHECK(frame->type == MP_FRAME_SHUTDOWN || frame->type == MP_FRAME_CLOSE);
	return frame->type == MP_FRAME_SHUTDOWN ? owner_shut(owner, c, frame) :
						  owner_hear_close(owner, c, frame);
}

static uint16_t state_of(const struct channel *c)
{
	if (c->is_over)
		return MP_ST_CLOSED;
	if (c->stage == CONNECTED)
		return MP_ST_CONNECTED | c->ends;
	return c->stage == REFUSED ? MP_ST_REFUSED : 0;
}

#endif
