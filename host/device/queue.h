/* SPDX-License-Identifier: MIT */
/* A virtqueue: chains are taken fairly, and become visible together; see queue.c. */
#ifndef HOST_DEVICE_QUEUE_H
#define HOST_DEVICE_QUEUE_H

#include "device/state.h"

enum queue_kind { QUEUE_RX, QUEUE_TX, QUEUE_CONTROL_RX, QUEUE_CONTROL_TX };

struct queue {
	struct device *device;
	struct port *port;		/* NULL: control, or no such port */
	struct ring *ring;		/* NULL: does not run */
	struct scratch *scratch;	/* the device's, of this direction */
	/*
	 * Takes one chain and deals with it. Returns 1, 0 (none), -EAGAIN (the queue's turn is
	 * over, and the chain comes again) or -EPROTO.
	 */
	int (*take)(struct queue *queue);
	unsigned int index;
	enum queue_kind kind;
	struct work work;		/* serves it; linked: pending, so that it wants no kicks */
	struct list dirty;		/* in device->dirty: used entries to publish */
	struct list warm;		/* in device->warm: served, and wants no kicks yet */
};

/* May chains be taken now, and are not left for the work list? */
static inline bool queue_is_served(const struct queue *queue)
{
	return queue->ring && !list_is_linked(&queue->work.link);
}

/* @run serves the queue, @take one chain of it. */
void queue_init(struct queue *queue, struct device *device, unsigned int index,
		enum queue_kind kind, void (*run)(struct work *work),
		int (*take)(struct queue *queue));
/* Serves @queue within bounds, unless it is pending; what is left becomes pending. */
void queue_serve(struct queue *queue);
void queue_defer(struct queue *queue);
/*
 * Takes chains of @first, and of @second (or NULL) along with it, within bounds. What is pending
 * when this returns, or warm, wants no kicks.
 */
void queue_take_all(struct queue *first, struct queue *second);
/* May @queue go on in this pass? Counts one chain; defers it when not. */
bool queue_has_budget(struct queue *queue, unsigned int *chains);
/* Has this pass moved enough, or lasted long enough? To be asked for each chain. */
bool queue_is_spent(const struct queue *queue);
void queue_give(struct queue *queue, uint16_t head, uint32_t written);
/* The next chain that is given back needs no call [protocol.md 6.8]. */
void queue_give_quietly(struct queue *queue);
/* Makes what was given visible and calls where the driver wants it. */
void queue_publish_all(struct device *device);

#endif
