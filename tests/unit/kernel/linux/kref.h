/* SPDX-License-Identifier: MIT */
/* Counted references. */
#ifndef STANDIN_KREF_H
#define STANDIN_KREF_H

#include <linux/bug.h>
#include <linux/types.h>

struct kref {
	unsigned int count;
};

static inline void kref_init(struct kref *ref)
{
	ref->count = 1;
}

static inline void kref_get(struct kref *ref)
{
	WARN_ON_ONCE(!ref->count);
	ref->count++;
}

static inline int kref_put(struct kref *ref, void (*release)(struct kref *ref))
{
	WARN_ON_ONCE(!ref->count);
	if (--ref->count)
		return 0;
	release(ref);
	return 1;
}

#endif
