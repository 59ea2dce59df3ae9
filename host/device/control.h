/* SPDX-License-Identifier: MIT */
/* The control queues [protocol.md 3]; see control.c. */
#ifndef HOST_DEVICE_CONTROL_H
#define HOST_DEVICE_CONTROL_H

#include "device/queue.h"

/* The queue_handle of the control transmit queue: deals with a message. */
int control_receive(struct queue *queue, const struct ring_chain *chain);
/* Is there a message for the driver? */
bool control_is_due(const struct device *device);
/* The queue_handle of the control receive queue: sends the message that is due, if one is. */
int control_send(struct queue *queue, const struct ring_chain *chain);
/* Fills @hello with what this device has [protocol.md 3.1]. */
void control_get_hello(const struct device *device, struct mp_hello *hello);

/* --- fuse.c: a virtio-fs device before HELLO [protocol.md 11.7] ----------- */

/* Is @chain of @queue a FUSE request, or room for a message? */
bool fuse_is_request(const struct queue *queue, const struct ring_chain *chain);
/*
 * Gives @chain, a FUSE request, back with an answer, if it has room for one: FORGET has none.
 * Returns 1 or -EPROTO: the chain is not in guest memory.
 */
int fuse_answer(struct queue *queue, const struct ring_chain *chain);

#endif
