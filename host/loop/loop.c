// SPDX-License-Identifier: MIT
/*
 * The event loop; see loop.h.
 *
 * A round: wait; the callbacks of the descriptors that are ready; the timers that
 * are due at the round's time; the tasks that are queued by then. The round's time is
 * that at which it was asked for first: a look at the clock may be a system call. What a
 * callback starts belongs to a later round: a timer is armed at least one
 * millisecond after the round's time, and the tasks of a round are moved to a
 * list of their own first. So no callback can keep the others from running.
 *
 * Objects are their owners'. The loop holds a watch in epoll and in the events
 * fetched for this round, a timer in the heap, a task in one of two lists;
 * remove, stop and cancel take it out of all of them, after which it may be freed.
 */

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <manyport/spin.h>

#include "base/list.h"
#include "loop/loop.h"

#define ROUND_EVENTS 64
#define ALARM_MS     100	/* timers so far off, or further, are the alarm's */
#define NEVER	     UINT64_MAX
#define FINDS_MAX    16		/* rounds in a row in which only the poller had work */

struct loop {
	int epoll;
	bool quit;
	bool has_now;			/* @now is of this round */
	uint64_t now;

	/* Fetched and not yet dispatched: [event_next, event_count). */
	struct epoll_event events[ROUND_EVENTS];
	int event_next, event_count;

	struct heap timers;
	/*
	 * Ends a wait in place of a limit to it. A limit costs a look at the clock and a timer of
	 * the kernel for each wait, and most timers move on before they are due: an alarm that
	 * comes too early is set again. It is due, or has rung and is still to be read, or
	 * @alarm_at is NEVER.
	 */
	struct loop_watch alarm;
	uint64_t alarm_at;

	struct loop_task *queued, **tail;	/* for the next run */
	struct loop_task *running;		/* of this round, not yet run */

	struct loop_poller *poller;
	struct mp_spin spin;
	unsigned int finds;			/* times that the poller had work */
};

uint64_t loop_clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

uint64_t loop_clock_coarse_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* @us: the time now. It is the round's unless that has one. */
static void note_now(struct loop *loop, uint64_t us)
{
	if (!loop->has_now)
		loop->now = us / 1000;
	loop->has_now = true;
}

uint64_t loop_now(struct loop *loop)
{
	if (!loop->has_now)
		note_now(loop, loop_clock_us());
	return loop->now;
}

void loop_quit(struct loop *loop)
{
	loop->quit = true;
}

/* --- Watches ------------------------------------------------------------ */

int loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
		   void (*ready)(struct loop_watch *watch, uint32_t events))
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	watch->fd = fd;
	watch->ready = ready;
	watch->loop = loop;
	return 0;
}

int loop_watch_modify(struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (!watch->loop)
		return -ENOENT;
	return epoll_ctl(watch->loop->epoll, EPOLL_CTL_MOD, watch->fd, &event) < 0 ? -errno : 0;
}

void loop_watch_remove(struct loop_watch *watch)
{
	struct loop *loop = watch->loop;

	if (!loop)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	for (int i = loop->event_next; i < loop->event_count; i++)
		if (loop->events[i].data.ptr == watch)
			loop->events[i].data.ptr = NULL;
	watch->fd = -1;
	watch->loop = NULL;
}

static void dispatch_events(struct loop *loop)
{
	while (loop->event_next < loop->event_count) {
		struct epoll_event event = loop->events[loop->event_next++];
		struct loop_watch *watch = event.data.ptr;

		if (watch)
			watch->ready(watch, event.events);
	}
}

/* --- Timers ------------------------------------------------------------- */

void loop_timer_init(struct loop *loop, struct loop_timer *timer,
		     void (*fire)(struct loop_timer *timer))
{
	*timer = (struct loop_timer){ .fire = fire, .loop = loop };
}

/* Rounded up, never early; and always after the time of the round (above). */
static uint64_t deadline(struct loop *loop, uint64_t ms)
{
	uint64_t when, us = loop_clock_us();

	note_now(loop, us);
	if (__builtin_add_overflow((us + 999) / 1000, ms, &when))
		return UINT64_MAX;
	return when > loop->now ? when : loop->now + 1;
}

void loop_timer_start(struct loop_timer *timer, uint64_t ms)
{
	loop_timer_stop(timer);
	heap_add(&timer->loop->timers, &timer->due, deadline(timer->loop, ms));
}

void loop_timer_stop(struct loop_timer *timer)
{
	if (timer->loop)
		heap_remove(&timer->loop->timers, &timer->due);
}

static void fire_timers(struct loop *loop)
{
	struct heap_node *due;

	/* Before the alarm none is due, and what the time is need not be known. */
	while ((due = loop->timers.first) && loop->alarm_at > due->key &&
	       due->key <= loop_now(loop)) {
		struct loop_timer *timer = container_of(due, struct loop_timer, due);

		loop_timer_stop(timer);
		timer->fire(timer);
	}
}

/* --- Tasks -------------------------------------------------------------- */

void loop_task_init(struct loop *loop, struct loop_task *task, void (*run)(struct loop_task *task))
{
	task->run = run;
	task->loop = loop;
	task->next = NULL;
	task->prev = NULL;
}

void loop_task_queue(struct loop_task *task)
{
	struct loop *loop = task->loop;

	if (task->prev)
		return;
	task->next = NULL;
	task->prev = loop->tail;
	*loop->tail = task;
	loop->tail = &task->next;
}

void loop_task_cancel(struct loop_task *task)
{
	if (!task->prev)
		return;
	*task->prev = task->next;
	if (task->next)
		task->next->prev = task->prev;
	else if (task->loop->tail == &task->next)
		task->loop->tail = task->prev;
	task->next = NULL;
	task->prev = NULL;
}

static void run_tasks(struct loop *loop)
{
	struct loop_task *task = loop->queued;

	if (!task)
		return;
	loop->running = task;
	task->prev = &loop->running;
	loop->queued = NULL;
	loop->tail = &loop->queued;
	while ((task = loop->running)) {
		loop_task_cancel(task);
		task->run(task);
	}
}

/* --- The loop ----------------------------------------------------------- */

static bool set_alarm(struct loop *loop, uint64_t ms)
{
	const struct itimerspec time = {
		.it_value = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 },
	};

	if (timerfd_settime(loop->alarm.fd, TFD_TIMER_ABSTIME, &time, NULL))
		return false;
	loop->alarm_at = ms;
	return true;
}

/*
 * How long to wait at most: not at all with a task queued; -1 is for ever, or until the alarm. It
 * is set for nothing near, which would cost more than a limit.
 */
static int wait_limit(struct loop *loop)
{
	uint64_t now, left, key;

	if (loop->queued)
		return 0;
	if (!loop->timers.first)
		return -1;
	key = loop->timers.first->key;
	if (loop->alarm_at <= key)
		return -1;
	now = loop_clock_us() / 1000;
	if (key <= now)
		return 0;
	left = key - now;
	if (left >= ALARM_MS && set_alarm(loop, key))
		return -1;
	return left < 60000 ? (int)left : 60000;
}

void loop_set_poller(struct loop *loop, struct loop_poller *poller)
{
	loop->poller = poller;
	loop->spin = (struct mp_spin){ 0 };
}

static int fetch_events(struct loop *loop, int limit)
{
	return epoll_wait(loop->epoll, loop->events, ROUND_EVENTS, limit);
}

/*
 * Spins for the learned window. Returns events fetched, or -EAGAIN: the poller had work. Each turn
 * yields the processor, since another process, often the other end of a service, may need it.
 */
static int look(struct loop *loop)
{
	uint64_t end;
	int n;

	if (!loop->spin.window_us)
		return 0;
	end = loop_clock_us() + loop->spin.window_us;
	do {
		n = loop->poller->look(loop->poller) ? -EAGAIN : fetch_events(loop, 0);
		if (n) {
			mp_spin_found(&loop->spin);
			return n;
		}
		sched_yield();
	} while (loop_clock_us() < end);
	return 0;
}

/* As epoll_wait(); also when the poller had work: then no events may be there. */
static int wait_for_work(struct loop *loop)
{
	struct loop_poller *poller = loop->poller;
	uint64_t start;
	int n;

	if (!poller)
		return fetch_events(loop, wait_limit(loop));
	/* With a task queued the loop does not wait, so rest() is not called: look() must be. */
	if (loop->queued) {
		poller->look(poller);
		return fetch_events(loop, 0);
	}
	n = look(loop);
	if (n == -EAGAIN || (!n && poller->rest(poller)))
		return ++loop->finds % FINDS_MAX ? 0 : fetch_events(loop, 0);
	if (n)
		return n;
	start = loop_clock_us();
	n = fetch_events(loop, wait_limit(loop));
	mp_spin_slept(&loop->spin, poller->max_us, loop_clock_us() - start);
	return n;
}

static int run_round(struct loop *loop)
{
	int n = wait_for_work(loop);

	if (n < 0 && errno != EINTR)
		return -errno;
	loop->has_now = false;
	loop->event_next = 0;
	loop->event_count = n < 0 ? 0 : n;
	dispatch_events(loop);
	fire_timers(loop);
	run_tasks(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	int ret = 0;

	while (!loop->quit && ret == 0)
		ret = run_round(loop);
	loop->quit = false;
	return ret;
}

/* --- Life --------------------------------------------------------------- */

static void alarm_rings(struct loop_watch *watch, uint32_t events)
{
	uint64_t times;

	(void)events;
	/* With nothing to read it has not rung yet. */
	if (read(watch->fd, &times, sizeof(times)) == sizeof(times))
		container_of(watch, struct loop, alarm)->alarm_at = NEVER;
}

static bool open_alarm(struct loop *loop)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	loop->alarm_at = NEVER;
	if (fd < 0 || !loop_watch_add(loop, &loop->alarm, fd, EPOLLIN, alarm_rings))
		return fd >= 0;
	close(fd);
	return false;
}

static void close_alarm(struct loop *loop)
{
	int fd = loop->alarm.fd;

	loop_watch_remove(&loop->alarm);
	close(fd);
}

struct loop *loop_create(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0 || !open_alarm(loop)) {
		if (loop->epoll >= 0)
			close(loop->epoll);
		free(loop);
		return NULL;
	}
	loop->tail = &loop->queued;
	return loop;
}

static void forget_tasks(struct loop_task *task)
{
	while (task) {
		struct loop_task *next = task->next;

		task->next = NULL;
		task->prev = NULL;
		task = next;
	}
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	while (loop->timers.first)
		heap_remove(&loop->timers, loop->timers.first);
	forget_tasks(loop->queued);
	forget_tasks(loop->running);
	close_alarm(loop);
	close(loop->epoll);
	free(loop);
}
