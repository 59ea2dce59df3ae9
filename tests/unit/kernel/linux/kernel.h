/* SPDX-License-Identifier: MIT */
/* Arithmetic, byte order, structures. */
#ifndef STANDIN_KERNEL_H
#define STANDIN_KERNEL_H

#include <endian.h>
#include <limits.h>
#include <string.h>

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/printk.h>
#include <linux/types.h>

#define U32_MAX			UINT32_MAX
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define offsetofend(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define IS_ENABLED(option)	STANDIN_##option
#define STANDIN_CONFIG_PREEMPT_RT 0
#define STANDIN_CONFIG_KASAN	kernel_frees()
#define IS_ALIGNED(x, a)	(!((x) & ((a) - 1)))
#define PAGE_SHIFT		12
#define PAGE_SIZE		4096UL
#define swap(a, b)		({ __typeof__(a) swap_ = (a); (a) = (b); (b) = swap_; })
#define round_down(x, to)	((x) - (x) % (to))
#define round_up(x, to)		round_down((x) + (to) - 1, to)
#define DIV_ROUND_UP(x, by)	(((x) + (by) - 1) / (by))

/* Is memory given back at once? That finds a use of it afterwards. */
bool kernel_frees(void);

static inline unsigned long roundup_pow_of_two(unsigned long x)
{
	unsigned long power = 1;

	while (power < x)
		power *= 2;
	return power;
}

#define cpu_to_le16(x)	htole16(x)
#define cpu_to_le32(x)	htole32(x)
#define cpu_to_le64(x)	htole64(x)
#define le16_to_cpu(x)	le16toh(x)
#define le32_to_cpu(x)	le32toh(x)
#define le64_to_cpu(x)	le64toh(x)

#endif
