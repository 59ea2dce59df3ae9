/* SPDX-License-Identifier: MIT */
/* The life of a link's owner: sessions, what its channels do by the input, and what must hold. */
#ifndef TESTS_FUZZ_OWNER_H
#define TESTS_FUZZ_OWNER_H

#include "fuzz_channel.h"

/* --- What the link calls ------------------------------------------------------ */

static void owner_fill(void *context, struct lane *lane, struct frame *frame, void *body)
{
	static const char name[MP_NAME_MAX] = "service";
	struct owner *owner = context;
	struct channel *c = channel_of(lane);
	const struct frame_connect connect = {
		.name = name, .name_len = c->is_deaf ? sizeof(name) : 7,
	};

	CHECK(owner->has_session && !c->said_close);
	CHECK(owner->is_device == (frame->type == MP_FRAME_STATE));
	if (frame->type == MP_FRAME_CONNECT) {
		frame->length = frame_put_connect(body, &connect);
	} else if (frame->type == MP_FRAME_STATE) {
		frame->flags = state_of(c);
		c->said_last |= frame->flags & MP_ST_IN_END;
		c->said_close = frame->flags & MP_ST_CLOSED;
	} else {
		/* What is cut off does not look whole. */
		CHECK(frame->type == MP_FRAME_CLOSE || !c->is_aborted);
		frame->offset = lane->out.offset;
		frame->flags = c->is_aborted ? MP_CLOSE_ABORT : 0;
		c->said_close = frame->type == MP_FRAME_CLOSE;
		if (!c->said_close)
			frame->flags = c->shut;
		c->said_last |= c->said_close || (c->shut & MP_SHUT_WRITE);
	}
	CHECK(!c->said_last || c->written == lane->out.offset || c->stage != CONNECTED);
}

static void owner_closed(void *context, struct lane *lane)
{
	struct owner *owner = context;
	struct channel *c = channel_of(lane);

	CHECK(owner->is_device && c->said_close);
	CHECK(link_lane(owner->link, lane->slot) == NULL);
	owner_drop(c);
}

static void owner_cut(void *context, struct lane *lane)
{
	struct owner *owner = context;

	CHECK(owner->has_session);
	owner_drop(channel_of(lane));
}

static void owner_nonce(void *context, uint8_t *nonce)
{
	struct owner *owner = context;

	/* Whatever the peer says, starts are apart. */
	CHECK(owner->is_new_stream || now - owner->started_at >= SESSION_GAP_MS);
	owner->starts++;
	owner->started_at = now;
	owner->is_started = true;
	memset(owner->nonce, 0x80 | owner->is_device, MP_NONCE_SIZE);
	memcpy(owner->nonce, &owner->starts, sizeof(owner->starts));
	memcpy(nonce, owner->nonce, MP_NONCE_SIZE);
}

static void owner_begin(void *context, const struct link_session_peer *peer)
{
	struct owner *owner = context;
	uint32_t most = owner->config.slots;

	CHECK(!owner->has_session && owner->is_started);
	CHECK(peer->window && peer->window <= MP_WINDOW_MAX && peer->version);
	CHECK(!peer->max_channels == owner->is_device);
	owner->has_session = true;
	owner->is_mixed = false;
	owner->sessions++;
	owner->begun = owner->starts;
	owner->peer = *peer;
	owner->slots = owner->is_device || peer->max_channels > most ? most : peer->max_channels;
}

static void owner_ended(void *context, enum link_session_why why)
{
	struct owner *owner = context;

	CHECK(owner->has_session);
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		CHECK(!owner->channels[slot].is_used);
	CHECK(!link_granted(owner->link));
	owner->has_session = false;
	owner->is_started = owner->starts != owner->begun;
	owner->ends++;
	owner->why = why;
}

static const struct link_ops owner_ops = {
	.nonce = owner_nonce, .begin = owner_begin, .end = owner_ended, .connect = owner_connect,
	.message = owner_message, .produce = owner_produce, .consume = owner_consume,
	.fill = owner_fill, .closed = owner_closed, .cut = owner_cut, .lost = owner_lost,
};

/* --- What must hold ----------------------------------------------------------- */

static LOOKS uint64_t channel_check(const struct owner *owner, const struct channel *c)
{
	const struct lane *lane = &c->lane;
	uint64_t passed_on = lane->in.expected - lane->held_len;
	uint64_t open = lane->in.granted - passed_on;

	CHECK(lane->out.offset <= lane->out.granted);
	CHECK(lane->held_len <= lane->in.expected && lane->in.expected <= lane->in.granted);
	CHECK(c->got <= passed_on && (c->got == passed_on || c->lane.takes != LANE_BYTES));
	CHECK(had_no_memory || lane->held_size <= 1024 || lane->held_size <= 4 * lane->held_len);
	CHECK(!lane->held == !lane->held_len);
	CHECK(open <= LANE_WINDOW_MAX);
	return open > owner->config.session.window ? open - owner->config.session.window : 0;
}

/* Channels are where the link has them, and what they hold is within the configured bound. */
static LOOKS void owner_check(struct owner *owner)
{
	uint64_t granted = 0;

	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		const struct channel *c = &owner->channels[slot];

		CHECK(link_lane(owner->link, slot) == (c->is_used ? &c->lane : NULL));
		if (c->is_used)
			granted += channel_check(owner, c);
	}
	CHECK(granted == link_granted(owner->link) && granted <= owner->config.granted_max);
}

/* --- What its channels do ------------------------------------------------------ */

/* The service takes what is held. */
static void channel_take(struct owner *owner, struct channel *c)
{
	c->is_deaf = false;
	link_taken(owner->link, &c->lane);
	owner_look(owner, c);
}

static void channel_write(struct owner *owner, struct channel *c, uint64_t len)
{
	if (c->has_last || c->stage == REFUSED || (c->ends & (MP_ST_OUT_END | MP_ST_FAILED)))
		return;
	c->written = owner_at_most(owner, c->written + len);
	if (c->stage == CONNECTED)
		link_owe(owner->link, &c->lane, LANE_DATA);
}

static void channel_shut(struct owner *owner, struct channel *c, uint8_t shut)
{
	if (c->stage != CONNECTED || c->is_closing || !shut)
		return;
	if (owner->is_device) {
		if (c->has_last || (c->ends & MP_ST_FAILED))
			return;
		c->has_last = true;
		link_owe(owner->link, &c->lane, LANE_DATA);
		return;
	}
	c->shut |= shut;
	if (shut & MP_SHUT_WRITE)
		c->has_last = true;
	if ((shut & MP_SHUT_READ) && c->lane.takes == LANE_BYTES)
		link_set_takes(owner->link, &c->lane, LANE_DROPS);
	link_owe(owner->link, &c->lane, LANE_SHUTDOWN);
}

static void channel_connect(struct owner *owner, struct channel *c, uint8_t choice)
{
	if (owner->is_device && c->stage == CONNECTING && !c->is_over)
		owner_decide(owner, c, choice & 1);
	if (owner->is_device || c->stage != REFUSED || c->is_closing)
		return;
	c->stage = CONNECTING;
	link_owe(owner->link, &c->lane, LANE_CONNECT);
}

static void owner_open(struct owner *owner, uint32_t slot, uint64_t written)
{
	struct channel *c;

	if (owner->is_device || slot >= owner->slots || owner->channels[slot].is_used)
		return;
	c = owner_attach(owner, slot, ++owner->generation);
	c->written = owner_at_most(owner, written);
	link_owe(owner->link, &c->lane, LANE_CONNECT);
}

static void channel_step(struct owner *owner, struct channel *c, uint8_t choice)
{
	switch (choice & 7) {
	case 0 ... 1:
		channel_write(owner, c, (uint64_t)next16() << (choice >> 6));
		break;
	case 2:
		channel_shut(owner, c, choice >> 6);
		break;
	case 3:
		if (!owner->is_device)
			owner_close(owner, c, choice & 0x40);
		break;
	case 4:
		channel_connect(owner, c, choice >> 6);
		break;
	case 5:
		c->is_deaf = choice & 0x40;
		break;
	case 6:
		if (owner->is_device)
			owner_fail(owner, c, choice & 0x40 ? MP_ST_OUT_END :
				   MP_ST_FAILED | MP_ST_IN_END | MP_ST_OUT_END);
		break;
	default:
		channel_take(owner, c);
	}
}

/* What happens, and in the next bits to which channel. */
static void owner_step(struct owner *owner)
{
	uint8_t choice = next();
	uint32_t slot = (choice >> 3 & 7) % SLOTS;

	if (!owner->has_session)
		return;
	/* Mostly a channel that there is. */
	for (uint32_t i = 0; i < SLOTS && choice < 192 && !owner->channels[slot].is_used; i++)
		slot = (slot + 1) % SLOTS;
	if (owner->channels[slot].is_used)
		channel_step(owner, &owner->channels[slot], choice);
	else
		owner_open(owner, slot, choice);
	owner_check(owner);
}

/* --- Life ---------------------------------------------------------------------- */

/* Two bytes of the input say how it is. */
static void owner_configure(struct owner *owner, bool is_device)
{
	static const uint16_t windows[] = { MP_WINDOW_MAX, 1, 1000, 64 };
	static const uint32_t sums[] = { 1 << 20, 0, 5000, 300000 };
	static const uint32_t answers[] = { 60000, 0, 1000, 10 };
	uint8_t sizes = next(), choice = next();

	ASAN_UNPOISON_MEMORY_REGION(owner, sizeof(*owner));
	*owner = (struct owner){
		.is_device = is_device,
		.config = {
			.session = {
				.is_device = is_device, .version = 1 + choice % 3,
				.window = windows[sizes & 3],
				.answer_ms = answers[choice >> 6],
			},
			.slots = SLOTS - (sizes >> 4 & 3),
			.granted_max = sums[sizes >> 2 & 3],
		},
	};
	if (is_device)
		owner->config.session.max_channels = owner->config.slots;
}

static void owner_link(struct owner *owner)
{
	owner->link = link_create(&owner->config, &owner_ops, owner);
	CHECK(owner->link);
}

static void owner_start(struct owner *owner)
{
	owner->is_started = false;
	owner->is_new_stream = true;
	link_start(owner->link, now);
	owner->is_new_stream = false;
	CHECK(owner->is_started && !owner->has_session);
}

static void owner_stop(struct owner *owner)
{
	link_stop(owner->link);
	owner->is_started = false;
	CHECK(!owner->has_session && !link_granted(owner->link));
	CHECK(link_deadline(owner->link) == SESSION_NEVER);
}

static void owner_destroy(struct owner *owner)
{
	owner_stop(owner);
	link_destroy(owner->link);
}

#endif
