// SPDX-License-Identifier: MIT
/*
 * Serving rings: fairly, and with few notifications.
 *
 * A queue that is served takes what is visible, a ring full of chains, PASS_BYTES
 * or the time of a turn (channel/core.c) at most; what is left makes it pending: it is in the
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
#define LATE_MS		10		/* that a call may be put off [protocol.md 7.8] */

static enum queue_kind kind_of(unsigned int index)
{
	if (index == MP_QUEUE_CONTROL_RX)
		return QUEUE_CONTROL_RX;
	if (index == MP_QUEUE_CONTROL_TX)
		return QUEUE_CONTROL_TX;
	return index & 1 ? QUEUE_TX : QUEUE_RX;
}

void queue_init(struct queue *queue, struct device *device, unsigned int index,
		void (*run)(struct work *work))
{
	queue->device = device;
	queue->index = index;
	queue->kind = kind_of(index);
	queue->scratch = index & 1 ? &device->tx_scratch : &device->rx_scratch;
	work_init(&queue->work, run);
	list_init(&queue->dirty);
	list_init(&queue->warm);
}

void queue_start(struct queue *queue, struct ring *ring)
{
	queue->ring = ring;
	/* The driver may have filled it, and kicked, before. */
	queue_defer(queue);
}

void queue_stop(struct queue *queue)
{
	core_stop_timer(&queue->device->core, &queue->late);
	list_del(&queue->work.link);
	list_del(&queue->dirty);
	list_del(&queue->warm);
	queue->ring = NULL;
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

unsigned int queue_waiting(struct queue *queue)
{
	int count = queue->ring ? ring_waiting(queue->ring) : 0;

	return count > 0 ? count : 0;
}

bool queue_is_spent(const struct queue *queue)
{
	struct device *device = queue->device;

	return core_moved(&device->core) - device->moved_before >= PASS_BYTES ||
	       core_turn_is_over(&device->core);
}

/* May @queue go on in this pass? Counts one chain; defers the queue when not. */
static bool has_budget(struct queue *queue, unsigned int *chains)
{
	if (++*chains <= queue->ring->size && !queue_is_spent(queue))
		return true;
	queue_defer(queue);
	return false;
}

/* @queue has something to publish. */
static void add_dirty(struct queue *queue)
{
	if (list_is_linked(&queue->dirty))
		return;
	/*
	 * Receive queues are visible before transmit queues, and all before the first call: an
	 * answer on a transmit queue may say that others lie in the receive queue
	 * [protocol.md 6.8].
	 */
	if (queue->kind == QUEUE_RX)
		list_add_head(&queue->device->dirty, &queue->dirty);
	else
		list_add_tail(&queue->device->dirty, &queue->dirty);
}

void queue_give(struct queue *queue, uint16_t head, uint32_t written)
{
	ring_give(queue->ring, head, written);
	add_dirty(queue);
}

static void is_late(struct timer *timer)
{
	struct queue *queue = container_of(timer, struct queue, late);

	ring_call_late(queue->ring);
	add_dirty(queue);
}

void queue_give_late(struct queue *queue, uint16_t head, uint32_t written)
{
	ring_be_quiet(queue->ring);
	queue_give(queue, head, written);
	/*
	 * From the first that is put off; for those behind it the call comes earlier. A stop of the
	 * ring needs none: it gives the other event buffers back, and calls for them.
	 */
	if (!heap_has(&queue->late.due))
		core_start_timer(&queue->device->core, &queue->late, LATE_MS, is_late);
}

void queue_publish_all(struct device *device)
{
	struct list called, *link;

	list_init(&called);
	while ((link = list_pop(&device->dirty)))
		if (ring_publish(list_entry(link, struct queue, dirty)->ring))
			list_add_tail(&called, link);
	while ((link = list_pop(&called)))
		device->env.call(device->env.core.context,
				 list_entry(link, struct queue, dirty)->index);
}

static void report_missing(struct device *device, gpa_t addr, const char *cost)
{
	log_limited(&device->missing, LOG_LEVEL_WARNING,
		    "%s: guest memory at 0x%llx is not shared with the daemon: %s; "
		    "give each memory backend of the VMM share=on",
		    device->config.core.guest, (unsigned long long)addr.value, cost);
}

int queue_report_missing(const struct queue *queue, struct segments part, const char *cost)
{
	for (unsigned int i = 0; i < part.count; i++) {
		const struct ring_segment *segment = &part.first[i];
		uint64_t reach = mem_reach(queue->ring->mem, segment->addr, segment->len);

		if (reach == segment->len)
			continue;
		report_missing(queue->device, gpa(segment->addr.value + reach), cost);
		break;
	}
	return -EPROTO;
}

int queue_take(struct queue *queue, queue_handle *handle)
{
	struct ring_chain *chain = &queue->scratch->chain;
	int ret = ring_take(queue->ring, chain);

	if (ret > 0)
		ret = handle(queue, chain);
	if (ret == -EAGAIN)
		ring_untake(queue->ring, chain->head);
	return ret;
}

/* Until @queue is empty (true), or is to go on later, or the device broke. */
static bool take_some(struct queue *queue, queue_handle *handle, unsigned int *chains)
{
	struct device *device = queue->device;
	uint64_t published = core_moved(&device->core);

	while (has_budget(queue, chains)) {
		int ret = queue_take(queue, handle);

		if (ret == -EPROTO && queue->ring->has_missing)
			report_missing(device, queue->ring->missing, "a request cannot be read");
		if (ret == -EPROTO)
			state_break(device, "a queue or a request breaks the rules");
		if (ret <= 0 || device->is_broken)
			return !ret;
		if (core_moved(&device->core) - published < PUBLISH_BYTES)
			continue;
		queue_publish_all(device);
		published = core_moved(&device->core);
	}
	return false;
}

/* No kicks for @queue, which is served. */
static void stop_kicks(struct queue *queue, bool stays_warm)
{
	if (list_is_linked(&queue->warm))
		return;
	ring_want_kick(queue->ring, false);
	if (stays_warm)
		list_add_tail(&queue->device->warm, &queue->warm);
}

/* A kick is expensive, and what was put into the other queue in the same time needs none. */
void queue_take_all(struct queue *first, struct queue *second, queue_handle *handle)
{
	struct device *device = first->device;
	struct queue *queues[] = { first, second };
	unsigned int chains[2] = { 0 };
	bool is_empty[2] = { false }, again;
	/* Else the queue may wait with chains in it, and to look at those leads to nothing. */
	bool stays_warm = device->config.is_polled && device->kept->life == LIFE_MULTI &&
			  first->port;

	device->moved_before = core_moved(&device->core);
	do {
		for (int i = 0; i < 2; i++)
			if (queues[i] && queue_is_served(queues[i]))
				stop_kicks(queues[i], stays_warm);
		for (int i = 0; i < 2; i++)
			if (queues[i] && queue_is_served(queues[i]))
				is_empty[i] = take_some(queues[i], handle, &chains[i]);
		if (device->is_broken || stays_warm)
			return;
		again = false;
		for (int i = 0; i < 2; i++)
			if (is_empty[i] && queue_is_served(queues[i]))
				again |= ring_want_kick(queues[i]->ring, true);
	} while (again);
}
