/* SPDX-License-Identifier: MIT */
/* Virtqueues: fake_vq.c. */
#ifndef STANDIN_VIRTIO_H
#define STANDIN_VIRTIO_H

#include <linux/scatterlist.h>
#include <linux/types.h>

struct virtio_device;
struct virtio_config_ops {
	u64 (*get_features)(struct virtio_device *vdev);
};

struct virtio_device {
	const struct virtio_config_ops *config;
	u64 features;
	void *priv;
};

struct virtqueue {
	struct virtio_device *vdev;
	unsigned int index;
	unsigned int num_free;
};

int virtqueue_add_sgs(struct virtqueue *vq, struct scatterlist *sgs[], unsigned int out,
		      unsigned int in, void *data, gfp_t gfp);
int virtqueue_add_inbuf(struct virtqueue *vq, struct scatterlist *sg, unsigned int count,
			void *data, gfp_t gfp);
void *virtqueue_get_buf(struct virtqueue *vq, unsigned int *len);
bool virtqueue_kick_prepare(struct virtqueue *vq);
bool virtqueue_notify(struct virtqueue *vq);
void virtqueue_disable_cb(struct virtqueue *vq);
bool virtqueue_enable_cb(struct virtqueue *vq);
bool virtqueue_is_broken(struct virtqueue *vq);
unsigned int virtqueue_get_vring_size(struct virtqueue *vq);
void *virtqueue_detach_unused_buf(struct virtqueue *vq);

#endif
