/* SPDX-License-Identifier: MIT */
/*
 * A virtqueue and the device behind it.
 *
 * The driver's side is <linux/virtio.h>. On the device's side the test answers what was added, in
 * any order. A fake gives an interrupt where the real one would: to an answer that comes
 * while the driver has asked for interrupts.
 */
#ifndef TESTS_UNIT_KERNEL_FAKE_VQ_H
#define TESTS_UNIT_KERNEL_FAKE_VQ_H

#include <linux/virtio.h>

#define FAKE_VQ_MAX 256

struct fake_added {
	void *token;
	unsigned int descs;
	struct scatterlist sgs[4];	/* the first piece of each */
	const struct scatterlist *lists[4]; /* payloads outlive their addition */
	unsigned int out, in;
};

struct fake_vq {
	struct virtqueue vq;
	struct virtio_device vdev;
	unsigned int size;
	struct fake_added added[FAKE_VQ_MAX];	/* with the device, in order */
	unsigned int added_count;
	struct fake_added used[FAKE_VQ_MAX];	/* answered, and not taken yet */
	u32 used_len[FAKE_VQ_MAX];
	unsigned int used_count;
	bool wants_interrupts;			/* of the driver */
	bool is_broken;
	bool is_lying;				/* answers are said to be there, and are not */
	int add_error;				/* what additions fail with, or 0 */
	unsigned int kicks, interrupts;
	bool is_kick_due;			/* the driver has prepared one, and owes it */
	void (*interrupt)(struct fake_vq *vq);	/* the driver's callback, or NULL */
	void *owner;				/* for it */
};

/* @has_indirect: a chain needs one descriptor. */
void fake_vq_init(struct fake_vq *fake, unsigned int size, bool has_indirect);

/* The place of @token among what the device has, or -1. */
int fake_vq_find(const struct fake_vq *fake, const void *token);

/* The device answers the chain at @index, of which it wrote @len bytes. */
void fake_vq_answer(struct fake_vq *fake, unsigned int index, u32 len);
/* Likewise, and it makes no interrupt whatever the driver asked for [protocol.md 6.8]. */
void fake_vq_answer_lazily(struct fake_vq *fake, unsigned int index, u32 len);

#endif
