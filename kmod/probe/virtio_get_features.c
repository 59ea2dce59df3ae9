// SPDX-License-Identifier: GPL-2.0-only
#include <linux/virtio_config.h>
u64 probe(struct virtio_device *d);
u64 probe(struct virtio_device *d)
{
	struct { VIRTIO_DECLARE_FEATURES(x); } f;

	virtio_get_features(d, f.x_array);
	return f.x;
}
