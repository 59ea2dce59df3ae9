// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large buffers of a port between two uses.
 *
 * A kernel that clears memory at allocation, as distributions' do, writes each large
 * chunk twice. So a few are kept, for up to a second: of a busy port all are freed once
 * in a second, which costs nothing beside their use. What they held is never shown to any process,
 * as a chunk only leaves the guest.
 */
#include <linux/slab.h>

#include "pool.h"
#include "work.h"

#define MP_POOL_MAX	8

static void pool_free_all(struct mp_pool *pool)
{
	struct list_head *buf, *next;
	LIST_HEAD(over);

	spin_lock_irq(&pool->lock);
	list_splice_init(&pool->bufs, &over);
	pool->count = 0;
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
	spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->bufs);
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

/* MP_POOL_BYTES, of any content, or NULL. */
void *mp_pool_get(struct mp_pool *pool)
{
	struct list_head *buf = NULL;

	spin_lock_irq(&pool->lock);
	if (pool->count) {
		pool->count--;
		buf = pool->bufs.next;
		list_del(buf);
	}
	spin_unlock_irq(&pool->lock);
	return buf ? buf : kmalloc(MP_POOL_BYTES, GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
				   __GFP_NORETRY);
}

/* Also in interrupts. */
void mp_pool_put(struct mp_pool *pool, void *data)
{
	struct list_head *buf = data;
	unsigned long flags;

	spin_lock_irqsave(&pool->lock, flags);
	if (pool->count < MP_POOL_MAX && !pool->is_dead) {
		list_add(buf, &pool->bufs);
		if (!pool->count++)
			queue_delayed_work(mp_workqueue, &pool->trim_work, HZ);
		buf = NULL;
	}
	spin_unlock_irqrestore(&pool->lock, flags);
	kfree(buf);
}
