/* SPDX-License-Identifier: GPL-2.0-only */
/* Buffers of MP_POOL_BYTES between two uses. */
#ifndef KMOD_POOL_H
#define KMOD_POOL_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#define MP_POOL_BYTES 65536U

struct mp_pool {
	spinlock_t lock;		/* guards all below; taken in interrupts */
	struct list_head bufs;
	unsigned int count;
	bool is_dead;
	struct delayed_work trim_work;
};

void mp_pool_init(struct mp_pool *pool);
void mp_pool_kill(struct mp_pool *pool);
void *mp_pool_get(struct mp_pool *pool);
void mp_pool_put(struct mp_pool *pool, void *data);

#endif
