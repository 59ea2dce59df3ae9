/* SPDX-License-Identifier: GPL-2.0-only */
/* The virtio-fs binding: which device is ours. */
#ifndef KMOD_FS_H
#define KMOD_FS_H

#include <linux/types.h>
#include <linux/virtio.h>

bool mp_fs_is(const struct virtio_device *vdev);
bool mp_fs_is_candidate(struct virtio_device *vdev);
unsigned int mp_fs_ports(struct virtio_device *vdev);
int mp_fs_ask(struct virtqueue *vq, void **memory);

#endif
