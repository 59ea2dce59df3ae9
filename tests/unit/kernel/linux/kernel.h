/* SPDX-License-Identifier: MIT */
/* Arithmetic, byte order, structures. */
#ifndef STANDIN_KERNEL_H
#define STANDIN_KERNEL_H

#include <endian.h>
#include <limits.h>
#include <string.h>

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/minmax.h>
#include <linux/types.h>

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define IS_ENABLED(option)	0	/* none of those that are asked for */
#define IS_ALIGNED(x, a)	(!((x) & ((a) - 1)))
#define PAGE_SIZE		4096UL

#define cpu_to_le16(x)	htole16(x)
#define cpu_to_le32(x)	htole32(x)
#define cpu_to_le64(x)	htole64(x)
#define le16_to_cpu(x)	le16toh(x)
#define le32_to_cpu(x)	le32toh(x)
#define le64_to_cpu(x)	le64toh(x)

#endif
