/* SPDX-License-Identifier: MIT */
/* Memory. */
#ifndef STANDIN_SLAB_H
#define STANDIN_SLAB_H

#include <stdlib.h>
#include <string.h>

#include <linux/types.h>

#define GFP_KERNEL		0U
#define GFP_ATOMIC		1U
#define GFP_KERNEL_ACCOUNT	2U

/* Aligned to a cache line, as large sizes are in the kernel. */
static inline void *standin_zalloc(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	return memory ? memset(memory, 0, size) : NULL;
}

#define kzalloc(size, gfp)	standin_zalloc(size)
#define kcalloc(n, size, gfp)	standin_zalloc((n) * (size))
#define kmalloc(size, gfp)	standin_zalloc(size)
#define kfree(ptr)		free((void *)(ptr))

#endif
