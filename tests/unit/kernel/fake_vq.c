// SPDX-License-Identifier: MIT
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "fake_vq.h"
#include "kernel.h"

static struct fake_vq *fake_of(struct virtqueue *vq)
{
	return container_of(vq, struct fake_vq, vq);
}

void fake_vq_init(struct fake_vq *fake, unsigned int size, bool has_indirect)
{
	memset(fake, 0, sizeof(*fake));
	fake->size = size;
	fake->vdev.features = has_indirect ? 1ULL << VIRTIO_RING_F_INDIRECT_DESC : 0;
	fake->vq.vdev = &fake->vdev;
	fake->vq.num_free = size;
	fake->wants_interrupts = true;
}

int fake_vq_find(const struct fake_vq *fake, const void *token)
{
	unsigned int i;

	for (i = 0; i < fake->added_count; i++)
		if (fake->added[i].token == token)
			return i;
	return -1;
}

static void remove_at(struct fake_added *array, unsigned int *count, unsigned int index)
{
	--*count;
	memmove(array + index, array + index + 1, (*count - index) * sizeof(*array));
}

void fake_vq_answer_lazily(struct fake_vq *fake, unsigned int index, u32 len)
{
	fake->used[fake->used_count] = fake->added[index];
	fake->used_len[fake->used_count++] = len;
	remove_at(fake->added, &fake->added_count, index);
}

void fake_vq_answer(struct fake_vq *fake, unsigned int index, u32 len)
{
	fake_vq_answer_lazily(fake, index, len);
	if (!fake->wants_interrupts)
		return;
	fake->interrupts++;
	if (!fake->interrupt)
		return;
	kernel_irq_enter();
	fake->interrupt(fake);
	kernel_irq_exit();
}

/* --- The driver's side ---------------------------------------------------- */

int virtqueue_add_sgs(struct virtqueue *vq, struct scatterlist *sgs[], unsigned int out,
		      unsigned int in, void *data, gfp_t gfp)
{
	struct fake_vq *fake = fake_of(vq);
	bool has_indirect = virtio_has_feature(vq->vdev, VIRTIO_RING_F_INDIRECT_DESC);
	struct fake_added added = { .token = data, .out = out, .in = in };
	unsigned int i;

	(void)gfp;
	added.descs = has_indirect && out + in > 1 ? 1 : out + in;
	if (fake->add_error)
		return fake->add_error;
	if (fake->is_broken)
		return -EIO;
	if (vq->num_free < added.descs)
		return -ENOSPC;
	for (i = 0; i < out + in && i < ARRAY_SIZE(added.sgs); i++) {
		added.sgs[i] = *sgs[i];
		added.lists[i] = sgs[i];
	}
	vq->num_free -= added.descs;
	fake->added[fake->added_count++] = added;
	return 0;
}

int virtqueue_add_inbuf(struct virtqueue *vq, struct scatterlist *sg, unsigned int count,
			void *data, gfp_t gfp)
{
	(void)count;
	return virtqueue_add_sgs(vq, &sg, 0, 1, data, gfp);
}

void *virtqueue_get_buf(struct virtqueue *vq, unsigned int *len)
{
	struct fake_vq *fake = fake_of(vq);
	struct fake_added taken;

	if (fake->is_broken || !fake->used_count)
		return NULL;
	taken = fake->used[0];
	*len = fake->used_len[0];
	memmove(fake->used_len, fake->used_len + 1,
		(fake->used_count - 1) * sizeof(*fake->used_len));
	remove_at(fake->used, &fake->used_count, 0);
	vq->num_free += taken.descs;
	return taken.token;
}

bool virtqueue_kick_prepare(struct virtqueue *vq)
{
	if (!fake_of(vq)->is_kick_due)
		kernel_kick_due(1);
	fake_of(vq)->is_kick_due = true;
	return true;
}

bool virtqueue_notify(struct virtqueue *vq)
{
	kernel_kick_due(fake_of(vq)->is_kick_due ? -1 : 0);
	fake_of(vq)->is_kick_due = false;
	fake_of(vq)->kicks++;
	return !fake_of(vq)->is_broken;
}

void virtqueue_disable_cb(struct virtqueue *vq)
{
	fake_of(vq)->wants_interrupts = false;
}

bool virtqueue_enable_cb(struct virtqueue *vq)
{
	fake_of(vq)->wants_interrupts = true;
	return !fake_of(vq)->used_count && !fake_of(vq)->is_lying;
}

bool virtqueue_is_broken(struct virtqueue *vq)
{
	return fake_of(vq)->is_broken;
}

unsigned int virtqueue_get_vring_size(struct virtqueue *vq)
{
	return fake_of(vq)->size;
}

void *virtqueue_detach_unused_buf(struct virtqueue *vq)
{
	struct fake_vq *fake = fake_of(vq);

	if (!fake->added_count)
		return NULL;
	vq->num_free += fake->added[--fake->added_count].descs;
	return fake->added[fake->added_count].token;
}
