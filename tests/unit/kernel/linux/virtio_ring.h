/* SPDX-License-Identifier: MIT */
/* As in user space. */
#ifndef STANDIN_VIRTIO_RING_H
#define STANDIN_VIRTIO_RING_H

#include_next <linux/virtio_ring.h>

#endif
