// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a port's requests between two uses, so that a channel at work allocates none.
 *
 * A kernel that clears memory at allocation, as distributions' do, would write each large
 * chunk twice besides. What is here stays for up to a second: of a busy port all is freed once
 * in a second, which costs nothing beside its use. It is outside the bounds of account.c, and at
 * most 5 MiB of a port. What a chunk or a batch held is never shown to any process; a fetch is
 * cleared before another channel has it (fetch.c).
 */
#include <linux/slab.h>

#include "pool.h"
#include "work.h"

#define MP_POOL_KEPT	(512U << 10)	/* bytes of each kind */

/* In the order of the kinds. */
const u32 mp_pool_bytes[MP_POOL_KINDS] = {
	MP_POOL_SMALL_BYTES, MP_POOL_PAGE_BYTES, 8192, MP_POOL_LARGE_BYTES,
	MP_POOL_PAGE_BYTES, 8192, 16384, 32768, MP_POOL_LARGE_BYTES,
	MP_POOL_BATCH_BYTES,
};

static void pool_free_all(struct mp_pool *pool)
{
	struct list_head *buf, *next;
	unsigned int kind;
	LIST_HEAD(over);

	spin_lock_irq(&pool->lock);
	pool->is_trim_due = false;
	for (kind = 0; kind < MP_POOL_KINDS; kind++) {
		list_splice_init(&pool->kinds[kind].bufs, &over);
		pool->kinds[kind].count = 0;
	}
	spin_unlock_irq(&pool->lock);
	list_for_each_safe(buf, next, &over)
		kfree(buf);
}

static void pool_trim(struct work_struct *work)
{
	pool_free_all(container_of(to_delayed_work(work), struct mp_pool, trim_work));
}

void mp_pool_init(struct mp_pool *pool)
{
	unsigned int kind;

	spin_lock_init(&pool->lock);
	for (kind = 0; kind < MP_POOL_KINDS; kind++)
		INIT_LIST_HEAD(&pool->kinds[kind].bufs);
	INIT_DELAYED_WORK(&pool->trim_work, pool_trim);
}

/* The port goes: nothing is kept from here on. */
void mp_pool_kill(struct mp_pool *pool)
{
	spin_lock_irq(&pool->lock);
	pool->is_dead = true;
	spin_unlock_irq(&pool->lock);
	cancel_delayed_work_sync(&pool->trim_work);
	pool_free_all(pool);
}

/* A buffer of this kind, with what it last held, or NULL. @gfp: for a new one. */
void *mp_pool_get(struct mp_pool *pool, enum mp_pool_kind kind, gfp_t gfp)
{
	struct list_head *buf = NULL;
	unsigned long flags;

	spin_lock_irqsave(&pool->lock, flags);
	if (pool->kinds[kind].count) {
		pool->kinds[kind].count--;
		buf = pool->kinds[kind].bufs.next;
		list_del(buf);
	}
	spin_unlock_irqrestore(&pool->lock, flags);
	return buf ? buf : kmalloc(mp_pool_bytes[kind], gfp);
}

/* A kernel that looks for uses behind the end is to see the end; bytes alone have no users. */
static bool is_kept(const struct mp_pool *pool, enum mp_pool_kind kind)
{
	return !pool->is_dead && pool->kinds[kind].count < MP_POOL_KEPT / mp_pool_bytes[kind] &&
	       (kind == MP_POOL_LARGE || !IS_ENABLED(CONFIG_KASAN));
}

/* Also in interrupts. */
void mp_pool_put(struct mp_pool *pool, enum mp_pool_kind kind, void *data)
{
	struct list_head *buf = data;
	unsigned long flags;

	spin_lock_irqsave(&pool->lock, flags);
	if (is_kept(pool, kind)) {
		list_add(buf, &pool->kinds[kind].bufs);
		pool->kinds[kind].count++;
		buf = NULL;
		if (!pool->is_trim_due)
			queue_delayed_work(mp_workqueue, &pool->trim_work, HZ);
		pool->is_trim_due = true;
	}
	spin_unlock_irqrestore(&pool->lock, flags);
	kfree(buf);
}
