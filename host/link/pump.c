// SPDX-License-Identifier: MIT
/*
 * See pump.h. Both descriptors are watched edge-triggered; for room to write only while there is
 * none, since a port tells of each write that the other end has taken.
 */
#include "link/pump.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/list.h"

#define ROUNDS	  8			/* reads before the others have their turn */
#define IN_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLET)

/* A link's times are seconds: it asks for no system call for each frame. */
static uint64_t now(void)
{
	return loop_clock_coarse_ms();
}

/*
 * Most deadlines move on with each frame: a timer that is due earlier stays, and finds the deadline
 * of then. To set it each time would cost a look at the clock for each frame.
 */
static void arm(struct pump *pump)
{
	uint64_t at = link_deadline(pump->link), time = now();

	if (at == SESSION_NEVER)
		loop_timer_stop(&pump->due);
	if (at != SESSION_NEVER && (!loop_timer_is_armed(&pump->due) || at < pump->due_at)) {
		loop_timer_start(&pump->due, at > time ? at - time : 0);
		pump->due_at = at;
	}
}

/* What is waited for at the one descriptor, or at both. */
static void watch_for_room(struct pump *pump, bool is_full)
{
	struct loop_watch *watch = pump->in == pump->out ? &pump->read : &pump->write;
	uint32_t events = pump->in == pump->out ? IN_EVENTS : EPOLLET;

	if (pump->is_full == is_full)
		return;
	pump->is_full = is_full;
	/* Without memory for it the descriptor tells all that it told before. */
	loop_watch_modify(watch, is_full ? events | EPOLLOUT : events);
}

/* --- Sending ---------------------------------------------------------------- */

static ssize_t send_some(struct pump *pump)
{
	struct iovec iov[OUTBOX_IOVS];
	int count = link_iov(pump->link, iov);
	ssize_t n;

	if (!count)
		return 0;
	do {
		n = writev(pump->out, iov, count);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	link_sent(pump->link, n, now());
	return n;
}

void pump_flush(struct pump *pump)
{
	ssize_t n = 1;

	while (n > 0 && pump->out >= 0 && !pump->is_full)
		n = send_some(pump);
	if (pump->out < 0)
		return;
	arm(pump);
	if (n >= 0)
		return;
	watch_for_room(pump, true);
	if (n == -EAGAIN)
		return;
	/* What calls us may be in the middle of a channel: its owner hears of it later. */
	pump->error = -n;
	loop_task_queue(&pump->more);
}

/* --- What comes ------------------------------------------------------------- */

/* The host of a port has closed it: what it was sent is lost, so the link starts again. */
static void host_left(struct pump *pump)
{
	if (pump->is_away)
		return;
	pump->is_away = true;
	link_start(pump->link, now());
}

/* Returns how many bytes came, 0: none now, -1: the stream is gone. */
static ssize_t receive_some(struct pump *pump)
{
	void *buf;
	size_t room = link_room(pump->link, &buf);
	ssize_t n;

	do {
		n = read(pump->in, buf, room);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n > 0) {
		pump->is_away = false;
		link_came(pump->link, n, now());
		return n;
	}
	if (!n && !pump->has_ends) {
		host_left(pump);
		return 0;
	}
	pump->gone(pump, n ? errno : 0);
	return -1;
}

static void receive(struct pump *pump)
{
	int rounds = ROUNDS;
	ssize_t n;

	do {
		n = receive_some(pump);
	} while (n > 0 && pump->in >= 0 && --rounds);
	if (n < 0)
		return;
	if (n > 0 && pump->in >= 0)
		loop_task_queue(&pump->more);
	pump->settle(pump);
}

static void go_on(struct loop_task *task)
{
	struct pump *pump = container_of(task, struct pump, more);

	if (pump->error)
		pump->gone(pump, pump->error);
	else
		receive(pump);
}

/* --- What the loop calls ---------------------------------------------------- */

static void moves(struct pump *pump, uint32_t events, bool reads)
{
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		watch_for_room(pump, false);
	if (reads && (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR)))
		receive(pump);
	else
		pump->settle(pump);
}

static void read_moves(struct loop_watch *watch, uint32_t events)
{
	moves(container_of(watch, struct pump, read), events, true);
}

static void write_moves(struct loop_watch *watch, uint32_t events)
{
	moves(container_of(watch, struct pump, write), events, false);
}

static void is_due(struct loop_timer *timer)
{
	struct pump *pump = container_of(timer, struct pump, due);

	link_tick(pump->link, now());
	pump->settle(pump);
}

/* --- Life ------------------------------------------------------------------- */

void pump_init(struct pump *pump, struct loop *loop, struct link *link,
	       void (*settle)(struct pump *pump), void (*gone)(struct pump *pump, int error))
{
	*pump = (struct pump){
		.loop = loop, .link = link, .settle = settle, .gone = gone, .in = -1, .out = -1,
	};
	loop_task_init(loop, &pump->more, go_on);
	loop_timer_init(loop, &pump->due, is_due);
}

int pump_start(struct pump *pump, int in, int out, bool has_ends)
{
	int ret = loop_watch_add(pump->loop, &pump->read, in, IN_EVENTS, read_moves);

	if (!ret && in != out)
		ret = loop_watch_add(pump->loop, &pump->write, out, EPOLLET, write_moves);
	if (ret) {
		loop_watch_remove(&pump->read);
		return ret;
	}
	pump->in = in;
	pump->out = out;
	pump->has_ends = has_ends;
	pump->is_away = false;
	pump->is_full = false;
	pump->error = 0;
	link_start(pump->link, now());
	pump_flush(pump);
	return 0;
}

void pump_stop(struct pump *pump)
{
	if (pump->in < 0)
		return;
	loop_task_cancel(&pump->more);
	loop_timer_stop(&pump->due);
	loop_watch_remove(&pump->read);
	loop_watch_remove(&pump->write);
	pump->in = -1;
	pump->out = -1;
	link_stop(pump->link);
}
