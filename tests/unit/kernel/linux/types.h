/* SPDX-License-Identifier: MIT */
/* The kernel's own names of types. */
#ifndef STANDIN_TYPES_H
#define STANDIN_TYPES_H

#include_next <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
typedef unsigned int gfp_t;
typedef unsigned int uint;
typedef unsigned long ulong;

struct list_head {
	struct list_head *next, *prev;
};

#endif
