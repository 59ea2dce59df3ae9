/* SPDX-License-Identifier: MIT */
/* Namespaces of users. */
#ifndef STANDIN_USER_NAMESPACE_H
#define STANDIN_USER_NAMESPACE_H

#include <linux/uidgid.h>

struct user_namespace {
	struct user_namespace *parent;
	kuid_t owner;
};

extern struct user_namespace init_user_ns;

#endif
