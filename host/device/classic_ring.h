/* SPDX-License-Identifier: MIT */
/* The queues of a classic port; see classic_ring.c. */
#ifndef HOST_DEVICE_CLASSIC_RING_H
#define HOST_DEVICE_CLASSIC_RING_H

#include "device/queue.h"

/* The queue_take of each of the two queues. */
int classic_ring_take_tx(struct queue *queue);
int classic_ring_take_rx(struct queue *queue);

#endif
