/* SPDX-License-Identifier: MIT */
/* Mutexes. */
#ifndef STANDIN_MUTEX_H
#define STANDIN_MUTEX_H

#include <linux/lockdep.h>
#include <linux/types.h>

struct mutex {
	bool is_locked;
};

static inline void mutex_init(struct mutex *mutex)
{
	mutex->is_locked = false;
}

static inline void mutex_lock(struct mutex *mutex)
{
	WARN_ON_ONCE(mutex->is_locked);
	mutex->is_locked = true;
}

static inline int mutex_lock_killable(struct mutex *mutex)
{
	mutex_lock(mutex);
	return 0;
}

static inline void mutex_unlock(struct mutex *mutex)
{
	WARN_ON_ONCE(!mutex->is_locked);
	mutex->is_locked = false;
}

#endif
