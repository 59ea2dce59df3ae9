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

/* Called once, when preemption is next enabled: what comes at that moment. */
void kernel_on_preempt_enable(void (*hook)(void *arg), void *arg);

/* The process that calls from now on. */
void kernel_set_caller(unsigned int uid, struct user_namespace *ns, bool is_privileged);

#endif
