// SPDX-License-Identifier: MIT
/* Slots, what comes for lanes, and their turns. See link.h. */
#include "link/link.h"

#include <assert.h>
#include <stdlib.h>

struct link {
	const struct link_ops *ops;
	void *context;
	struct link_session *session;
	struct list turns;		/* lanes that have something to say, the next one first */
	struct lane_pool pool;
	uint32_t peer_window;
	uint32_t slots;			/* of the session */
	uint32_t slots_max;
	unsigned int kind;		/* at which the turn of the first lane goes on */
	struct lane *lanes[];		/* by slot */
};

/* --- Lanes ---------------------------------------------------------------- */

struct lane *link_lane(const struct link *link, uint32_t slot)
{
	return slot < link->slots ? link->lanes[slot] : NULL;
}

void link_attach(struct link *link, struct lane *lane, uint32_t slot, uint32_t generation,
		 uint64_t now)
{
	assert(slot < link->slots && !link->lanes[slot]);
	lane_init(lane, &link->pool, link->peer_window);
	lane->slot = slot;
	lane->generation = generation;
	link->lanes[slot] = lane;
	link_session_hold(link->session, now);
}

void link_detach(struct link *link, struct lane *lane)
{
	assert(link->lanes[lane->slot] == lane);
	if (list_first(&link->turns, struct lane, turn) == lane)
		link->kind = 0;
	lane_end(lane, &link->pool);
	link->lanes[lane->slot] = NULL;
	link_session_release(link->session);
}

static const struct {
	uint8_t owed, type;
} kinds[] = {
	{ LANE_CONNECT, MP_FRAME_CONNECT },
	{ LANE_GRANT, MP_FRAME_GRANT },
	{ LANE_STATE, MP_FRAME_STATE },
	{ LANE_LEAVE, MP_FRAME_CLOSE },
	{ LANE_DATA, MP_FRAME_DATA },
	{ LANE_SHUTDOWN, MP_FRAME_SHUTDOWN },
	{ LANE_CLOSE, MP_FRAME_CLOSE },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* At the end of the list, if it is in none and has something to say. */
static void queue(struct link *link, struct lane *lane)
{
	bool says = false;

	assert(link->lanes[lane->slot] == lane);
	for (size_t i = 0; i < KINDS; i++)
		says |= lane_says(lane, kinds[i].owed);
	if (says && !list_is_linked(&lane->turn))
		list_add_tail(&link->turns, &lane->turn);
}

void link_owe(struct link *link, struct lane *lane, unsigned int owed)
{
	lane->owed |= owed;
	if (owed & LANE_CLOSE)
		lane->owed &= ~LANE_LEAVE;	/* it says more */
	queue(link, lane);
}

void link_end_data(struct link *link, struct lane *lane)
{
	lane->owed &= ~(LANE_DATA | LANE_SHUTDOWN);
	queue(link, lane);
}

void link_set_takes(struct link *link, struct lane *lane, enum lane_takes takes)
{
	lane->takes = takes;
	if (takes == LANE_DROPS)
		lane_took(lane, &link->pool, lane->held_len);
}

void link_taken(struct link *link, struct lane *lane)
{
	uint32_t len, taken = 1;
	const char *bytes = lane_held(lane, &len);

	while (len && taken) {
		taken = link->ops->consume(link->context, lane, bytes, len);
		/* It may have said that the rest is to be dropped. */
		lane_took(lane, &link->pool, taken < lane->held_len ? taken : lane->held_len);
		bytes = lane_held(lane, &len);
	}
	queue(link, lane);
}

uint64_t link_granted(const struct link *link)
{
	return link->pool.sum;
}

/* --- What comes ----------------------------------------------------------- */

static bool take_data(struct link *link, struct lane *lane, const struct frame *frame,
		      const void *body)
{
	uint32_t taken = 0;

	if (!lane_may_come(lane, frame->offset, frame->length))
		return false;
	if (lane->takes == LANE_BYTES && !lane->held_len)
		taken = link->ops->consume(link->context, lane, body, frame->length);
	if (!lane_came(lane, &link->pool, body, frame->length, taken)) {
		link_set_takes(link, lane, LANE_DROPS);
		link->ops->lost(link->context, lane);
	}
	queue(link, lane);
	return true;
}

static bool on_frame(void *context, const struct frame *frame, const void *body)
{
	struct link *link = context;
	struct lane *lane = link_lane(link, frame->slot);

	if (frame->type == MP_FRAME_CONNECT)
		return frame->slot < link->slots &&
		       (!lane || lane->generation == frame->generation) &&
		       link->ops->connect(link->context, lane, frame, body);
	if (!lane || lane->generation != frame->generation)
		return true;		/* it crossed an end [protocol.md 15.4] */
	if (frame->type == MP_FRAME_DATA)
		return take_data(link, lane, frame, body);
	if (frame->type != MP_FRAME_GRANT)
		return link->ops->message(link->context, lane, frame);
	if (lane_granted(lane, frame->offset))
		queue(link, lane);
	return true;
}

static void on_nonce(void *context, uint8_t *nonce)
{
	struct link *link = context;

	link->ops->nonce(link->context, nonce);
}

static void on_begin(void *context, const struct link_session_peer *peer)
{
	struct link *link = context;

	link->peer_window = peer->window;
	link->slots = link->slots_max;
	if (peer->max_channels && peer->max_channels < link->slots)
		link->slots = peer->max_channels;
	link->ops->begin(link->context, peer);
}

static void on_end(void *context, enum link_session_why why)
{
	struct link *link = context;

	uint32_t slots = link->slots;

	link->slots = 0;	/* there is no session: none is attached */
	for (uint32_t slot = 0; slot < slots; slot++) {
		struct lane *lane = link->lanes[slot];

		if (!lane)
			continue;
		link_detach(link, lane);
		link->ops->cut(link->context, lane);
	}
	link->ops->end(link->context, why);
}

static const struct link_session_ops link_session_ops = {
	.nonce = on_nonce,
	.begin = on_begin,
	.frame = on_frame,
	.end = on_end,
};

/* --- Turns ---------------------------------------------------------------- */

static void put(struct link *link, struct lane *lane, unsigned int owed, struct frame *frame,
		void *body)
{
	lane->owed &= ~owed;
	if (owed == LANE_GRANT)
		frame->offset = lane_grant(lane, &link->pool);
	else if (owed == LANE_LEAVE)
		frame->offset = MP_CLOSE_LATER;
	else
		link->ops->fill(link->context, lane, frame, body);
	link_session_put(link->session, frame);
}

static void put_data(struct link *link, struct lane *lane, struct frame *frame, void *body)
{
	uint32_t room = lane_room(lane);

	lane->owed &= ~LANE_DATA;
	frame->length = link->ops->produce(link->context, lane, body, room);
	assert(frame->length <= room);
	if (!frame->length)
		return;
	lane->owed |= LANE_DATA;
	frame->offset = lane->out.offset;
	lane->out.offset += frame->length;
	link_session_put(link->session, frame);
}

/*
 * One frame of each kind that it owes. False: there is no room, and its turn goes on later, at the
 * same kind.
 */
static bool take_turn(struct link *link, struct lane *lane)
{
	for (; link->kind < KINDS; link->kind++) {
		struct frame frame = {
			.type = kinds[link->kind].type,
			.slot = lane->slot,
			.generation = lane->generation,
		};
		unsigned int owed = kinds[link->kind].owed;
		void *body;

		if (!lane_says(lane, owed))
			continue;
		body = link_session_body(link->session);
		if (!body)
			return false;
		if (owed == LANE_DATA)
			put_data(link, lane, &frame, body);
		else
			put(link, lane, owed, &frame, body);
		if (frame.type == MP_FRAME_STATE && (frame.flags & MP_ST_CLOSED)) {
			link_detach(link, lane);
			link->ops->closed(link->context, lane);
			return true;
		}
	}
	link->kind = 0;
	list_del(&lane->turn);
	queue(link, lane);
	return true;
}

int link_iov(struct link *link, struct iovec *iov)
{
	struct lane *lane;

	while ((lane = list_first(&link->turns, struct lane, turn))) {
		if (!take_turn(link, lane))
			break;
	}
	return link_session_iov(link->session, iov);
}

/* --- The stream ----------------------------------------------------------- */

struct link *link_create(const struct link_config *config, const struct link_ops *ops,
			 void *context)
{
	struct link *link = calloc(1, sizeof(*link) + config->slots * sizeof(link->lanes[0]));

	if (!link)
		return NULL;
	link->ops = ops;
	link->context = context;
	list_init(&link->turns);
	link->pool.base = config->session.window;
	link->pool.max = config->granted_max;
	link->slots_max = config->slots;
	link->session = link_session_create(&config->session, &link_session_ops, link);
	if (link->session)
		return link;
	free(link);
	return NULL;
}

void link_destroy(struct link *link)
{
	if (!link)
		return;
	link_session_destroy(link->session);
	free(link);
}

void link_start(struct link *link, uint64_t now)
{
	link_session_start(link->session, now);
}

void link_stop(struct link *link)
{
	link_session_stop(link->session);
}

size_t link_room(struct link *link, void **buf)
{
	return link_session_room(link->session, buf);
}

void link_came(struct link *link, size_t len, uint64_t now)
{
	link_session_came(link->session, len, now);
}

void link_sent(struct link *link, size_t len, uint64_t now)
{
	link_session_sent(link->session, len, now);
}

uint64_t link_deadline(const struct link *link)
{
	return link_session_deadline(link->session);
}

void link_tick(struct link *link, uint64_t now)
{
	link_session_tick(link->session, now);
}
