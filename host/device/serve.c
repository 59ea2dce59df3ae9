// SPDX-License-Identifier: MIT
/*
 * What a queue is for changes with the life of the driver: requests of a file system, messages,
 * requests, bytes of a classic port. It is decided here, for each chain.
 *
 * Warm queues are those that were served and want no kicks, because the owner looks at them before
 * it sleeps. They are no work: there may be nothing in them.
 */
#include "device/classic.h"
#include "device/control.h"
#include "device/message.h"
#include "device/port.h"
#include "device/serve.h"

static int handle(struct queue *queue, const struct ring_chain *chain)
{
	struct device *device = queue->device;

	if (device_is_fuse(device))
		return fuse_handle(queue, chain);
	if (queue->kind == QUEUE_CONTROL_TX)
		return control_receive(queue, chain);
	if (queue->kind == QUEUE_CONTROL_RX)
		return control_send(queue, chain);
	if (device->life == LIFE_MULTI)
		return request_handle(queue, chain);
	return queue->kind == QUEUE_TX ? classic_ring_send(queue, chain) :
					 classic_ring_fill(queue, chain);
}

void serve_queue(struct work *work)
{
	struct queue *queue = container_of(work, struct queue, work), *second = NULL;
	struct device *device = queue->device;
	struct port *port = queue->port;

	if (!queue->ring || device->is_broken)
		return;
	if (queue->kind < QUEUE_CONTROL_RX && !device_is_fuse(device)) {
		if (!port || !port->is_ready)
			return;		/* left alone [protocol.md 3.3] */
		if (device->life == LIFE_MULTI)
			second = queue->kind == QUEUE_TX ? port->rx : port->tx;
		else if (queue->kind == QUEUE_TX)
			classic_retire(port);
	}
	queue_take_all(queue, second, handle);
}

/* May chains be taken from @queue now? */
static bool is_live(const struct queue *queue)
{
	return queue_is_served(queue) && queue->port->is_ready &&
	       queue->device->life == LIFE_MULTI;
}

bool serve_look(struct device *device)
{
	struct list *link;

	if (device->is_broken)
		return false;
	list_for_each(link, &device->warm) {
		struct queue *queue = list_entry(link, struct queue, warm);

		if (!is_live(queue) || !ring_waiting(queue->ring))
			continue;
		list_del(link);		/* the others come first next time */
		list_add_tail(&device->warm, link);
		queue_serve(queue);
		return true;		/* the list may be another one now */
	}
	return false;
}

/* Kicks are wanted again. Returns true when chains have come before that. */
static bool cool(struct queue *queue)
{
	return queue->ring && ring_want_kick(queue->ring, true) && is_live(queue);
}

bool serve_rest(struct device *device)
{
	struct list *link;

	while ((link = list_pop(&device->warm))) {
		struct queue *queue = list_entry(link, struct queue, warm);

		if (!cool(queue) || device->is_broken)
			continue;
		queue_serve(queue);
		return true;	/* it is warm again: the others' turn comes at the next rest */
	}
	return false;
}
