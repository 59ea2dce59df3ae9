// SPDX-License-Identifier: GPL-2.0-only
#include <linux/virtio_config.h>
u64 probe(struct virtio_device *d);
u64 probe(struct virtio_device *d)
{
	VIRTIO_DECLARE_FEATURES(x);

	virtio_get_features(d, x_array);
	return x;
}
