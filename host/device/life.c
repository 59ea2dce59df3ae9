// SPDX-License-Identifier: MIT
/* Ends without an answer; see life.h. Channels' memory goes when the entry settles. */
#include <stdlib.h>

#include "device/classic.h"
#include "device/life.h"
#include "device/message.h"

void life_return_held(struct port *port)
{
	for (uint32_t i = 0; port->parked && i < port->config.max_channels; i++)
		if (port->slots[i])
			park_return(port->slots[i], MP_CANCELLED);
	answer_no_events(port);
}

static void return_chain(struct queue *queue, const struct ring_chain *chain)
{
	const struct mp_event none = { .channel = htole32(MP_CHANNEL_NONE) };
	const struct mp_result stale = { .status = htole32(MP_STALE) };
	bool is_event = message_is_event(queue, chain);
	const void *answer = is_event ? (const void *)&none : &stale;
	ssize_t len = is_event ? sizeof(none) : sizeof(stale);

	if (queue->device->kept->life == LIFE_MULTI)
		len = map_write(queue->ring->mem, map_writable(chain), answer, len);
	else
		len = 0;		/* as a buffer that was taken, or has nothing in it */
	if (len < 0)
		state_break(queue->device, "a request of another time is not in guest memory");
	else
		queue_give(queue, chain->head, len);
}

void life_return_out(struct queue *queue)
{
	struct ring_chain *chain = &queue->scratch->chain;
	struct device *device = queue->device;
	int ret = 0;

	while (queue->ring && !device->is_broken && (ret = ring_next_out(queue->ring, chain)) > 0)
		return_chain(queue, chain);
	if (ret < 0)
		state_break(device, "a request of another time breaks the rules");
}

void life_found(struct port *port)
{
	if (!port->is_lost)
		return;
	life_return_out(port->rx);
	life_return_out(port->tx);
	port->is_lost = false;
	port->is_tx_unseen = false;
	port->tx_doubtful = queue_waiting(port->tx);
	queue_defer(port->rx);
	queue_defer(port->tx);
}

void life_reset_port(struct port *port, enum mp_end how)
{
	struct list *link;

	classic_reset(port, how);
	for (uint32_t i = 0; port->slot_count; i++)
		if (port->slots[i])
			slot_leave(port->slots[i], how);
	while ((link = list_pop(&port->events)))
		free(list_entry(link, struct held, link));
	list_del(&port->due_link);
	port->due = 0;
	port->rx_first = 0;
	port->tx_old = 0;
	port->is_tx_unseen = false;
	port->tx_doubtful = 0;
	port->is_lost = false;
	port->kept->ready = PORT_ABSENT;
}

void life_end(struct device *device, enum mp_end how)
{
	for (unsigned int id = 0; id < device->port_count; id++)
		if (device->ports[id]) {
			life_reset_port(device->ports[id], how);
			device->ports[id]->is_removed = false;
		}
	/* In this order: a crash may come between, and only a classic life can be resumed. */
	device->kept->resumed = false;
	__atomic_signal_fence(__ATOMIC_RELEASE);
	device->kept->life = LIFE_NONE;
	device->say = 0;
	/* What came when they were a manyport's, and was not looked at [protocol.md 11.7]. */
	for (unsigned int i = 0; device_is_fuse(device) && i < device->queue_count; i++)
		queue_defer(&device->queues[i]);
}
