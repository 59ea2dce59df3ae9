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
	VIRTIO_DECLARE_FEATURES(offered);

	virtio_get_features(vdev, offered_array);
	return offered;
#else
	return vdev->config->get_features(vdev);
#endif
}

/* One virtqueue as its driver wants it; no callback: never interrupts. */
struct mp_vq_request {
	const char *name;
	void (*callback)(struct virtqueue *vq);
};

static inline int mp_find_vqs(struct virtio_device *vdev, unsigned int count,
			      struct virtqueue **vqs, const struct mp_vq_request *requests)
{
	unsigned int i;
	int ret;
#ifdef HAVE_VIRTQUEUE_INFO
	struct virtqueue_info *info = kcalloc(count, sizeof(*info), GFP_KERNEL);

	if (!info)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		info[i].name = requests[i].name;
		info[i].callback = requests[i].callback;
	}
	ret = virtio_find_vqs(vdev, count, vqs, info, NULL);
	kfree(info);
#else
	vq_callback_t **callbacks = kcalloc(count, sizeof(*callbacks), GFP_KERNEL);
	const char **names = kcalloc(count, sizeof(*names), GFP_KERNEL);

	ret = -ENOMEM;
	for (i = 0; callbacks && names && i < count; i++) {
		names[i] = requests[i].name;
		callbacks[i] = requests[i].callback;
	}
	if (callbacks && names)
		ret = virtio_find_vqs(vdev, count, vqs, callbacks, names, NULL);
	kfree(callbacks);
	kfree(names);
#endif
	return ret;
}

#endif
