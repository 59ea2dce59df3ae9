/* SPDX-License-Identifier: MIT */
/*
 * What the peer of a link says: bytes, SYNCs and frames. It knows the session: they are right, but
 * for what the input makes wrong. For each the text of the protocol says what becomes of the
 * session [protocol.md 15.2 to 15.5].
 */
#ifndef TESTS_FUZZ_SAY_H
#define TESTS_FUZZ_SAY_H

#include <endian.h>

#include "fuzz_peer.h"

/* Something that the peer says: a SYNC, a frame, or anything. */
static char said[FRAME_MAX + 256];

/* --- Bytes ------------------------------------------------------------------------ */

static void say_anything(uint8_t choice)
{
	size_t len = 0;

	if (choice & 1) {
		memcpy(said, MP_SYNC_MAGIC, 16);
		len = choice & 2 ? 16 : 1 + next() % 16;
	}
	for (uint8_t left = next(); left; left--)
		said[len++] = next();
	owner.is_mixed = true;
	say(said, len, part_size());
	/* The input has found the nonce of the link; the peer has not heard of its own. */
	if (began())
		owner_start(&owner);
	peer_look();
}

static void say_zeros(uint8_t choice)
{
	static const char zeros[MP_STREAM_PAD];

	say(zeros, choice & 1 ? sizeof(zeros) : next(), SESSION_IN_SIZE);
	CHECK(!before.is_whole || !ended());
}

/* --- SYNCs --------------------------------------------------------------------------- */

static void new_nonce(void)
{
	peer.nonces++;
	memset(peer.nonce, 0x40, sizeof(peer.nonce));
	memcpy(peer.nonce, &peer.nonces, sizeof(peer.nonces));
}

/* Returns whether all of it is as a SYNC to this link must be, whatever the nonces are. */
static bool make_wrong_sync(struct sync *sync, uint8_t choice)
{
	switch (choice & 7) {
	case 0:
		sync->version = next();
		break;
	case 1:
		sync->window = next16();
		break;
	case 2:
		sync->max_channels = (uint32_t)next() << (next() & 31);
		break;
	case 3:
		sync->yours[next() & 15] ^= 1 << (choice >> 5);
		break;
	case 4:
		new_nonce();
		memcpy(sync->mine, peer.nonce, MP_NONCE_SIZE);
		break;
	default:
		break;
	}
	return sync->version && sync->window && sync->window <= MP_WINDOW_MAX &&
	       !sync->max_channels == owner.is_device && sync->max_channels <= MP_MAX_CHANNELS;
}

static void check_sync(const struct sync *sync, bool is_right)
{
	bool has_ours = !memcmp(sync->yours, owner.nonce, MP_NONCE_SIZE);

	if (!before.is_whole)
		return;
	if (!before.has_session) {
		CHECK(!ended() && began() == (is_right && has_ours && owner.is_started));
		return;
	}
	CHECK(ended() == (!is_right || memcmp(sync->mine, peer.session_nonce, MP_NONCE_SIZE)));
	CHECK(!began());
}

static void say_sync(uint8_t choice)
{
	struct sync sync = {
		.version = 1 + (choice & 1), .window = choice & 2 ? MP_WINDOW_MAX : 1 + next() * 8,
		.max_channels = owner.is_device ? 0 : 1 + (choice & 15), .hunts = choice & 16,
	};
	size_t len = sizeof(struct mp_sync);
	bool is_right = true;
	uint8_t wrong = next();

	memcpy(sync.mine, peer.nonce, MP_NONCE_SIZE);
	memcpy(sync.yours, peer.heard, MP_NONCE_SIZE);
	if (wrong >= 128)
		is_right = make_wrong_sync(&sync, wrong);
	sync_put(said, &sync);
	if (wrong >= 128 && (wrong & 7) == 5) {
		uint8_t at = next() & 31;	/* in the magic, or from the version on */

		said[at < 16 ? at : 32 + at] ^= 1 << (wrong >> 5);
		is_right = false;
	}
	if (wrong >= 128 && (wrong & 7) == 6)
		len = next() % (len - 4);
	owner.is_mixed |= len < sizeof(struct mp_sync);
	say(said, len, part_size());
	if (len == sizeof(struct mp_sync))
		check_sync(&sync, is_right);
}

/* --- Frames -------------------------------------------------------------------------- */

/* What a frame may be, without its channel [protocol.md 15.2]. */
static bool fits(const struct frame *f, bool to_device)
{
	const uint32_t connect = sizeof(struct mp_connect);
	bool is_idle = f->type == MP_FRAME_PING || f->type == MP_FRAME_PONG;
	uint16_t flags = 0;

	if (!f->type || f->type > MP_FRAME_PONG || is_idle != !f->generation ||
	    (is_idle && f->slot) || ((is_idle || f->type == MP_FRAME_CONNECT) && f->offset))
		return false;
	if (f->type == MP_FRAME_DATA || f->type == MP_FRAME_GRANT || is_idle)
		flags = 0;
	else if (to_device == (f->type == MP_FRAME_STATE))
		return false;
	else if (f->type == MP_FRAME_SHUTDOWN)
		flags = MP_SHUT_READ | MP_SHUT_WRITE;
	else if (f->type == MP_FRAME_CLOSE)
		flags = MP_CLOSE_ABORT;
	else if (f->type == MP_FRAME_STATE)
		flags = ~(MP_ST_IN | MP_ST_OUT);
	if (f->flags & ~flags)
		return false;
	if (f->type == MP_FRAME_CONNECT)
		return f->length > connect && f->length <= connect + MP_NAME_MAX;
	return f->type == MP_FRAME_DATA ? f->length && f->length <= MP_FRAME_BODY : !f->length;
}

/* Does it break a rule of its channel [protocol.md 15.4, 15.5], whatever the owner says? */
static bool breaks(const struct frame *f)
{
	const struct channel *c = f->slot < SLOTS ? &owner.channels[f->slot] : NULL;

	if (f->type == MP_FRAME_CONNECT)
		return f->slot >= owner.slots ||
		       (c->is_used && c->lane.generation != f->generation);
	if (f->type != MP_FRAME_DATA || !c || !c->is_used || c->lane.generation != f->generation)
		return false;
	return c->lane.takes == LANE_NOTHING || f->offset != c->lane.in.expected ||
	       f->length > c->lane.in.granted - c->lane.in.expected;
}

/* Where it is to be full of the bytes that are due; false: no such DATA is right now. */
static bool make_data(struct frame *f, const struct channel *c, char *body)
{
	uint64_t room = c->lane.in.granted - c->lane.in.expected;
	uint8_t choice = next();

	room = room < MP_FRAME_BODY ? room : MP_FRAME_BODY;
	f->offset = c->lane.in.expected;
	f->length = choice == 255 ? room + 1 : choice >= 192 ? room : 1 + room * choice / 192;
	if (!f->length || (choice < 255 && f->length > room))
		return false;
	memcpy(body, bytes_at(f, owner.is_device, f->offset), f->length);
	return true;
}

static void make_connect(struct frame *f, const struct channel *c, char *body)
{
	static const char name[MP_NAME_MAX] = "service";
	const struct frame_connect connect = {
		.name = name, .name_len = 1 + next() % MP_NAME_MAX,
	};

	if (!c->is_used || c->stage != REFUSED || c->is_closing)
		f->generation = ++peer.generation;
	f->length = frame_put_connect(body, &connect);
}

static void make_state(struct frame *f, const struct channel *c)
{
	static const uint16_t states[] = {
		MP_ST_CONNECTED, MP_ST_CONNECTED, MP_ST_REFUSED, MP_ST_CLOSED, 0,
		MP_ST_CONNECTED | MP_ST_IN_END, MP_ST_CONNECTED | MP_ST_OUT_END,
		MP_ST_CONNECTED | MP_ST_FAILED | MP_ST_IN_END | MP_ST_OUT_END,
	};

	f->flags = states[is_calm ? 0 : next() & 7];
	if (c->said_close && next() & 1)
		f->flags = MP_ST_CLOSED;
}

/* Of which type, and for which channel: mostly one that there is. */
static void choose_frame(struct frame *f, uint8_t choice)
{
	static const uint8_t types[2][8] = {
		{ MP_FRAME_STATE, MP_FRAME_DATA, MP_FRAME_GRANT, MP_FRAME_STATE, MP_FRAME_STATE,
		  MP_FRAME_DATA, MP_FRAME_PING, MP_FRAME_PONG },
		{ MP_FRAME_CONNECT, MP_FRAME_DATA, MP_FRAME_GRANT, MP_FRAME_SHUTDOWN,
		  MP_FRAME_CLOSE, MP_FRAME_DATA, MP_FRAME_PING, MP_FRAME_PONG },
	};
	uint32_t slot = (choice >> 3) % owner.slots;

	*f = (struct frame){ .type = types[owner.is_device][choice & 7] };
	for (uint32_t i = 0; i < owner.slots && f->type != MP_FRAME_CONNECT &&
	     !owner.channels[slot].is_used; i++)
		slot = (slot + 1) % owner.slots;
	f->slot = slot;
	if (owner.channels[slot].is_used)
		f->generation = owner.channels[slot].lane.generation;
}

/* False: there is nothing of the kind to be said. */
static bool make_frame(struct frame *f, uint8_t choice, char *body)
{
	struct channel *c;

	choose_frame(f, choice);
	c = &owner.channels[f->slot];
	if (f->type == MP_FRAME_PING || f->type == MP_FRAME_PONG) {
		f->slot = 0;
		f->generation = 0;
	} else if (f->type == MP_FRAME_CONNECT) {
		make_connect(f, c, body);
	} else if (!f->generation) {
		return false;
	} else if (f->type == MP_FRAME_DATA) {
		return make_data(f, c, body);
	} else if (f->type == MP_FRAME_GRANT) {
		choice = next();
		f->offset = choice & 64 ? next16() % (c->lane.out.granted + 1) :
			    c->lane.out.granted + ((uint64_t)next16() << (choice & 63));
	} else if (f->type == MP_FRAME_STATE) {
		make_state(f, c);
	} else {
		f->offset = c->lane.in.expected;
		f->flags = f->type == MP_FRAME_CLOSE ? choice >> 7 : 1 + next() % 3;
	}
	return true;
}

static void make_wrong_frame(struct frame *f, uint8_t choice)
{
	bool is_new = f->type == MP_FRAME_CONNECT;

	switch (choice % 15) {
	case 0:
		f->type = next();
		break;
	case 1:
		f->flags ^= 1 << (next() & 15);
		break;
	case 2:
		f->slot = choice & 1 ? next() % (2 * SLOTS) : f->slot ^ 1U << (next() & 31);
		break;
	case 3:
		/* A use that there has been stays over. */
		f->generation = is_new ? 0 : f->generation ^ 1U << (next() & 31);
		break;
	case 4: case 10:
		f->offset ^= 1ULL << (next() & 63);
		break;
	case 5: case 11:
		f->offset += (int8_t)next();
		break;
	case 6:
		f->length = (uint32_t)next16() << (next() & 16);
		break;
	case 7:
		f->length += (int8_t)next();
		break;
	case 8:
		f->session ^= 2U << (next() % 31);
		break;
	case 9:
		f->seq ^= 1U << (next() & 31);
		break;
	default:
		break;
	}
}

/* The head says another length than the frame has. Returns which. */
static uint32_t lie_about_length(void)
{
	const uint32_t length = next16();
	struct mp_frame *head = (struct mp_frame *)said;

	head->length = htole32(length);
	return length;
}

/* The frame as it is sent. */
static void put_frame(const struct frame *f, uint32_t length)
{
	char *body = said + sizeof(struct mp_frame);
	struct frame real = *f;

	if (f->length > MP_FRAME_BODY)
		real.length = length;
	if (f->type == MP_FRAME_DATA)
		memcpy(body, bytes_at(f, owner.is_device, f->offset), real.length);
	frame_put(said, &real);
	((struct mp_frame *)said)->length = htole32(f->length);
}

/* What was right was taken; what was wrong cost the session, and the owner did not hear of it. */
static LOOKS void check_frame(bool is_torn, bool is_broken)
{
	bool was_denied = owner.denied != before.denied;

	if (!before.is_whole || owner.is_mixed)
		return;
	CHECK(ended() == (is_torn || is_broken || was_denied));
	CHECK(!(is_torn || is_broken) || owner.asked == before.asked);
	CHECK(!ended() || owner.why == (is_torn ? SESSION_LOST : SESSION_BROKEN));
}

static void heard_frame(const struct frame *f)
{
	struct use *use = peer_use(f->slot, f->generation);
	const struct lane *lane = link_lane(owner.link, f->slot);
	bool is_known = before.is_whole && !owner.is_mixed && !ended();

	if (f->type == MP_FRAME_PING && is_known)
		peer.is_owed_pong = true;
	if (f->type != MP_FRAME_GRANT || !use)
		return;
	use->granted = f->offset > use->granted ? f->offset : use->granted;
	CHECK(!is_known || !lane || lane->generation != f->generation ||
	      lane->out.granted == use->granted);
}

static void say_frame(uint8_t choice)
{
	uint8_t wrong = is_calm ? 0 : next();
	bool is_torn, is_broken;
	struct frame f;
	uint32_t length, told;
	size_t len;

	if (!owner.has_session || !make_frame(&f, choice, said + sizeof(struct mp_frame)))
		return;
	length = f.length;
	f.session = peer.number;
	f.seq = peer.out_seq++;
	if (wrong >= 192)
		make_wrong_frame(&f, wrong);
	is_torn = f.session != peer.number || f.seq + 1 != peer.out_seq;
	is_broken = !fits(&f, owner.is_device) || breaks(&f);
	put_frame(&f, length);
	length = f.length > MP_FRAME_BODY ? length : f.length;
	len = FRAME_EXTRA + length;
	told = wrong == 0xff ? lie_about_length() : f.length;
	if (wrong >= 192 && wrong % 15 == 14) {
		said[len - 1 - (next() & 7)] ^= 1 << (wrong >> 4 & 7);
		is_torn = true;
	}
	if (wrong >= 192 && wrong % 15 == 13)
		len = next16() % len;
	owner.is_mixed |= len != FRAME_EXTRA + length || told != f.length;
	say(said, len, is_calm ? SESSION_IN_SIZE : part_size());
	check_frame(is_torn, is_broken);
	heard_frame(&f);
}

#endif
