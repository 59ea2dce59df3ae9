/* SPDX-License-Identifier: MIT */
/* Features. */
#ifndef STANDIN_VIRTIO_CONFIG_H
#define STANDIN_VIRTIO_CONFIG_H

#include_next <linux/virtio_config.h>
#include <linux/virtio.h>

struct virtqueue;
typedef void vq_callback_t(struct virtqueue *vq);

struct irq_affinity;

/* No test calls it: a fake virtqueue is not looked for. */
int virtio_find_vqs(struct virtio_device *vdev, unsigned int count, struct virtqueue **vqs,
		    vq_callback_t **callbacks, const char *const *names,
		    struct irq_affinity *affinity);

static inline bool virtio_has_feature(const struct virtio_device *vdev, unsigned int bit)
{
	return vdev->features >> bit & 1;
}

#endif
