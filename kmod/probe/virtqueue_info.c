// SPDX-License-Identifier: GPL-2.0-only
#include <linux/virtio_config.h>
int probe(struct virtio_device *d, struct virtqueue **q);
int probe(struct virtio_device *d, struct virtqueue **q)
{
	struct virtqueue_info info[1] = { { .name = "x" } };

	return virtio_find_vqs(d, 1, q, info, NULL);
}
