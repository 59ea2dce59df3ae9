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
#define GFP_NOWAIT		4U
#define __GFP_ACCOUNT		8U
#define __GFP_NOWARN		16U
#define __GFP_NORETRY		32U
#define __GFP_NOFAIL		64U
#define __GFP_ZERO		128U
#define SLAB_ACCOUNT		0U

/* Aligned to a cache line, as large sizes are in the kernel; or NULL, as the test says. */
void *standin_alloc(size_t size, bool is_zeroed);
/* What is freed is overwritten first. */
void standin_free(void *memory);
char *kstrndup(const char *text, size_t len, gfp_t gfp);

#define kzalloc(size, gfp)	standin_alloc(size, true)
#define kcalloc(n, size, gfp)	standin_alloc((n) * (size), true)
#define kmalloc(size, gfp)	standin_alloc(size, (gfp) & __GFP_ZERO)
#define kmalloc_array(n, size, gfp) standin_alloc((n) * (size), false)
#define kfree(ptr)		standin_free((void *)(ptr))

struct kmem_cache {
	size_t size;
};

static inline struct kmem_cache *standin_cache(size_t size)
{
	struct kmem_cache *cache = malloc(sizeof(*cache));

	cache->size = size;
	return cache;
}

#define KMEM_CACHE(type, flags)		standin_cache(sizeof(struct type))
#define kmem_cache_destroy(cache)	free(cache)
#define kmem_cache_zalloc(cache, gfp)	standin_alloc((cache)->size, true)
#define kmem_cache_free(cache, object)	standin_free(object)

#endif
