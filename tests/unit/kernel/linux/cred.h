/* SPDX-License-Identifier: MIT */
/* The calling process. */
#ifndef STANDIN_CRED_H
#define STANDIN_CRED_H

#include <linux/user_namespace.h>

struct cred {
	kuid_t fsuid;
	kgid_t fsgid;
};

/* The caller, as the test says (kernel.h). */
struct user_namespace *current_user_ns(void);
kuid_t current_fsuid(void);
const struct cred *get_current_cred(void);
void put_cred(const struct cred *cred);

#endif
