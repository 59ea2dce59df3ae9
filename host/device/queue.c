// SPDX-License-Identifier: MIT
/*
 * Serving rings: fairly, and with few notifications.
 *
 * A queue that is served takes what is visible, a ring full of chains, PASS_BYTES
 * or the time of a turn (channel/turn.c) at most; what is left makes it pending: it is in the
 * core's work list, and served once a round. While a queue is pending its kicks are off. An
 * empty queue asks for kicks and looks once more, so no chain is overlooked
 * (ring.h).
 *
 * Used entries collect in a ring and are published when the entry ends, or
 * earlier after much data, so that the driver works on them in parallel.
 */
#include <errno.h>

#include "device/queue.h"

#define PASS_BYTES	(4U << 20)	/* then the others get their turn */
#define PUBLISH_BYTES	(128U << 10)	/* then the driver gets to work */

void queue_init(struct queue *queue, struct device *device, unsigned int index,
		enum queue_kind kind, void (*run)(struct work *work),
		int (*take)(struct queue *queue))
{
	queue->device = device;
	queue->index = index;
	queue->kind = kind;
	queue->scratch = kind == QUEUE_RX || kind == QUEUE_CONTROL_RX ? &device->rx_scratch :
									&device->tx_scratch;
	queue->take = take;
	work_init(&queue->work, run);
	list_init(&queue->dirty);
	list_init(&queue->warm);
}

void queue_serve(struct queue *queue)
{
	if (queue_is_served(queue))
		queue->work.run(&queue->work);
}

void queue_defer(struct queue *queue)
{
	if (queue->ring)
		core_defer(&queue->device->core, &queue->work);
}

bool queue_is_spent(const struct queue *queue)
{
	struct core *core = &queue->device->core;

	return core->moved >= PASS_BYTES || turn_is_over(&core->turn);
}

bool queue_has_budget(struct queue *queue, unsigned int *chains)
{
	if (++*chains <= queue->ring->size && !queue_is_spent(queue))
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

void queue_give_quietly(struct queue *queue)
{
	if (queue->ring)
		ring_be_quiet(queue->ring);
}

/* Makes visible what was given in queues of @kind, or in all @others; collects who is called. */
static void publish(struct device *device, struct list *called, enum queue_kind kind, bool others)
{
	struct list dirty, *link;

	list_init(&dirty);
	list_splice_tail(&device->dirty, &dirty);
	while ((link = list_pop(&dirty))) {
		struct queue *queue = list_entry(link, struct queue, dirty);

		if ((queue->kind == kind) == others)
			list_add_tail(&device->dirty, link);
		else if (queue->ring && ring_publish(queue->ring))
			list_add_tail(called, link);
	}
}

/*
 * Receive queues are visible before transmit queues, and all before the first call: an answer
 * on a transmit queue may say that others lie in the receive queue [protocol.md 6.8].
 */
void queue_publish_all(struct device *device)
{
	struct list called, *link;

	list_init(&called);
	publish(device, &called, QUEUE_RX, false);
	publish(device, &called, QUEUE_RX, true);
	while ((link = list_pop(&called))) {
		struct queue *queue = list_entry(link, struct queue, dirty);

		device->stats.calls++;
		device->env.call(device->env.core.context, queue->index);
	}
}

/* Until @queue is empty, the budget is spent (then it is pending), or the device broke. */
static void serve_some(struct queue *queue, unsigned int *chains)
{
	struct device *device = queue->device;
	uint64_t published = device->core.moved;
	int ret = 1;

	while (queue_has_budget(queue, chains)) {
		ret = queue->take(queue);
		if (ret == -EAGAIN) {
			queue_defer(queue);
			return;
		}
		if (ret < 0 && queue->ring->has_missing)
			state_report_missing(device, queue->ring->missing,
					      "a request cannot be read");
		if (ret < 0)
			state_break(device, "a queue or a request breaks the rules");
		if (ret <= 0 || device->is_broken)
			break;
		if (device->core.moved - published < PUBLISH_BYTES)
			continue;
		queue_publish_all(device);
		published = device->core.moved;
	}
}

/* No kicks for @queue, which is served. */
static void queue_warm(struct queue *queue)
{
	if (list_is_linked(&queue->warm))
		return;
	ring_want_kick(queue->ring, false);
	if (queue->device->is_polled)
		list_add_tail(&queue->device->warm, &queue->warm);
}

/* A kick is expensive, and what was put into the other queue in the same time needs none. */
void queue_take_all(struct queue *first, struct queue *second)
{
	struct queue *queues[] = { first, second };
	unsigned int chains[2] = { 0 };
	bool again;

	do {
		for (int i = 0; i < 2; i++)
			if (queues[i] && queue_is_served(queues[i]))
				queue_warm(queues[i]);
		for (int i = 0; i < 2; i++)
			if (queues[i] && queue_is_served(queues[i]))
				serve_some(queues[i], &chains[i]);
		if (first->device->is_broken || first->device->is_polled)
			return;
		again = false;
		for (int i = 0; i < 2; i++)
			if (queues[i] && queue_is_served(queues[i]))
				again |= ring_want_kick(queues[i]->ring, true);
	} while (again);
}
