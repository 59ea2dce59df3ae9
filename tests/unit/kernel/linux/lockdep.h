/* SPDX-License-Identifier: MIT */
/* Locks that must be held. */
#ifndef STANDIN_LOCKDEP_H
#define STANDIN_LOCKDEP_H

#include <linux/bug.h>

#define lockdep_assert_held(lock)	WARN_ON_ONCE(!(lock)->is_locked)

#endif
