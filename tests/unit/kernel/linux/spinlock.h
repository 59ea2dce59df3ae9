/* SPDX-License-Identifier: MIT */
/* Spinlocks. */
#ifndef STANDIN_SPINLOCK_H
#define STANDIN_SPINLOCK_H

#include <linux/lockdep.h>
#include <linux/types.h>

/* One thread: a lock that is taken twice, or let go by one who has not got it, fails the test. */
typedef struct {
	bool is_locked;
} spinlock_t;

void spin_lock_irq(spinlock_t *lock);
void spin_unlock_irq(spinlock_t *lock);
unsigned long standin_lock_irqsave(spinlock_t *lock);
void spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);

#define spin_lock_init(lock)		((lock)->is_locked = false)
#define spin_lock_irqsave(lock, flags)	((flags) = standin_lock_irqsave(lock))

#endif
