/* SPDX-License-Identifier: MIT */
/* Mutexes. */
#ifndef STANDIN_MUTEX_H
#define STANDIN_MUTEX_H

#include <linux/lockdep.h>
#include <linux/types.h>

/* One thread: who would have to wait for a mutex fails the test. */
struct mutex {
	bool is_locked;
};

void mutex_lock(struct mutex *mutex);
bool mutex_trylock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

static inline void mutex_init(struct mutex *mutex)
{
	mutex->is_locked = false;
}

static inline bool mutex_is_locked(const struct mutex *mutex)
{
	return mutex->is_locked;
}

static inline int mutex_lock_killable(struct mutex *mutex)
{
	mutex_lock(mutex);
	return 0;
}

static inline int mutex_lock_interruptible(struct mutex *mutex)
{
	mutex_lock(mutex);
	return 0;
}

#endif
