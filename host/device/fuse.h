/* SPDX-License-Identifier: MIT */
/* A virtio-fs device before HELLO [protocol.md 11.7]; see fuse.c. */
#ifndef HOST_DEVICE_FUSE_H
#define HOST_DEVICE_FUSE_H

#include "device/queue.h"

/* The queue_take of every queue of such a device. */
int fuse_take(struct queue *queue);

#endif
