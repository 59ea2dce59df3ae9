/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory of a port's requests between two uses (pool.c). */
#ifndef KMOD_POOL_H
#define KMOD_POOL_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "dma.h"

/* What a buffer is for. One never becomes another: what it held must not be seen elsewhere. */
enum mp_pool_kind {
	MP_POOL_SMALL,		/* a chunk with some bytes */
	MP_POOL_PAGE,		/* a chunk with more */
	MP_POOL_BYTES,		/* a chunk's bytes, apart */
	MP_POOL_LARGE,		/* the same, of one that is filled by many writes */
	MP_POOL_FETCH,		/* a fetch with its header: each kind has twice the bytes */
	MP_POOL_FETCH_LARGE = MP_POOL_FETCH + 4,
	MP_POOL_BATCH,
	MP_POOL_KINDS,
};

#define MP_POOL_SMALL_BYTES	(MP_DMA_ALIGN > 64 ? 1024U : 512U)
#define MP_POOL_PAGE_BYTES	4096U
#define MP_POOL_LARGE_BYTES	65536U
#define MP_POOL_BATCH_BYTES	16384U

extern const u32 mp_pool_bytes[MP_POOL_KINDS];

struct mp_pool {
	spinlock_t lock;		/* guards all below; taken in interrupts */
	struct {
		struct list_head bufs;
		unsigned int count;
	} kinds[MP_POOL_KINDS];
	bool is_dead, is_trim_due;
	struct delayed_work trim_work;
};

void mp_pool_init(struct mp_pool *pool);
void mp_pool_kill(struct mp_pool *pool);
void *mp_pool_get(struct mp_pool *pool, enum mp_pool_kind kind, gfp_t gfp);
void mp_pool_put(struct mp_pool *pool, enum mp_pool_kind kind, void *data);

#endif
