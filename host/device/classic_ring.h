/* SPDX-License-Identifier: MIT */
/* The queues of a classic port; see classic_ring.c. */
#ifndef HOST_DEVICE_CLASSIC_RING_H
#define HOST_DEVICE_CLASSIC_RING_H

#include "device/queue.h"

void classic_ring_serve(struct queue *queue);

#endif
