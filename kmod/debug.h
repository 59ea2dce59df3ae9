/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What only a debug build has (make MANYPORT_DEBUG=y): assertions, and hooks that widen the
 * windows and provoke the failures which no test could wait for. In any other build all of
 * it is nothing. The worlds uml-debug and smp-debug build the module this way.
 */
#ifndef KMOD_DEBUG_H
#define KMOD_DEBUG_H

#include <linux/bug.h>

#ifdef MANYPORT_DEBUG

#define mp_assert(condition) WARN_ON_ONCE(!(condition))

/*
 * Where an object has just been given away: parameter debug_stretch_us keeps the caller
 * there, so that the new owner is done before the caller goes on.
 */
void mp_debug_stretch(void);

/*
 * 0, or -errno instead of the next addition to a virtqueue: parameters debug_fail_nth
 * (each n-th addition fails, 0: none) and debug_fail_errno (12: ENOMEM).
 */
int mp_debug_fail_add(void);

#else

#define mp_assert(condition) do { } while (0)
static inline void mp_debug_stretch(void) { }
static inline int mp_debug_fail_add(void) { return 0; }

#endif
#endif
