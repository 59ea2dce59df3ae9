/* SPDX-License-Identifier: MIT */
/* Users. */
#ifndef STANDIN_UIDGID_H
#define STANDIN_UIDGID_H

#include <linux/types.h>

typedef struct {
	unsigned int val;
} kuid_t;

#define GLOBAL_ROOT_UID ((kuid_t){ 0 })

static inline bool uid_eq(kuid_t a, kuid_t b)
{
	return a.val == b.val;
}

#endif
