// SPDX-License-Identifier: MIT
/*
 * Answers to one kind of request, for the plays of bad_host_play_*.c: broken ones
 * [protocol.md 10.7], and honest ones that are rare (the order of two, STALE after a close).
 */
#include "bad_host.h"

static uint16_t flags_of(const struct answer *answer)
{
	return le16toh(answer->request.flags);
}

/* By turns no result at all, and one that none of these requests may have. */
static void spoil_now(struct answer *answer)
{
	answer->result.status = htole32(answer->device->step++ & 1 ? MP_INVALID :
					MP_STATUS_MAX + 1);
	answer->result.count = 0;
	answer->used = sizeof(answer->result);
}

static void spoil(struct answer *answer, uint16_t op)
{
	if (answer->op != op)
		return;
	answer->device->hits++;
	spoil_now(answer);
}

static void broken_connect(struct answer *answer)
{
	spoil(answer, MP_OP_CONNECT);
}

/* No channel was made, and yet a state comes with it: of one that the linger limit has closed. */
static void busy_with_state(struct answer *answer)
{
	if (answer->op != MP_OP_CONNECT)
		return;
	answer->device->hits++;
	answer->result = (struct mp_result){
		.status = htole32(MP_BUSY),
		.state = { htole32(1), htole16(MP_ST_CLOSED), htole16(MP_REASON_LINGER) },
	};
	answer->used = sizeof(answer->result);
	answer->channel->generation = 0;
}

static void broken_read(struct answer *answer)
{
	spoil(answer, MP_OP_READ);
}

static void broken_write(struct answer *answer)
{
	spoil(answer, MP_OP_WRITE);
}

static void broken_cancel(struct answer *answer)
{
	spoil(answer, MP_OP_CANCEL);
}

static void broken_shutdown(struct answer *answer)
{
	spoil(answer, MP_OP_SHUTDOWN);
}

/* What counts is the CLOSE with ABORT that follows. */
static void broken_close(struct answer *answer)
{
	if (answer->op != MP_OP_CLOSE)
		return;
	if (flags_of(answer) & MP_CLOSE_ABORT)
		answer->device->hits++;
	else
		spoil_now(answer);
}

static void broken_abort(struct answer *answer)
{
	spoil(answer, MP_OP_CLOSE);
}

/* --- Honest, and rare ---------------------------------------------------------- */

static void set_in(struct channel *ch, bool on)
{
	ch->state.bits = on ? ch->state.bits | MP_ST_IN : ch->state.bits & ~MP_ST_IN;
	ch->state.seq++;
}

static void put_state(struct answer *answer)
{
	const struct channel *ch = answer->channel;

	answer->result.state = (struct mp_state){ htole32(ch->state.seq), htole16(ch->state.bits),
						  htole16(ch->state.reason) };
}

/*
 * Of two READs on the receive queue the first finds the service empty, so the second comes back
 * with ORDER; and the second answer is given first. One turn in 16, so that the driver
 * has learned to send more than one.
 */
static void swapped(struct answer *answer)
{
	struct device *device = answer->device;
	struct channel *ch = answer->channel;

	if (answer->op != MP_OP_READ || answer->queue & 1 || !ch || device->held_count ||
	    answer->result.status != htole32(MP_OK) || ++device->step % 16)
		return;
	ch->in_offset = le64toh(answer->request.offset);
	set_in(ch, false);
	answer->result.status = htole32(MP_AGAIN);
	answer->result.count = 0;
	answer->result.offset = answer->request.offset;
	answer->used = sizeof(answer->result);
	put_state(answer);
	answer->is_withheld = true;
}

/* The first comes back, and then there are bytes again. */
static void give_first(struct device *device)
{
	struct answer first = device->held[0].answer;

	device_give_held(device);
	set_in(first.channel, true);
	device_event(device, first.port, le32toh(first.request.channel),
		     le32toh(first.request.generation), first.channel->state,
		     sizeof(struct mp_event), NULL);
	device_publish(device, first.queue);
}

static void swapped_given(struct answer *answer)
{
	if (answer->op != MP_OP_READ || answer->result.status != htole32(MP_ORDER) ||
	    !answer->device->held_count)
		return;
	answer->device->hits++;
	give_first(answer->device);
}

/* No second one came: nothing to swap. */
static void swapped_tick(struct device *device)
{
	static unsigned int age;

	age = device->held_count ? age + 1 : 0;
	if (age > 50)
		give_first(device);
}

/*
 * A close that is not over at once, since not all was taken. Then the limit passes: the channel is
 * closed and forgotten while a WRITE is on its way, which is answered with STALE.
 */
static void lingering(struct answer *answer)
{
	struct channel *ch = answer->channel;

	if (answer->op != MP_OP_CLOSE || flags_of(answer) & MP_CLOSE_ABORT || !ch)
		return;
	ch->state.bits = MP_ST_CONNECTED | MP_ST_IN | MP_ST_OUT;
	put_state(answer);
}

static void lingering_given(struct answer *answer)
{
	struct mp_state_host closed = { .seq = 1000, .bits = MP_ST_CLOSED,
					.reason = MP_REASON_LINGER };

	if (answer->op != MP_OP_WRITE || answer->result.status != htole32(MP_STALE))
		return;
	answer->device->hits++;
	device_event(answer->device, answer->port, le32toh(answer->request.channel),
		     le32toh(answer->request.generation), closed, sizeof(struct mp_event), NULL);
	device_publish(answer->device, 2 * answer->port->id + 2);
}

/*
 * The victim's transmit queue is not looked at until the host is honest again. So a request stays
 * whole with the device, and its bytes move late, too.
 */
static bool deaf(struct device *device, unsigned int queue)
{
	if (queue != 2 * VICTIM + 3)
		return false;
	device->hits++;
	device->unheard = queue;
	return true;
}

const struct attack attacks_answers[] = {
	{ .name = "broken_connect", .answer = broken_connect },
	{ .name = "busy_with_state", .answer = busy_with_state },
	{ .name = "broken_read", .answer = broken_read },
	{ .name = "broken_write", .answer = broken_write },
	{ .name = "broken_cancel", .answer = broken_cancel },
	{ .name = "broken_shutdown", .answer = broken_shutdown },
	{ .name = "broken_close", .answer = broken_close },
	{ .name = "broken_abort", .answer = broken_abort },
	{ .name = "swapped", .answer = swapped, .given = swapped_given, .tick = swapped_tick },
	{ .name = "lingering", .answer = lingering, .given = lingering_given },
	{ .name = "deaf", .kick = deaf },
	{ .name = NULL },
};
