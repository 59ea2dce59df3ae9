/* SPDX-License-Identifier: MIT */
/*
 * The kernel around files of kmod/ that are compiled into a test program: one thread and one
 * processor. Nothing happens by itself: work items, delays and timers run when the test says so.
 * linux/ has a stand-in for each header of the kernel that these files include.
 */
#ifndef TESTS_UNIT_KERNEL_KERNEL_H
#define TESTS_UNIT_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/uidgid.h>

struct user_namespace;

/* Begins a test: nothing is queued, and the caller is root. */
void kernel_reset(void);

/* Runs what is queued, in order; how many items. What they queue is left for the next call. */
unsigned int kernel_run_work(void);
/* The delays of delayed work end: what waited is queued. How many items. */
unsigned int kernel_end_delays(void);
/* Timers end: how many. */
unsigned int kernel_end_timers(void);

/* Between these two the code under test runs in an interrupt. */
void kernel_irq_enter(void);
void kernel_irq_exit(void);
/*
 * A kick is prepared (@by is 1), or made (-1): then no lock is held, and no queue is deleted before
 * that is over. One that is due is made before another lock is taken.
 */
void kernel_kick_due(int by);

/* Where another context may come between two steps of the code under test. */
enum kernel_moment {
	KERNEL_PREEMPT_ENABLE,		/* preemption is enabled again; object: NULL */
	KERNEL_LOCK,			/* a spinlock is about to be taken; object: the lock */
	KERNEL_TRYLOCK,			/* a mutex is about to be tried; object: the mutex */
	KERNEL_COPY,			/* bytes of a process were copied; object: NULL */
	KERNEL_MOMENTS
};

/*
 * Calls @hook once, at the first such moment of @object behind @skip others. It is another
 * context: it may do what any process or, between the two calls above, any interrupt may.
 */
void kernel_at(enum kernel_moment moment, const void *object, unsigned int skip,
	       void (*hook)(void *arg), void *arg);

/*
 * What all others do while a call of a process sleeps or spins: @step does one thing, and returns
 * false when there is none. Work items and timers have their turn by themselves. A call that
 * sleeps with nothing left that could wake it fails the test.
 */
void kernel_play(bool (*step)(void));

/* No other process runs: the caller has the processor for itself. */
void kernel_leave_alone(void);
/* Times that the caller gave way to another process without sleeping. */
unsigned int kernel_yields(void);
/* From now on a caller that is woken gets the processor that much later. */
void kernel_run_late(unsigned int us);
void kernel_set_prio(int prio);

/* The caller has got a signal; it is over with kernel_reset() or kernel_end_signal(). */
void kernel_send_signal(bool is_fatal);
void kernel_end_signal(void);

/* The next @count allocations fail. */
void kernel_fail_allocs(unsigned int count);

/* Allocations up to now. */
unsigned int kernel_allocs(void);
/* Memory of requests is used again, as in a kernel that is not made to find wrong uses. */
void kernel_keep_memory(void);

/* Lines of the log since kernel_reset(), and the last one. */
unsigned int kernel_warnings(void);
const char *kernel_last_warning(void);

/* Pages that are pinned; pages that were unpinned as written; references to creds and groups. */
unsigned int kernel_pinned(void);
/* Did io_uring pin the pages that it has registered (at first: yes), or are they a driver's? */
void kernel_registers_pinned(bool is_pinned);
unsigned int kernel_dirtied(void);
int kernel_refs(void);

/* The process that calls from now on. */
void kernel_set_caller(unsigned int uid, struct user_namespace *ns, bool is_privileged);

#endif
