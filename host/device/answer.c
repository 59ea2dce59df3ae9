// SPDX-License-Identifier: MIT
/* Results and events; see answer.h. */
#include <stdlib.h>

#include "base/iov.h"
#include "device/answer.h"

void answer_result(struct queue *queue, uint16_t head, const struct request_map *map,
		   const struct slot *slot, const struct mp_result *result, uint32_t payload)
{
	struct mp_result copy = *result;

	if (slot)
		slot_get_state(slot, &copy.state);
	iov_copy_in(map->result, map->result_count, 0, &copy, sizeof(copy));
	queue_give(queue, head, sizeof(copy) + payload);
	queue->device->stats.results++;
}

/* Writes @event into the oldest buffer, which the driver gets back. */
static void give_event(struct port *port, const struct mp_event *event)
{
	struct held *buffer = list_entry(list_pop(&port->events), struct held, link);
	struct queue *rx = port->rx;

	if (map_write(rx->ring->mem, buffer->segments, buffer->count, event, sizeof(*event)) < 0)
		state_break(port->device, "an event buffer is not in guest memory any more");
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
		give_event(port, &event);
		port->device->stats.events++;
		slot_delivered(slot);
	}
}

void answer_no_events(struct port *port)
{
	const struct mp_event none = { .channel = htole32(MP_CHANNEL_NONE) };

	while (!port->device->is_broken && !list_is_empty(&port->events))
		give_event(port, &none);
}
