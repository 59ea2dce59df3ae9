/* SPDX-License-Identifier: MIT */
/* Tables. */
#ifndef STANDIN_XARRAY_H
#define STANDIN_XARRAY_H

#include <linux/errno.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#define XARRAY_SLOTS	64U
#define XA_PRESENT	0

struct xa_limit {
	u32 min, max;
};

struct xarray {
	spinlock_t xa_lock;
	void *slots[XARRAY_SLOTS];
};

#define XA_LIMIT(low, high)		((struct xa_limit){ low, high })
#define xa_lock_irq(xa)			spin_lock_irq(&(xa)->xa_lock)
#define xa_unlock_irq(xa)		spin_unlock_irq(&(xa)->xa_lock)
#define xa_lock_irqsave(xa, flags)	spin_lock_irqsave(&(xa)->xa_lock, flags)
#define xa_unlock_irqrestore(xa, flags)	spin_unlock_irqrestore(&(xa)->xa_lock, flags)

int xa_alloc_cyclic_irq(struct xarray *xa, u32 *index, void *entry, struct xa_limit limit,
			u32 *next, gfp_t gfp);
void *xa_find(struct xarray *xa, unsigned long *index, unsigned long max, int filter);

static inline void *xa_load(struct xarray *xa, unsigned long index)
{
	return index < XARRAY_SLOTS ? xa->slots[index] : NULL;
}

static inline void __xa_erase(struct xarray *xa, unsigned long index)
{
	xa->slots[index] = NULL;
}

#endif
