/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the device writes has cache lines of its own: where memory is not coherent the end of a
 * mapping throws the processor's lines away, with whatever else is written in them. And one
 * buffer of the device never shares a line with another. What the device only reads may lie
 * beside anything. Objects that hold such a field come from a cache of their own, or are of sizes
 * that kmalloc aligns well: all above 192 bytes, which lie in caches of powers of two.
 */
#ifndef KMOD_DMA_H
#define KMOD_DMA_H

#include <linux/build_bug.h>
#include <linux/cache.h>
#include <linux/slab.h>
#include <linux/types.h>

#ifdef ARCH_DMA_MINALIGN
#define MP_DMA_ALIGN	\
	(ARCH_DMA_MINALIGN > (SMP_CACHE_BYTES) ? ARCH_DMA_MINALIGN : SMP_CACHE_BYTES)
#else
#define MP_DMA_ALIGN	SMP_CACHE_BYTES
#endif
static_assert(MP_DMA_ALIGN >= L1_CACHE_BYTES);

#define mp_dma_aligned	__aligned(MP_DMA_ALIGN)

/* @member is alone: it begins a line, and the next thing behind it another. */
#define MP_ASSERT_ALONE(type, member, next)					\
	static_assert(!(offsetof(type, member) % MP_DMA_ALIGN) &&		\
		      !((next) % MP_DMA_ALIGN) && (next) > offsetof(type, member))

#endif
