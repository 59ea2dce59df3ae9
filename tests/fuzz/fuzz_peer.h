/* SPDX-License-Identifier: MIT */
/*
 * The peer of a link. What it hears must be right [protocol.md 15.2 to 15.5]: SYNCs, frames in
 * their order, DATA below what was granted, each byte at its place. What it says is in fuzz_say.h.
 * A session in which that is anything (owner.is_mixed) may have frames that the input made up, bit
 * by bit; what depends on them is not looked at.
 */
#ifndef TESTS_FUZZ_PEER_H
#define TESTS_FUZZ_PEER_H

#include "fuzz_owner.h"
#include "link/frame.h"
#include "link/sync.h"

#define USES 64U			/* of slots, that are remembered */

/* One use of a slot in this session, as the peer heard of it. */
struct use {
	uint32_t slot, generation;	/* 0: none */
	uint64_t granted;		/* to the link */
	uint64_t got;			/* of its DATA */
	bool is_open, said_last, said_close;
};

static struct peer {
	/* What it says. */
	uint8_t nonce[MP_NONCE_SIZE], session_nonce[MP_NONCE_SIZE];
	uint32_t nonces;		/* that it has had */
	uint32_t number, out_seq;
	uint32_t generation;
	/* What it hears. */
	uint8_t heard[MP_NONCE_SIZE];
	unsigned int starts, ends, sessions;	/* of the link, when it last looked */
	bool has_sync;			/* of this start */
	bool is_owed_pong;
	uint32_t in_seq;
	size_t zeros;			/* since the last SYNC or frame */
	struct use uses[USES];
	uint32_t use_count;
	size_t in_len;
	char in[FRAME_MAX + OUTBOX_SIZE + MP_STREAM_PAD];
} peer;

static struct owner owner;

/* --- What the link is at ---------------------------------------------------------- */

static struct use *peer_use(uint32_t slot, uint32_t generation)
{
	for (uint32_t i = 0; i < USES; i++) {
		struct use *use = &peer.uses[i];

		if (use->generation == generation && use->slot == slot)
			return use;
	}
	return NULL;
}

static void peer_forget(void)
{
	memset(peer.uses, 0, sizeof(peer.uses));
	peer.use_count = 0;
	peer.is_owed_pong = false;
	peer.zeros = 0;
	peer.in_len = 0;
}

static uint32_t nonce_start(const uint8_t *nonce)
{
	return nonce[0] | nonce[1] << 8 | nonce[2] << 16 | (uint32_t)nonce[3] << 24;
}

/* To be called after whatever may begin or end a session or a channel. */
static void peer_look(void)
{
	if (peer.ends != owner.ends || peer.starts != owner.starts) {
		peer_forget();
		peer.has_sync = false;
	}
	if (peer.sessions != owner.sessions) {
		peer.number = (nonce_start(peer.nonce) ^ nonce_start(owner.nonce)) | 1;
		memcpy(peer.session_nonce, peer.nonce, MP_NONCE_SIZE);
		peer.in_seq = peer.out_seq = 0;
	}
	peer.ends = owner.ends;
	peer.starts = owner.starts;
	peer.sessions = owner.sessions;
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		const struct channel *c = &owner.channels[slot];

		if (!c->is_used || peer_use(slot, c->lane.generation))
			continue;
		peer.uses[peer.use_count++ % USES] = (struct use){
			.slot = slot, .generation = c->lane.generation,
			.granted = owner.peer.window,
		};
	}
}

/* --- What it hears ------------------------------------------------------------------ */

static void peer_hear_data(struct use *use, const struct frame *frame, const void *body)
{
	CHECK(use->is_open && !use->said_last && !use->said_close);
	CHECK(frame->offset == use->got && frame->length <= use->granted - use->got);
	CHECK(!memcmp(body, bytes_at(frame, !owner.is_device, use->got), frame->length));
	use->got += frame->length;
}

static void peer_hear_state(struct use *use, const struct frame *frame)
{
	use->is_open |= frame->flags & MP_ST_CONNECTED;
	use->said_last |= frame->flags & (MP_ST_IN_END | MP_ST_FAILED);
	use->said_close = frame->flags & MP_ST_CLOSED;
	CHECK(!use->said_close || frame->flags == MP_ST_CLOSED);
}

/* A driver's. */
static void peer_hear_end(struct use *use, const struct frame *frame)
{
	CHECK(frame->offset == use->got);
	CHECK(frame->type == MP_FRAME_CLOSE || frame->flags);
	use->said_close = frame->type == MP_FRAME_CLOSE;
	use->said_last |= use->said_close || (frame->flags & MP_SHUT_WRITE);
}

static void peer_hear_channel(const struct frame *frame, const void *body)
{
	struct use *use = peer_use(frame->slot, frame->generation);
	struct channel *c = &owner.channels[frame->slot];
	struct frame_connect connect;

	if (owner.is_mixed || (!use && peer.use_count > USES))
		return;
	CHECK(use && frame->slot < owner.slots);
	CHECK(!use->said_close || (frame->type == MP_FRAME_GRANT && !owner.is_device));
	switch (frame->type) {
	case MP_FRAME_CONNECT:
		CHECK(frame_get_connect(&connect, body, frame->length));
		use->is_open = true;
		break;
	case MP_FRAME_DATA:
		peer_hear_data(use, frame, body);
		break;
	case MP_FRAME_GRANT:
		CHECK(!c->is_used || c->lane.generation != frame->generation ||
		      frame->offset <= c->lane.in.granted);
		break;
	case MP_FRAME_STATE:
		peer_hear_state(use, frame);
		break;
	default:
		peer_hear_end(use, frame);
	}
}

static size_t peer_hear_frame(const char *buf, size_t len)
{
	struct frame frame;

	if (len < sizeof(struct mp_frame))
		return 0;
	frame_get_head(&frame, buf);
	CHECK(owner.has_session && frame.session == peer.number && frame.seq == peer.in_seq);
	CHECK(frame_is_valid(&frame, !owner.is_device));
	if (len < FRAME_EXTRA + frame.length)
		return 0;
	CHECK(frame_has_end(&frame, buf));
	peer.in_seq++;
	peer.zeros = 0;
	if (frame.generation)
		peer_hear_channel(&frame, buf + sizeof(struct mp_frame));
	else if (frame.type == MP_FRAME_PONG)
		peer.is_owed_pong = false;
	return FRAME_EXTRA + frame.length;
}

static size_t peer_hear_sync(const char *buf, size_t len)
{
	struct sync sync;

	if (len < sizeof(struct mp_sync))
		return 0;
	CHECK(sync_get(&sync, buf, !owner.is_device));
	CHECK(!memcmp(sync.mine, owner.nonce, MP_NONCE_SIZE));
	CHECK(sync.window == owner.config.session.window);
	CHECK(sync.max_channels == owner.config.session.max_channels);
	CHECK(peer.has_sync || peer.zeros >= MP_STREAM_PAD);
	peer.has_sync = true;
	peer.zeros = 0;
	memcpy(peer.heard, sync.mine, MP_NONCE_SIZE);
	return sizeof(struct mp_sync);
}

static LOOKS size_t peer_hear_one(const char *buf, size_t len)
{
	size_t zeros = 0;

	while (zeros < len && !buf[zeros])
		zeros++;
	peer.zeros += zeros;
	if (zeros)
		return zeros;
	return sync_begins(buf, len) ? peer_hear_sync(buf, len) : peer_hear_frame(buf, len);
}

static LOOKS void peer_hear(const char *bytes, size_t len)
{
	size_t at = 0, done = 1;

	CHECK(peer.in_len + len <= sizeof(peer.in));
	memcpy(peer.in + peer.in_len, bytes, len);
	peer.in_len += len;
	while (done && at < peer.in_len) {
		done = peer_hear_one(peer.in + at, peer.in_len - at);
		at += done;
	}
	peer.in_len -= at;
	memmove(peer.in, peer.in + at, peer.in_len);
}

/* It gets at most @most bytes of what the link sends. Returns how many. */
static size_t peer_get(size_t most)
{
	struct iovec iov[OUTBOX_IOVS];
	size_t sent = 0;
	int count;

	peer_look();
	count = link_iov(owner.link, iov);
	for (int i = 0; i < count; i++) {
		size_t left = most - sent, part = iov[i].iov_len < left ? iov[i].iov_len : left;

		peer_hear(iov[i].iov_base, part);
		sent += part;
	}
	if (count)
		link_sent(owner.link, sent, now);
	owner_check(&owner);
	return sent;
}

/* All that the link has to say now. */
static void peer_get_all(void)
{
	while (peer_get(SIZE_MAX))
		;
	CHECK(!peer.is_owed_pong && !peer.in_len);
}

/* --- What the link hears ------------------------------------------------------------- */

/* What was so before the link heard it. */
static struct {
	bool has_session, is_whole;	/* no part of a frame or SYNC had come */
	unsigned int sessions, ends, asked, denied;
} before;

static bool ended(void) { return owner.ends != before.ends; }
static bool began(void) { return owner.sessions != before.sessions; }

/* In parts of at most @part bytes. */
static void say(const char *bytes, size_t len, size_t part)
{
	void *buf;
	size_t room = link_room(owner.link, &buf);

	before.has_session = owner.has_session;
	before.is_whole = room == SESSION_IN_SIZE;
	before.sessions = owner.sessions;
	before.ends = owner.ends;
	before.asked = owner.asked;
	before.denied = owner.denied;
	for (size_t at = 0; at < len; at += room) {
		room = link_room(owner.link, &buf);
		CHECK(room > 0);
		room = room < len - at ? room : len - at;
		room = room < part ? room : part;
		memcpy(buf, bytes + at, room);
		link_came(owner.link, room, now);
		owner_check(&owner);
	}
	peer_look();
}

static size_t part_size(void)
{
	uint8_t choice = next();

	return choice & 1 ? SESSION_IN_SIZE : 1 + choice * (choice & 2 ? 1 : 200);
}

#endif
