/* SPDX-License-Identifier: MIT */
/* The control queues [protocol.md 3]; see control.c. */
#ifndef HOST_DEVICE_CONTROL_H
#define HOST_DEVICE_CONTROL_H

#include "device/queue.h"

/* The queue_take of the control queues: one message. */
int control_take(struct queue *queue);
/* Deals with the message in @queue->scratch. Returns 1 or -EPROTO. */
int control_receive(struct queue *queue);
/* Is there a message for the driver? */
bool control_is_due(const struct device *device);
/* Sends the message that is due in @chain. Returns 1, -EAGAIN (none is) or -EPROTO. */
int control_send(struct queue *queue, const struct ring_chain *chain);
/* Fills @hello with what this device has [protocol.md 3.1]. */
void control_get_hello(const struct device *device, struct mp_hello *hello);

/* --- fuse.c: a virtio-fs device before HELLO [protocol.md 11.7] ----------- */

/* The queue_take of every queue of such a device. */
int fuse_take(struct queue *queue);

#endif
