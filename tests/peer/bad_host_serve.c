// SPDX-License-Identifier: MIT
/*
 * Requests, answered as the protocol says; an attack may change each answer before it is given.
 *
 * Deliberately simple: a service is always reached at once, "data" never ends, a
 * close is over when it is asked for. So there is nothing to wait for and nothing owed.
 */
#include <stdio.h>
#include <string.h>

#include "bad_host_serve.h"

static uint8_t pattern(uint64_t offset)
{
	return offset ^ (offset >> 8) * 7;
}

static void put_state(struct mp_state *to, const struct mp_state_host *from)
{
	to->seq = htole32(from->seq);
	to->bits = htole16(from->bits);
	to->reason = htole16(from->reason);
}

static void set_bits(struct channel *ch, uint16_t bits)
{
	if (ch->state.bits == bits)
		return;
	ch->state.bits = bits;
	ch->state.seq++;
}

/* --- Answers ----------------------------------------------------------------- */

bool answer_is_data(const struct answer *answer)
{
	return answer->op == MP_OP_READ || answer->op == MP_OP_WRITE;
}

static void give_now(struct answer *answer)
{
	struct ring *ring = answer->device->rings[answer->queue];
	void *to = ring ? mem_at(ring->mem, answer->addr, sizeof(answer->result)) : NULL;

	if (!to)
		return;
	memcpy(to, &answer->result, sizeof(answer->result));
	ring_give(ring, answer->head, answer->used);
	device_publish(answer->device, answer->queue);
}

static void hold(struct answer *answer)
{
	struct device *device = answer->device;

	if (device->held_count < HELD)
		device->held[device->held_count++].answer = *answer;
}

void answer_give(struct answer *answer)
{
	struct device *device = answer->device;
	const struct attack *attack = answer->port->id == CONTROL ? NULL : device->attack;

	if (attack && attack->answer)
		attack->answer(answer);
	if (answer->is_withheld) {
		hold(answer);
		return;
	}
	give_now(answer);
	if (attack && attack->given)
		attack->given(answer);
}

void device_give_held(struct device *device)
{
	for (unsigned int i = 0; i < device->held_count; i++)
		give_now(&device->held[i].answer);
	device->held_count = 0;
}

static void finish(struct answer *answer, uint32_t status, uint32_t count)
{
	struct channel *ch = answer->channel;

	answer->result.status = htole32(status);
	answer->result.count = htole32(count);
	answer->used = sizeof(answer->result) + (answer->op == MP_OP_READ ? count : 0);
	if (ch) {
		put_state(&answer->result.state, &ch->state);
		answer->result.offset = htole64(answer->op == MP_OP_READ ? ch->in_offset :
						ch->out_offset);
	}
	answer_give(answer);
}

static struct answer answer_begin(struct device *device, struct port *port, unsigned int queue,
				  const struct mp_request *request, uint16_t head, gpa_t addr)
{
	return (struct answer){
		.device = device, .port = port, .queue = queue, .op = le16toh(request->op),
		.head = head, .addr = addr, .request = *request,
	};
}

/* --- Bytes ------------------------------------------------------------------- */

static uint32_t put_pattern(const struct mem *mem, const struct ring_segment *segments,
			    unsigned int count, uint64_t offset)
{
	uint32_t done = 0;

	for (unsigned int i = 0; i < count; i++) {
		uint32_t skip = i ? 0 : sizeof(struct mp_result), len = segments[i].len - skip;
		uint8_t *to;

		if (!len)
			continue;
		to = mem_at(mem, gpa(segments[i].addr.value + skip), len);
		for (uint32_t n = 0; to && n < len; n++)
			to[n] = pattern(offset++);
		done += len;
	}
	return done;
}

static bool check_pattern(const struct mem *mem, const struct ring_chain *chain, uint64_t offset)
{
	for (unsigned int i = 0; i < chain->readable; i++) {
		const struct ring_segment *segment = &chain->segments[i];
		uint32_t skip = i ? 0 : sizeof(struct mp_request), len = segment->len - skip;
		const uint8_t *from;

		if (!len)
			continue;
		from = mem_at(mem, gpa(segment->addr.value + skip), len);
		for (uint32_t n = 0; from && n < len; n++)
			if (from[n] != pattern(offset++))
				return false;
	}
	return true;
}

/* --- Operations -------------------------------------------------------------- */

static void park(struct channel *ch, const struct ring_chain *chain, struct answer *answer)
{
	ch->is_parked = true;
	ch->parked_head = chain->head;
	ch->parked_writable = chain->writable;
	memcpy(ch->parked, chain->segments + chain->readable,
	       chain->writable * sizeof(ch->parked[0]));
	ch->request = answer->request;
}

/* The parked READ comes back, with nothing. */
void serve_unpark(struct device *device, struct port *port, struct channel *ch)
{
	struct answer answer = answer_begin(device, port, port->id ? 2 * port->id + 2 : 0,
					    &ch->request, ch->parked_head, ch->parked[0].addr);

	if (!ch->is_parked)
		return;
	ch->is_parked = false;
	answer.channel = ch;
	finish(&answer, MP_CANCELLED, 0);
}

static void serve_read(struct answer *answer, const struct ring_chain *chain)
{
	struct ring *ring = answer->device->rings[answer->queue];
	struct channel *ch = answer->channel;
	bool may_park = !(answer->queue & 1);
	uint32_t count;

	if (le64toh(answer->request.offset) != ch->in_offset) {
		finish(answer, MP_ORDER, 0);
	} else if (!ch->is_quiet) {
		count = put_pattern(ring->mem, chain->segments + chain->readable, chain->writable,
				    ch->in_offset);
		ch->in_offset += count;
		finish(answer, MP_OK, count);
	} else if (may_park && ch->is_parked) {
		finish(answer, MP_BUSY, 0);
	} else if (may_park && chain->writable <= PARK_SEGMENTS) {
		set_bits(ch, ch->state.bits & ~MP_ST_IN);
		park(ch, chain, answer);
	} else {
		set_bits(ch, ch->state.bits & ~MP_ST_IN);
		finish(answer, MP_AGAIN, 0);
	}
}

static void serve_write(struct answer *answer, const struct ring_chain *chain)
{
	struct ring *ring = answer->device->rings[answer->queue];
	struct channel *ch = answer->channel;
	uint32_t count = le32toh(answer->request.length);

	if (le64toh(answer->request.offset) != ch->out_offset) {
		finish(answer, MP_ORDER, 0);
	} else if (ch->state.bits & MP_ST_OUT_END) {
		finish(answer, MP_ENDED, 0);
	} else if (ch->is_quiet) {
		set_bits(ch, ch->state.bits & ~MP_ST_OUT);
		finish(answer, MP_AGAIN, 0);
	} else if (check_pattern(ring->mem, chain, ch->out_offset)) {
		ch->out_offset += count;
		finish(answer, MP_OK, count);
	} else {
		ch->state.reason = MP_REASON_RESET;
		set_bits(ch, MP_ST_CONNECTED | MP_ST_FAILED | MP_ST_IN | MP_ST_OUT | MP_ST_IN_END |
			 MP_ST_OUT_END);
		finish(answer, MP_ENDED, 0);
	}
}

static void serve_connect(struct answer *answer, const struct ring_chain *chain)
{
	struct ring *ring = answer->device->rings[answer->queue];
	uint32_t slot = le32toh(answer->request.channel), len = le32toh(answer->request.length);
	char payload[sizeof(struct mp_connect) + MP_NAME_MAX + 1] = "";
	struct channel *ch = &answer->port->channels[slot];
	enum mp_reason reason = MP_REASON_NONE;

	/* The driver puts the header, and then the payload, into one descriptor each. */
	if (chain->readable == 2 && len < sizeof(payload))
		memcpy(payload, mem_at(ring->mem, chain->segments[1].addr, len), len);
	*ch = (struct channel){ .generation = le32toh(answer->request.generation) };
	ch->is_quiet = !strcmp(payload + sizeof(struct mp_connect), "quiet");
	if (answer->port->id == CONTROL)
		reason = serve_command(answer->device, payload + sizeof(struct mp_connect));
	ch->state = (struct mp_state_host){
		.seq = 1, .reason = reason,
		.bits = reason ? MP_ST_REFUSED : MP_ST_CONNECTED | MP_ST_OUT | MP_ST_IN,
	};
	answer->channel = ch;
	finish(answer, MP_OK, 0);
}

static void serve_close(struct answer *answer)
{
	struct channel *ch = answer->channel;

	serve_unpark(answer->device, answer->port, ch);
	set_bits(ch, ch->state.bits | MP_ST_CLOSED);
	finish(answer, MP_OK, 0);
	ch->generation = 0;
}

static void serve_shutdown(struct answer *answer)
{
	struct channel *ch = answer->channel;
	uint16_t how = le16toh(answer->request.flags), bits = ch->state.bits;

	if (how & MP_SHUT_READ) {
		serve_unpark(answer->device, answer->port, ch);
		bits |= MP_ST_IN_END;
	}
	if (how & MP_SHUT_WRITE)
		bits |= MP_ST_OUT_END;
	set_bits(ch, bits);
	finish(answer, MP_OK, 0);
}

static void serve_known(struct answer *answer, const struct ring_chain *chain)
{
	switch (answer->op) {
	case MP_OP_READ:
		serve_read(answer, chain);
		break;
	case MP_OP_WRITE:
		serve_write(answer, chain);
		break;
	case MP_OP_SHUTDOWN:
		serve_shutdown(answer);
		break;
	case MP_OP_CANCEL:
		serve_unpark(answer->device, answer->port, answer->channel);
		finish(answer, MP_OK, 0);
		break;
	case MP_OP_CLOSE:
		serve_close(answer);
		break;
	default:
		finish(answer, MP_UNSUPPORTED, 0);
	}
}

static void serve_request(struct device *device, struct port *port, unsigned int queue,
			  const struct ring_chain *chain)
{
	const struct ring_segment *result = &chain->segments[chain->readable];
	struct ring *ring = device->rings[queue];
	struct mp_request request;
	struct answer answer;
	uint32_t slot;

	memcpy(&request, mem_at(ring->mem, chain->segments[0].addr, sizeof(request)),
	       sizeof(request));
	answer = answer_begin(device, port, queue, &request, chain->head, result->addr);
	slot = le32toh(request.channel);
	if (slot >= SLOTS) {
		finish(&answer, MP_STALE, 0);
	} else if (answer.op == MP_OP_CONNECT) {
		serve_connect(&answer, chain);
	} else if (port->channels[slot].generation != le32toh(request.generation)) {
		finish(&answer, MP_STALE, 0);
	} else {
		answer.channel = &port->channels[slot];
		serve_known(&answer, chain);
	}
}

void serve_queue(struct device *device, struct port *port, unsigned int queue)
{
	struct ring *ring = device->rings[queue];
	static struct ring_chain chain;

	while (ring_take(ring, &chain) == 1) {
		if (chain.readable && chain.writable &&
		    chain.segments[0].len >= sizeof(struct mp_request) &&
		    chain.segments[chain.readable].len >= sizeof(struct mp_result))
			serve_request(device, port, queue, &chain);
		else if (!chain.readable && port->event_count < SLOTS)
			port->events[port->event_count++] = (struct event_buf){
				chain.head, chain.segments[0].addr };
		else
			fprintf(stderr, "a chain that this device does not understand\n");
	}
	if (port->id != CONTROL && device->attack && device->attack->events)
		device->attack->events(device, port);
}

bool device_event(struct device *device, struct port *port, uint32_t slot, uint32_t generation,
		  struct mp_state_host state, uint32_t used, gpa_t *addr)
{
	struct ring *ring = device_rx(device, port);
	struct mp_event event = { .channel = htole32(slot), .generation = htole32(generation) };
	struct event_buf buf;

	if (!port->event_count || !ring)
		return false;
	buf = port->events[--port->event_count];
	put_state(&event.state, &state);
	memcpy(mem_at(ring->mem, buf.addr, sizeof(event)), &event, sizeof(event));
	ring_give(ring, buf.head, used);
	if (addr)
		*addr = buf.addr;
	return true;
}
