/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel differences, here and in compat_timer.h. Each HAVE_ comes from a compile probe
 * in Kbuild (probe/), never from a version number: stable kernels backport interfaces.
 */
#ifndef KMOD_COMPAT_H
#define KMOD_COMPAT_H

#include <linux/device.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/virtio_config.h>

static inline struct class *mp_class_create(const char *name)
{
#ifdef HAVE_CLASS_CREATE_ONE_ARGUMENT
	return class_create(name);
#else
	return class_create(THIS_MODULE, name);
#endif
}

/* Where the current segment of a user-backed iterator goes on. */
static inline void __user *mp_iter_address(const struct iov_iter *iter)
{
#ifdef HAVE_ITER_IOV_ADDR
	return iter_is_ubuf(iter) ? iter->ubuf + iter->iov_offset : iter_iov_addr(iter);
#else
	return (iter_is_ubuf(iter) ? iter->ubuf : iter->iov->iov_base) + iter->iov_offset;
#endif
}

/* What the device offers, whatever its driver took of it: the first 64 feature bits. */
static inline u64 mp_offered_features(struct virtio_device *vdev)
{
#ifdef HAVE_VIRTIO_GET_FEATURES
	struct { VIRTIO_DECLARE_FEATURES(bits); } offered;

	virtio_get_features(vdev, offered.bits_array);
	return offered.bits;
#else
	return vdev->config->get_features(vdev);
#endif
}

#ifndef HAVE_VIRTQUEUE_INFO
/* One virtqueue as its driver wants it; no callback: never interrupts. */
struct virtqueue_info {
	const char *name;
	vq_callback_t *callback;
};
#endif

static inline int mp_find_vqs(struct virtio_device *vdev, unsigned int count,
			      struct virtqueue **vqs, struct virtqueue_info *info)
{
#ifdef HAVE_VIRTQUEUE_INFO
	return virtio_find_vqs(vdev, count, vqs, info, NULL);
#else
	vq_callback_t **callbacks = kcalloc(count, sizeof(*callbacks), GFP_KERNEL);
	const char **names = kcalloc(count, sizeof(*names), GFP_KERNEL);
	int ret = -ENOMEM;
	unsigned int i;

	for (i = 0; callbacks && names && i < count; i++) {
		names[i] = info[i].name;
		callbacks[i] = info[i].callback;
	}
	if (callbacks && names)
		ret = virtio_find_vqs(vdev, count, vqs, callbacks, names, NULL);
	kfree(callbacks);
	kfree(names);
	return ret;
#endif
}

#endif
