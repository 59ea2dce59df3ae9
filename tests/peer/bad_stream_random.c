// SPDX-License-Identifier: MIT
/* Anything, from a side that has a session. Most of it makes sense, so that some of it gets far. */
#include <string.h>

#include "attack.h"
#include "bad_stream.h"

#define STEPS 300
#define SLOTS 6				/* few, so that frames meet */

/* How a round lies. */
struct liar {
	struct stream *s;
	struct random random;
	uint32_t truths;		/* for one lie, about */
};

static uint32_t below(struct liar *liar, uint32_t bound)
{
	return random_below(&liar->random, bound);
}

static bool lies(struct liar *liar)
{
	return below(liar, liar->truths) == 0;
}

/* Near what it should be, or not even that. */
static uint64_t twist(struct liar *liar, uint64_t value)
{
	if (!lies(liar))
		return value;
	return below(liar, 2) ? random_next(&liar->random) : value + 1 + below(liar, 5000);
}

static void send_data(struct liar *liar, struct frame *frame, struct stream_end *end)
{
	uint64_t room = end->out_granted - end->out;

	if (room > MP_FRAME_BODY || lies(liar))
		room = MP_FRAME_BODY;
	frame->type = MP_FRAME_PING;
	if (!room || ((end->state & MP_ST_IN_END) && !lies(liar)))
		return;
	frame->type = MP_FRAME_DATA;
	frame->length = 1 + below(liar, room);
	frame->offset = end->out;
	end->out += frame->length;
}

static uint16_t state_of(struct liar *liar, struct stream_end *end)
{
	static const uint16_t more[] = {
		0, 0, 0, 0, MP_ST_IN_END, MP_ST_OUT_END, MP_ST_FAILED | MP_ST_IN_END, MP_ST_IN_HUP,
	};

	if (end->has_closed || end->leaves || lies(liar))
		return MP_ST_CLOSED;
	if (!end->state && below(liar, 3) == 0)
		return MP_ST_REFUSED;
	end->state |= MP_ST_CONNECTED | more[below(liar, 8)];
	return end->state;
}

/* What that type carries. */
static void fill(struct liar *liar, struct frame *frame)
{
	struct stream_end *end = &liar->s->ends[frame->slot];

	switch (frame->type) {
	case MP_FRAME_DATA:
		send_data(liar, frame, end);
		break;
	case MP_FRAME_GRANT:
		frame->offset = end->in + below(liar, 200000);
		break;
	case MP_FRAME_SHUTDOWN:
		frame->flags = 1 + below(liar, 3);
		frame->offset = end->out;
		break;
	case MP_FRAME_CLOSE:
		frame->flags = below(liar, 2);
		frame->offset = below(liar, 3) ? end->out : MP_CLOSE_LATER;
		break;
	case MP_FRAME_STATE:
		frame->flags = state_of(liar, end);
		break;
	}
}

static void send_frame(struct liar *liar)
{
	static const uint16_t of_device[] = {
		MP_FRAME_DATA, MP_FRAME_DATA, MP_FRAME_GRANT, MP_FRAME_GRANT, MP_FRAME_STATE,
		MP_FRAME_STATE, MP_FRAME_PING, MP_FRAME_PONG,
	};
	static const uint16_t of_driver[] = {
		MP_FRAME_DATA, MP_FRAME_DATA, MP_FRAME_DATA, MP_FRAME_GRANT, MP_FRAME_GRANT,
		MP_FRAME_SHUTDOWN, MP_FRAME_CLOSE, MP_FRAME_PING,
	};
	struct frame frame = { .slot = below(liar, SLOTS) };

	frame.type = (liar->s->is_device ? of_device : of_driver)[below(liar, 8)];
	frame.type = twist(liar, frame.type);
	frame.generation = liar->s->ends[frame.slot].generation;
	if (!frame.generation && !lies(liar))
		frame.type = MP_FRAME_PING;
	fill(liar, &frame);
	if (frame.type == MP_FRAME_PING || frame.type == MP_FRAME_PONG)
		frame.slot = frame.generation = 0;
	frame.flags = twist(liar, frame.flags);
	frame.offset = twist(liar, frame.offset);
	frame.slot = twist(liar, frame.slot);
	frame.generation = twist(liar, frame.generation);
	stream_put(liar->s, frame, NULL);
}

static void connect(struct liar *liar, uint32_t generation)
{
	static const char *const names[] = { "echo", "zero", "keep", "no", "echo+a", "\t" };
	uint32_t slot = below(liar, SLOTS);

	if (!liar->s->ends[slot].generation || lies(liar))
		stream_connect(liar->s, slot, generation, names[below(liar, 6)]);
}

static void send_other(struct liar *liar)
{
	struct stream *s = liar->s;
	uint8_t bytes[200];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = random_next(&liar->random) >> 20;
	switch (below(liar, 4)) {
	case 0:
		stream_send(s, bytes, 1 + below(liar, sizeof(bytes)));
		break;
	case 1:
		memcpy(s->mine, bytes, MP_NONCE_SIZE);
		stream_send_sync(s, true);
		break;
	case 2:
		stream_send_sync(s, below(liar, 2));
		break;
	default:
		stream_send_zeros(s, below(liar, 40000));
	}
}

void lie_randomly(struct stream *s, uint64_t seed)
{
	struct liar liar = { .s = s, .random = { seed * 0x9e3779b97f4a7c15ULL | 1 } };

	s->is_lax = true;
	random_next(&liar.random);
	liar.truths = 20 << below(&liar, 8);
	for (int i = 0; i < STEPS; i++) {
		if (below(&liar, 4) == 0)
			stream_look(s, 0);
		if (lies(&liar))
			send_other(&liar);
		else if (!s->is_device && below(&liar, 4) == 0)
			connect(&liar, 10 + i);
		else
			send_frame(&liar);
	}
}
