/* SPDX-License-Identifier: MIT */
/* The calling process. */
#ifndef STANDIN_CRED_H
#define STANDIN_CRED_H

#include <linux/user_namespace.h>

/* The caller, as the test says (kernel.h). */
struct user_namespace *current_user_ns(void);
kuid_t current_fsuid(void);
kgid_t current_fsgid(void);

#endif
