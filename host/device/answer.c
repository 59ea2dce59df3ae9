// SPDX-License-Identifier: MIT
/* Results and events; see message.h. */
#include <stdlib.h>

#include "base/iov.h"
#include "device/message.h"

void answer_request(const struct request *request, enum mp_status status)
{
	struct queue *queue = request->queue;
	struct slot *slot = request->slot;
	bool is_read = request->header.op == MP_OP_READ;
	bool is_write = request->header.op == MP_OP_WRITE;
	bool is_lazy = (is_read || is_write) && (request->header.flags & MP_LAZY);
	struct mp_result result = {
		.status = htole32(status),
		.count = htole32(request->payload.moved),
	};

	if (slot)
		slot_get_state(slot, &result.state);
	if (slot && is_read)
		result.offset = htole64(slot->channel.in.offset);
	if (slot && is_write)
		result.offset = htole64(slot->channel.out.offset);
	iov_copy_in(request->result, request->result_count, 0, &result, sizeof(result));
	if (is_read && is_lazy)
		ring_be_quiet(queue->ring);	/* [protocol.md 6.8] */
	queue_give(queue, request->head, sizeof(result) + (is_read ? request->payload.moved : 0));
	queue->device->stats.results++;
	/*
	 * A lazy result is looked at late [protocol.md 6.8]: news is owed still. But that OUT or
	 * IN is clear may be learned late: a driver that has not looked is answered AGAIN.
	 */
	if (slot && (!is_lazy || !(slot->bits & ~slot->told_bits)))
		slot_delivered(slot);
}

/*
 * Writes @event into the oldest buffer, which the driver gets back, late if it can be: not when it
 * was the last, since another channel's event would have to wait for it.
 */
static void give_event(struct port *port, const struct mp_event *event, bool may_be_late)
{
	struct held *buffer = list_entry(list_pop(&port->events), struct held, link);
	struct queue *rx = port->rx;

	if (map_write(rx->ring->mem, port_held(buffer), event, sizeof(*event)) < 0)
		state_break(port->device, "an event buffer is not in guest memory any more");
	else if (may_be_late && !list_is_empty(&port->events))
		queue_give_late(rx, buffer->head, sizeof(*event));
	else
		queue_give(rx, buffer->head, sizeof(*event));
	free(buffer);
}

void answer_events(struct port *port)
{
	while (port->rx->ring && !port->device->is_broken && !list_is_empty(&port->events)) {
		struct slot *slot = list_first(&port->owed, struct slot, owed);
		struct mp_event event = { 0 };

		if (!slot)
			return;
		event.channel = htole32(slot->channel.opener.channel);
		event.generation = htole32(slot->channel.opener.generation);
		slot_get_state(slot, &event.state);
		give_event(port, &event, slot->channel.phase == CHANNEL_CLOSED);
		slot_delivered(slot);
	}
}

void answer_no_events(struct port *port)
{
	const struct mp_event none = { .channel = htole32(MP_CHANNEL_NONE) };

	while (!port->device->is_broken && !list_is_empty(&port->events))
		give_event(port, &none, false);
}
