/* SPDX-License-Identifier: MIT */
/* A virtqueue: chains are taken fairly, and become visible together; see queue.c. */
#ifndef HOST_DEVICE_QUEUE_H
#define HOST_DEVICE_QUEUE_H

#include "device/map.h"
#include "device/state.h"

enum queue_kind { QUEUE_RX, QUEUE_TX, QUEUE_CONTROL_RX, QUEUE_CONTROL_TX };

struct queue {
	struct device *device;
	struct port *port;		/* NULL: control, or no such port */
	struct ring *ring;		/* NULL: does not run */
	struct scratch *scratch;	/* the device's, of this direction */
	unsigned int index;
	enum queue_kind kind;
	struct work work;		/* serves it; linked: pending, so that it wants no kicks */
	struct timer late;		/* a call was put off until it ends */
	struct list dirty;		/* in device->dirty: used entries to publish */
	struct list warm;		/* in device->warm: served, and wants no kicks yet */
};

/* May chains be taken now, and are not left for the work list? */
static inline bool queue_is_served(const struct queue *queue)
{
	return queue->ring && !list_is_linked(&queue->work.link);
}

/*
 * Deals with a chain that was taken. Returns 1, -EPROTO (the driver broke a rule) or -EAGAIN: not
 * now. The queue is then pending, or what the function waits for serves it again.
 */
typedef int queue_handle(struct queue *queue, const struct ring_chain *chain);

/* @run serves the queue. */
void queue_init(struct queue *queue, struct device *device, unsigned int index,
		void (*run)(struct work *work));
/* @ring serves from now on. */
void queue_start(struct queue *queue, struct ring *ring);
void queue_stop(struct queue *queue);
/* Serves @queue within bounds, unless it is pending; what is left becomes pending. */
void queue_serve(struct queue *queue);
void queue_defer(struct queue *queue);
/* How many chains are visible in @queue and not taken; 0 of a ring that breaks the rules. */
unsigned int queue_waiting(struct queue *queue);
/*
 * Takes chains of @first, and of @second (or NULL) along with it, within bounds. An empty queue
 * wants kicks when this returns, unless it is warm; one that is pending, or waits, does not.
 */
void queue_take_all(struct queue *first, struct queue *second, queue_handle *handle);
/* One chain. Returns what @handle does, or 0: there is none. */
int queue_take(struct queue *queue, queue_handle *handle);
/*
 * Has this pass, a call of queue_take_all(), moved enough, or lasted long enough? To be asked for
 * each chain.
 */
bool queue_is_spent(const struct queue *queue);
/* @queue has a ring: who holds a chain of it asks. */
void queue_give(struct queue *queue, uint16_t head, uint32_t written);
/* The same, for what no process waits for: the call is put off [protocol.md 7.8]. */
void queue_give_late(struct queue *queue, uint16_t head, uint32_t written);
/* Makes what was given visible and calls where the driver wants it. */
void queue_publish_all(struct device *device);

/*
 * Says in the log which address of @part is not in guest memory, and @cost: what the guest loses by
 * it. Returns -EPROTO, for functions that end so.
 */
int queue_report_missing(const struct queue *queue, struct segments part, const char *cost);

#endif
