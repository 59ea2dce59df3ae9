/* SPDX-License-Identifier: MIT */
/* Counters. */
#ifndef STANDIN_ATOMIC_H
#define STANDIN_ATOMIC_H

#include <linux/types.h>

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	long counter;
} atomic_long_t;

static inline int atomic_inc_return(atomic_t *v)
{
	return ++v->counter;
}

static inline void atomic_long_set(atomic_long_t *v, long value)
{
	v->counter = value;
}

static inline long atomic_long_read(const atomic_long_t *v)
{
	return v->counter;
}

static inline void atomic_long_inc(atomic_long_t *v)
{
	v->counter++;
}

static inline void atomic_long_sub(long value, atomic_long_t *v)
{
	v->counter -= value;
}

static inline bool atomic_long_try_cmpxchg(atomic_long_t *v, long *old, long new)
{
	if (v->counter != *old) {
		*old = v->counter;
		return false;
	}
	v->counter = new;
	return true;
}

#endif
