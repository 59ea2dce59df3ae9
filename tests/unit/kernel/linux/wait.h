/* SPDX-License-Identifier: MIT */
/* Waiting: while a caller sleeps the test plays all others (kernel.h). */
#ifndef STANDIN_WAIT_H
#define STANDIN_WAIT_H

#include <linux/sched/signal.h>
#include <linux/types.h>

typedef struct wait_queue_entry wait_queue_entry_t;
struct wait_queue_entry {
	struct task_struct *private;
	int (*func)(wait_queue_entry_t *entry, unsigned int mode, int flags, void *key);
};

typedef struct {
	unsigned int sleepers;		/* callers, and what the test has polling */
	unsigned int wakes;		/* that came while one was there */
	__poll_t key;			/* of the last */
	wait_queue_entry_t *entry;	/* of the caller */
} wait_queue_head_t;

#define init_waitqueue_head(head) (*(head) = (wait_queue_head_t){ 0 })

static inline bool wq_has_sleeper(const wait_queue_head_t *head)
{
	return head->sleepers;
}

void wake_up_poll(wait_queue_head_t *head, __poll_t key);

/*
 * Sleeps until a wake-up behind the first @seen. Returns 0, or -ERESTARTSYS after a signal. The
 * caller looks at its condition behind a wake-up, and at no other time.
 */
int standin_sleep(wait_queue_head_t *head, unsigned int seen, bool killable_only);

/* A caller that brings its own entry. */
int default_wake_function(wait_queue_entry_t *entry, unsigned int mode, int flags, void *key);
void add_wait_queue(wait_queue_head_t *head, wait_queue_entry_t *entry);
void remove_wait_queue(wait_queue_head_t *head, wait_queue_entry_t *entry);

static inline void init_waitqueue_func_entry(wait_queue_entry_t *entry,
		int (*func)(wait_queue_entry_t *entry, unsigned int mode, int flags, void *key))
{
	*entry = (wait_queue_entry_t){ .func = func };
}

#endif
