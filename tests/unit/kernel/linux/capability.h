/* SPDX-License-Identifier: MIT */
/* What the caller may do. */
#ifndef STANDIN_CAPABILITY_H
#define STANDIN_CAPABILITY_H

#include_next <linux/capability.h>
#include <linux/types.h>

struct user_namespace;

bool ns_capable_noaudit(struct user_namespace *ns, int capability);

#define ns_capable(ns, capability) ns_capable_noaudit(ns, capability)

#endif
