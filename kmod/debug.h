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
 * Where an object has just been given away, without locks: by parameter debug_stretch_us the
 * caller sleeps there, so that the new owner is done before the caller goes on. (On one
 * processor a caller that spun would keep the new owner's work item from running.)
 * Parameter debug_stretched counts the callers that slept: so a test knows that it was there.
 */
void mp_debug_stretch(void);

/*
 * 0, or -errno instead of the next addition to a virtqueue: parameters debug_fail_nth
 * (each n-th addition fails, 0: none), debug_fail_errno (12: ENOMEM), and debug_fail_left: so many
 * fail, and then none.
 */
int mp_debug_fail_add(void);

/*
 * 0, or -ENOMEM once instead of the step whose name parameter debug_fail holds; then the
 * parameter is empty again. debug.c lists the steps.
 */
int mp_debug_fail(const char *step);

/*
 * As mp_debug_fail(), for a step that a process can get in front of: waits first until a
 * port is opened (mp_debug_opened()), half a minute at most.
 */
int mp_debug_fail_after_open(const char *step);
void mp_debug_opened(void);

#else

#define mp_assert(condition) do { } while (0)
static inline void mp_debug_stretch(void) { }
static inline int mp_debug_fail_add(void) { return 0; }
static inline int mp_debug_fail(const char *step) { return 0; }
static inline int mp_debug_fail_after_open(const char *step) { return 0; }
static inline void mp_debug_opened(void) { }

#endif
#endif
