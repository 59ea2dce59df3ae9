/* SPDX-License-Identifier: MIT */
/* Users. */
#ifndef STANDIN_UIDGID_H
#define STANDIN_UIDGID_H

#include <linux/types.h>

struct user_namespace;

typedef struct {
	unsigned int val;
} kuid_t;

typedef struct {
	unsigned int val;
} kgid_t;

#define GLOBAL_ROOT_UID ((kuid_t){ 0 })

static inline bool uid_eq(kuid_t a, kuid_t b)
{
	return a.val == b.val;
}

static inline bool gid_eq(kgid_t a, kgid_t b)
{
	return a.val == b.val;
}

/* Numbers are the same in all namespaces. */
#define make_kuid(ns, uid)	((kuid_t){ uid })
#define make_kgid(ns, gid)	((kgid_t){ gid })
#define from_kuid(ns, uid)	((uid).val)
#define from_kgid(ns, gid)	((gid).val)
#define uid_valid(uid)		((uid).val != (unsigned int)-1)
#define gid_valid(gid)		((gid).val != (unsigned int)-1)

#endif
