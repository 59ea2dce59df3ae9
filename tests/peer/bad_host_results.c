// SPDX-License-Identifier: MIT
/* Answers that do not match their requests [protocol.md 6], and answers that never come. */
#include "bad_host.h"

static void hit(struct answer *answer)
{
	answer->device->hits++;
}

static uint32_t length(const struct answer *answer)
{
	return le32toh(answer->request.length);
}

static uint64_t offset(const struct answer *answer)
{
	return le64toh(answer->request.offset);
}

/* Every @n-th answer to a READ or WRITE, so that the channel has a life before. */
static bool is_turn(struct answer *answer, unsigned int n)
{
	if (!answer_is_data(answer) || answer->device->step++ % n)
		return false;
	hit(answer);
	return true;
}

static void set_answer(struct answer *answer, uint32_t status, uint32_t count)
{
	answer->result.status = htole32(status);
	answer->result.count = htole32(count);
	answer->used = sizeof(answer->result) + (answer->op == MP_OP_READ ? count : 0);
}

/* A newer state with other bits than the channel's. */
static void set_newer(struct answer *answer, uint16_t set, uint16_t clear)
{
	uint16_t bits = le16toh(answer->result.state.bits);

	if (!answer->channel)
		return;
	answer->result.state.seq = htole32(++answer->channel->state.seq);
	answer->result.state.bits = htole16((bits | set) & ~clear);
}

/* --- Counts and lengths ------------------------------------------------------ */

static void count_above(struct answer *answer)
{
	if (!is_turn(answer, 3))
		return;
	set_answer(answer, MP_OK, length(answer) + 1);
	answer->result.offset = htole64(offset(answer) + length(answer) + 1);
}

static void count_huge(struct answer *answer)
{
	if (!is_turn(answer, 3))
		return;
	set_answer(answer, MP_OK, UINT32_MAX);
	answer->used = UINT32_MAX;
	answer->result.offset = htole64(offset(answer) + UINT32_MAX);
}

static void count_less(struct answer *answer)
{
	if (is_turn(answer, 3))
		answer->result.count = htole32(length(answer) / 2);
}

static void count_none(struct answer *answer)
{
	if (!is_turn(answer, 3))
		return;
	set_answer(answer, MP_OK, 0);
	answer->result.offset = htole64(offset(answer));
	if (answer->channel && answer->op == MP_OP_READ)
		answer->channel->in_offset = offset(answer);
	else if (answer->channel)
		answer->channel->out_offset = offset(answer);
}

static void used_zero(struct answer *answer)
{
	if (is_turn(answer, 3))
		answer->used = 0;
}

static void used_short(struct answer *answer)
{
	if (is_turn(answer, 3))
		answer->used = sizeof(answer->result) - 1;
}

static void used_huge(struct answer *answer)
{
	if (is_turn(answer, 1))
		answer->used = UINT32_MAX;
}

static void used_without_payload(struct answer *answer)
{
	if (is_turn(answer, 3))
		answer->used = sizeof(answer->result);
}

/* --- Offsets ----------------------------------------------------------------- */

static void offset_back(struct answer *answer)
{
	if (is_turn(answer, 3))
		answer->result.offset = htole64(0);
}

static void offset_jump(struct answer *answer)
{
	if (is_turn(answer, 3))
		answer->result.offset = htole64(le64toh(answer->result.offset) + 4096);
}

static void offset_wild(struct answer *answer)
{
	if (is_turn(answer, 3))
		answer->result.offset = htole64(UINT64_MAX - device_random(answer->device) % 3);
}

/* --- Status ------------------------------------------------------------------ */

static void status_wild(struct answer *answer)
{
	if (is_turn(answer, 3))
		answer->result.status = htole32(MP_STATUS_MAX + 1 +
						device_random(answer->device));
}

static void status_random(struct answer *answer)
{
	if (is_turn(answer, 2))
		answer->result.status = htole32(device_random(answer->device) %
						(MP_STATUS_MAX + 1));
}

/* CONNECT, CLOSE, SHUTDOWN and CANCEL as well. */
static void status_of_all(struct answer *answer)
{
	hit(answer);
	answer->result.status = htole32(device_random(answer->device) % (MP_STATUS_MAX + 1));
}

static void order_storm(struct answer *answer)
{
	if (!is_turn(answer, 1))
		return;
	set_answer(answer, MP_ORDER, 0);
	answer->result.offset = htole64(offset(answer));
}

static void order_below(struct answer *answer)
{
	if (!is_turn(answer, 1))
		return;
	set_answer(answer, MP_ORDER, 0);
	answer->result.offset = htole64(offset(answer) - 1);
}

/* Nothing moves, and the state says: go on. */
static void again_storm(struct answer *answer)
{
	if (!is_turn(answer, 1))
		return;
	set_answer(answer, MP_AGAIN, 0);
	answer->result.offset = htole64(offset(answer));
	set_newer(answer, MP_ST_IN | MP_ST_OUT, 0);
}

/* Nothing moves, and the event that is owed never comes. */
static void again_for_ever(struct answer *answer)
{
	if (!is_turn(answer, 1))
		return;
	set_answer(answer, MP_AGAIN, 0);
	answer->result.offset = htole64(offset(answer));
	set_newer(answer, 0, MP_ST_IN | MP_ST_OUT);
}

static void ended_storm(struct answer *answer)
{
	if (is_turn(answer, 1))
		set_answer(answer, MP_ENDED, 0);
}

static void bad_state_storm(struct answer *answer)
{
	if (is_turn(answer, 1))
		set_answer(answer, MP_BAD_STATE, 0);
}

static void stale_storm(struct answer *answer)
{
	if (is_turn(answer, 1))
		set_answer(answer, MP_STALE, 0);
}

static void busy_storm(struct answer *answer)
{
	if (is_turn(answer, 1))
		set_answer(answer, MP_BUSY, 0);
}

static void cancelled_storm(struct answer *answer)
{
	if (is_turn(answer, 1))
		set_answer(answer, MP_CANCELLED, 0);
}

/* The end, in a state that is older than what the driver has. */
static void end_of_old(struct answer *answer)
{
	if (!is_turn(answer, 1))
		return;
	set_answer(answer, MP_OK, 0);
	answer->result.offset = htole64(offset(answer));
	answer->result.state.seq = htole32(0);
	answer->result.state.bits |= htole16(MP_ST_IN_END);
}

/* The first of several gets nothing, those after it get all. */
static void gap(struct answer *answer)
{
	if (!answer_is_data(answer))
		return;
	set_answer(answer, MP_OK, length(answer));
	answer->result.offset = htole64(offset(answer) + length(answer));
	if (answer->device->step++ % 2)
		return;
	hit(answer);
	set_answer(answer, MP_AGAIN, 0);
}

/* The rules are kept, but each request moves a byte. */
static void small_steps(struct answer *answer)
{
	struct channel *ch = answer->channel;

	if (!ch || le32toh(answer->result.count) < 2 || !is_turn(answer, 1))
		return;
	set_answer(answer, MP_OK, 1);
	answer->result.offset = htole64(offset(answer) + 1);
	if (answer->op == MP_OP_READ)
		ch->in_offset = offset(answer) + 1;
	else
		ch->out_offset = offset(answer) + 1;
}

/*
 * The result changes while the driver looks at it: for some microseconds after it
 * was given, before the driver can have used its memory for something else.
 */
static void answer_changes(struct answer *answer)
{
	struct ring *ring = answer->device->rings[answer->queue];
	volatile struct mp_result *result;

	if (!answer_is_data(answer) || !ring)
		return;
	hit(answer);
	result = mem_at(ring->mem, answer->addr, sizeof(*result));
	for (uint32_t n = 0; n < 200; n++) {
		result->count = htole32(n & 1 ? UINT32_MAX : 1);
		result->status = htole32(n % 7 ? MP_OK : n);
	}
}

/* --- CONNECT ----------------------------------------------------------------- */

static void connect_stateless(struct answer *answer)
{
	if (answer->op != MP_OP_CONNECT)
		return;
	hit(answer);
	answer->result.state = (struct mp_state){ 0 };
}

static void connect_stale(struct answer *answer)
{
	if (answer->op != MP_OP_CONNECT)
		return;
	hit(answer);
	set_answer(answer, MP_STALE, 0);
}

static void connect_busy(struct answer *answer)
{
	if (answer->op != MP_OP_CONNECT)
		return;
	hit(answer);
	set_answer(answer, MP_BUSY, 0);
	answer->channel->generation = 0;
}

/* Connected and refused at once; then connected without having been asked. */
static void connect_unasked(struct answer *answer)
{
	if (answer->op != MP_OP_CONNECT && answer->op != MP_OP_CLOSE)
		return;
	hit(answer);
	set_newer(answer, MP_ST_CONNECTED | MP_ST_REFUSED, 0);
	answer->result.state.reason = htole16(answer->device->step++ % (MP_REASON_MAX + 1));
}

/* --- No answer --------------------------------------------------------------- */

static void withhold(struct answer *answer, uint16_t op)
{
	if (answer->op != op)
		return;
	hit(answer);
	answer->is_withheld = true;
}

static void late(struct answer *answer)
{
	if (!answer_is_data(answer))
		return;
	hit(answer);
	answer->is_withheld = true;
}

static void late_and_wrong(struct answer *answer)
{
	late(answer);
	if (answer->is_withheld && answer->device->step++ % 2)
		answer->result.count = htole32(UINT32_MAX);
}

static void silent_connect(struct answer *answer)
{
	withhold(answer, MP_OP_CONNECT);
}

static void silent_write(struct answer *answer)
{
	withhold(answer, MP_OP_WRITE);
}

static void silent_read(struct answer *answer)
{
	withhold(answer, MP_OP_READ);
}

static void silent_close(struct answer *answer)
{
	withhold(answer, MP_OP_CLOSE);
}

static void silent_cancel(struct answer *answer)
{
	withhold(answer, MP_OP_CANCEL);
}

static void silent_all(struct answer *answer)
{
	withhold(answer, answer->op);
}

const struct attack attacks_results[] = {
	{ .name = "count_above", .answer = count_above },
	{ .name = "count_huge", .answer = count_huge },
	{ .name = "count_less", .answer = count_less },
	{ .name = "count_none", .answer = count_none },
	{ .name = "used_zero", .answer = used_zero },
	{ .name = "used_short", .answer = used_short },
	{ .name = "used_huge", .answer = used_huge },
	{ .name = "used_without_payload", .answer = used_without_payload },
	{ .name = "offset_back", .answer = offset_back },
	{ .name = "offset_jump", .answer = offset_jump },
	{ .name = "offset_wild", .answer = offset_wild },
	{ .name = "status_wild", .answer = status_wild },
	{ .name = "status_random", .answer = status_random },
	{ .name = "status_of_all", .answer = status_of_all },
	{ .name = "order_storm", .answer = order_storm },
	{ .name = "order_below", .answer = order_below },
	{ .name = "again_storm", .answer = again_storm },
	{ .name = "again_for_ever", .answer = again_for_ever },
	{ .name = "ended_storm", .answer = ended_storm },
	{ .name = "bad_state_storm", .answer = bad_state_storm },
	{ .name = "stale_storm", .answer = stale_storm },
	{ .name = "busy_storm", .answer = busy_storm },
	{ .name = "cancelled_storm", .answer = cancelled_storm },
	{ .name = "end_of_old", .answer = end_of_old },
	{ .name = "gap", .answer = gap },
	{ .name = "small_steps", .answer = small_steps },
	{ .name = "answer_changes", .given = answer_changes },
	{ .name = "connect_stateless", .answer = connect_stateless },
	{ .name = "connect_stale", .answer = connect_stale },
	{ .name = "connect_busy", .answer = connect_busy },
	{ .name = "connect_unasked", .answer = connect_unasked },
	{ .name = "late", .answer = late },
	{ .name = "late_and_wrong", .answer = late_and_wrong },
	{ .name = "silent_connect", .answer = silent_connect },
	{ .name = "silent_write", .answer = silent_write },
	{ .name = "silent_read", .answer = silent_read },
	{ .name = "silent_close", .answer = silent_close },
	{ .name = "silent_cancel", .answer = silent_cancel },
	{ .name = "silent_all", .answer = silent_all },
	{ .name = "silent_unbind", .answer = silent_all },
	{ .name = NULL },
};
