// SPDX-License-Identifier: MIT
/*
 * Serving rings: fairly, and with few notifications.
 *
 * A queue that is served takes what is visible, a ring full of chains or
 * PASS_BYTES at most; what is left makes it pending, and device_run() serves
 * each pending queue once a round. While a queue is pending its kicks are off. An
 * empty queue asks for kicks and looks once more, so no chain is overlooked
 * (ring.h).
 *
 * Used entries collect in a ring and are published when the entry ends, or
 * earlier after much data, so that the driver works on them in parallel.
 */
#include <errno.h>

#include "device/internal.h"

#define PASS_BYTES	(4U << 20)	/* then the others get their turn */
#define PUBLISH_BYTES	(128U << 10)	/* then the driver gets to work */

void queue_defer(struct queue *queue)
{
	if (queue->ring && !list_is_linked(&queue->pending))
		list_add_tail(&queue->device->pending, &queue->pending);
}

bool queue_has_budget(struct queue *queue, unsigned int *chains)
{
	if (++*chains <= queue->ring->size && queue->device->moved < PASS_BYTES)
		return true;
	queue_defer(queue);
	return false;
}

void queue_give(struct queue *queue, uint16_t head, uint32_t written)
{
	if (!queue->ring)
		return;
	ring_give(queue->ring, head, written);
	if (!list_is_linked(&queue->dirty))
		list_add_tail(&queue->device->dirty, &queue->dirty);
}

void queue_publish_all(struct device *device)
{
	struct list *link;

	while ((link = list_pop(&device->dirty))) {
		struct queue *queue = list_entry(link, struct queue, dirty);

		if (!queue->ring || !ring_publish(queue->ring))
			continue;
		device->stats.calls++;
		device->env.call(device->env.context, queue->index);
	}
}

/* Takes one chain and deals with it. Returns 1, 0 (none) or -EPROTO. */
static int serve_one(struct queue *queue)
{
	struct device *device = queue->device;
	struct request *request = queue->kind == QUEUE_RX ? &device->rx_request :
							    &device->tx_request;
	int ret = ring_take(queue->ring, &request->chain);

	if (ret <= 0)
		return ret;
	if (queue->kind == QUEUE_CONTROL_TX) {
		control_receive(queue, &request->chain);
		return 1;
	}
	request->queue = queue;
	request->port = queue->port;
	ret = request_handle(request);
	return ret < 0 ? ret : 1;
}

static void serve_messages(struct queue *queue)
{
	struct device *device = queue->device;
	unsigned int chains = 0;
	uint64_t published = device->moved;
	int ret;

	ring_want_kick(queue->ring, false);
	do {
		while (queue_has_budget(queue, &chains)) {
			ret = serve_one(queue);
			if (ret < 0)
				device_break(device, "a queue or a request breaks the rules");
			if (ret <= 0 || device->is_broken)
				break;
			if (device->moved - published < PUBLISH_BYTES)
				continue;
			queue_publish_all(device);
			published = device->moved;
		}
		if (device->is_broken || list_is_linked(&queue->pending))
			return;
	} while (ring_want_kick(queue->ring, true));
}

void queue_serve(struct queue *queue)
{
	struct device *device = queue->device;

	if (!queue->ring || device->is_broken || list_is_linked(&queue->pending))
		return;
	device->moved = 0;
	if (queue->kind == QUEUE_CONTROL_TX) {
		serve_messages(queue);
		return;
	}
	/* The control receive queue is only taken from when there is something to say. */
	if (queue->kind == QUEUE_CONTROL_RX || !queue->port || !queue->port->is_ready)
		return;
	if (device->life == LIFE_MULTI)
		serve_messages(queue);
	else
		classic_serve(queue);
}
