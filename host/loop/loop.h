/* SPDX-License-Identifier: MIT */
/*
 * The event loop: descriptors, timers, deferred work; one thread. A child is
 * watched through its pidfd, a signal through a signalfd.
 *
 * Based on epoll. A watch may be removed, and freed, from inside any callback, its
 * own included: an event that was already fetched for it is dropped. So may a
 * timer or a task.
 */
#ifndef HOST_LOOP_LOOP_H
#define HOST_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/heap.h"

struct loop;

struct loop *loop_create(void);			/* NULL with errno set */
/* Accepts NULL. Watches are removed before; timers and tasks are forgotten. */
void loop_destroy(struct loop *loop);

/* Runs until loop_quit(), and finishes that round. Returns 0 or -errno. */
int loop_run(struct loop *loop);
void loop_quit(struct loop *loop);

/* Milliseconds of the monotonic clock in this round, in which it stays the same. */
uint64_t loop_now(struct loop *loop);

/* Microseconds of the same clock, at this moment. */
uint64_t loop_clock_us(void);
/* Milliseconds of it, up to a tick of the kernel behind: never a system call. */
uint64_t loop_clock_coarse_ms(void);

/* Zero-initialised, or with loop NULL, it is not watched. */
struct loop_watch {
	int fd;					/* -1: not watched any more */
	void (*ready)(struct loop_watch *watch, uint32_t events);	/* EPOLL* */
	struct loop *loop;
};

/* Watches @fd for @events (EPOLLIN, EPOLLOUT, EPOLLET, ...). Returns 0 or -errno. */
int loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
		   void (*ready)(struct loop_watch *watch, uint32_t events));
int loop_watch_modify(struct loop_watch *watch, uint32_t events);
/* Does not close: the descriptor must still be open. Idempotent. */
void loop_watch_remove(struct loop_watch *watch);

struct loop_timer {
	struct heap_node due;			/* in a heap: armed */
	void (*fire)(struct loop_timer *timer);
	struct loop *loop;
};

void loop_timer_init(struct loop *loop, struct loop_timer *timer,
		     void (*fire)(struct loop_timer *timer));
/* (Re)arms to fire once, @ms from now, never early, and not in this round. */
void loop_timer_start(struct loop_timer *timer, uint64_t ms);
void loop_timer_stop(struct loop_timer *timer);	/* idempotent */
static inline bool loop_timer_is_armed(const struct loop_timer *timer)
{
	return heap_has(&timer->due);
}

/*
 * Runs once, after the callbacks of this round; queuing twice is one run. Queued
 * from a task it runs in the next round, which does not wait.
 */
struct loop_task {
	void (*run)(struct loop_task *task);
	struct loop *loop;
	struct loop_task *next, **prev;		/* NULL: not queued */
};

void loop_task_init(struct loop *loop, struct loop_task *task,
		    void (*run)(struct loop_task *task));
void loop_task_queue(struct loop_task *task);
void loop_task_cancel(struct loop_task *task);	/* idempotent */

/*
 * Work that is cheaper to find by spinning than to be woken for. Before the loop waits, it calls
 * look() again and again for a learned time (spin.h), at most @max_us; then rest(), which asks to
 * be woken. Each returns true when it has found and done work. A loop has at most one poller.
 */
struct loop_poller {
	bool (*look)(struct loop_poller *poller);
	bool (*rest)(struct loop_poller *poller);
	unsigned int max_us;
};

void loop_set_poller(struct loop *loop, struct loop_poller *poller);	/* NULL: none */

#endif
