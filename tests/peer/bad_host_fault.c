// SPDX-License-Identifier: MIT
/* "I cannot reach that payload" [protocol.md 6.9], where it is so, and where it cannot be. */
#include "bad_host.h"

static bool is_served(const struct answer *answer)
{
	return answer->channel && answer_is_data(answer) &&
	       le32toh(answer->result.status) == MP_OK;
}

/* The honest device has moved all: what follows @count was not, after all. */
static void fault(struct answer *answer, uint32_t count)
{
	uint64_t expected = le64toh(answer->request.offset) + count;

	answer->device->hits++;
	answer->result.status = htole32(MP_FAULT);
	answer->result.count = htole32(count);
	answer->result.offset = htole64(expected);
	answer->used = sizeof(answer->result) + (answer->op == MP_OP_READ ? count : 0);
	if (answer->op == MP_OP_READ)
		answer->channel->in_offset = expected;
	else
		answer->channel->out_offset = expected;
}

/* Pages of processes: they travel on the transmit queue, and are never lazy. */
static bool has_pages(const struct answer *answer)
{
	return is_served(answer) && (answer->queue & 1) &&
	       !(answer->request.flags & htole16(MP_LAZY));
}

static void fault_pages(struct answer *answer)
{
	if (has_pages(answer))
		fault(answer, 0);
}

static void fault_half(struct answer *answer)
{
	if (has_pages(answer))
		fault(answer, le32toh(answer->request.length) / 2);
}

static void fault_all(struct answer *answer)
{
	if (is_served(answer))
		fault(answer, le32toh(answer->request.length) > 8 ? answer->device->step++ & 7 : 0);
}

/* All moved, and yet it could not be reached. */
static void fault_full(struct answer *answer)
{
	if (is_served(answer))
		fault(answer, le32toh(answer->request.length));
}

static void fault_offset(struct answer *answer)
{
	if (!is_served(answer))
		return;
	fault(answer, 0);
	answer->result.offset = htole64(le64toh(answer->request.offset) + 1);
}

static void fault_connect(struct answer *answer)
{
	if (answer->op != MP_OP_CONNECT)
		return;
	answer->device->hits++;
	answer->result = (struct mp_result){ .status = htole32(MP_FAULT) };
	answer->channel->generation = 0;
}

/* Of requests that have no payload. */
static void fault_others(struct answer *answer)
{
	if (answer_is_data(answer) || answer->op == MP_OP_CONNECT)
		return;
	answer->device->hits++;
	answer->result.status = htole32(MP_FAULT);
}

const struct attack attacks_fault[] = {
	{ .name = "fault_pages", .answer = fault_pages },
	{ .name = "fault_half", .answer = fault_half },
	{ .name = "fault_all", .answer = fault_all },
	{ .name = "fault_full", .answer = fault_full },
	{ .name = "fault_offset", .answer = fault_offset },
	{ .name = "fault_connect", .answer = fault_connect },
	{ .name = "fault_others", .answer = fault_others },
	{ .name = NULL },
};
