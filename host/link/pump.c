// SPDX-License-Identifier: MIT
/*
 * See pump.h. What comes is watched level-triggered, so that no read must find that nothing is
 * left; but of a port without a host there is always something to read, its end. Room to write is
 * watched for only while there is none, since a port tells of each write that the other end has
 * taken.
 */
#include "link/pump.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/list.h"

#define ROUNDS	  8			/* reads before the others have their turn */
/*
 * One read of a virtio-serial port gives at most what one buffer has, which is a page; readv() is a
 * read for each of its parts, as long as they are filled.
 */
#define PORT_PAGE  4096U
#define PORT_PAGES 16

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

static uint32_t events_of(const struct pump *pump)
{
	uint32_t events = EPOLLIN | EPOLLRDHUP;

	if (pump->is_away)
		events |= EPOLLET;
	return pump->is_full && pump->in == pump->out ? events | EPOLLOUT : events;
}

static void watch_for_room(struct pump *pump, bool is_full)
{
	if (pump->is_full == is_full)
		return;
	pump->is_full = is_full;
	/* Without memory for it the descriptor tells all that it told before. */
	if (pump->in == pump->out)
		loop_watch_modify(&pump->read, events_of(pump));
	else
		loop_watch_modify(&pump->write, is_full ? EPOLLET | EPOLLOUT : EPOLLET);
}

static void note_away(struct pump *pump, bool is_away)
{
	if (pump->is_away == is_away)
		return;
	pump->is_away = is_away;
	loop_watch_modify(&pump->read, events_of(pump));
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
	loop_task_queue(&pump->failed);
}

/* --- What comes ------------------------------------------------------------- */

/* The host of a port has closed it: what it was sent is lost, so the link starts again. */
static void host_left(struct pump *pump)
{
	if (pump->is_away)
		return;
	note_away(pump, true);
	link_start(pump->link, now());
}

static int parts_of(struct iovec *parts, char *buf, size_t room)
{
	int count = 0;

	for (; room && count < PORT_PAGES; count++) {
		parts[count].iov_base = buf;
		parts[count].iov_len = room < PORT_PAGE ? room : PORT_PAGE;
		buf += parts[count].iov_len;
		room -= parts[count].iov_len;
	}
	return count;
}

enum received { RECEIVED_GONE, RECEIVED_NONE, RECEIVED_ALL, RECEIVED_MORE };

/* RECEIVED_ALL: most likely that was all. RECEIVED_GONE: so is the stream. */
static enum received receive_some(struct pump *pump)
{
	struct iovec parts[PORT_PAGES];
	void *buf;
	size_t room = link_room(pump->link, &buf), full = pump->has_ends ? room : PORT_PAGE;
	ssize_t n;

	do {
		n = pump->has_ends ? read(pump->in, buf, room) :
				     readv(pump->in, parts, parts_of(parts, buf, room));
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return RECEIVED_NONE;
	if (n > 0) {
		note_away(pump, false);
		link_came(pump->link, n, now());
		return (size_t)n < full ? RECEIVED_ALL : RECEIVED_MORE;
	}
	if (!n && !pump->has_ends) {
		host_left(pump);
		return RECEIVED_NONE;
	}
	pump->gone(pump, n ? errno : 0);
	return RECEIVED_GONE;
}

/* @ends: behind what comes is an end, which is to be met before the next stream comes. */
static void receive(struct pump *pump, bool ends)
{
	enum received last = ends ? RECEIVED_ALL : RECEIVED_MORE, result;
	int rounds = ROUNDS;

	do {
		result = receive_some(pump);
	} while (result >= last && --rounds);
	if (result != RECEIVED_GONE)
		pump->settle(pump);
}

static void has_failed(struct loop_task *task)
{
	struct pump *pump = container_of(task, struct pump, failed);

	pump->gone(pump, pump->error);
}

/* --- What the loop calls ---------------------------------------------------- */

static void moves(struct pump *pump, uint32_t events, bool reads)
{
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		watch_for_room(pump, false);
	if (reads && (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR)))
		receive(pump, events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR));
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
	loop_task_init(loop, &pump->failed, has_failed);
	loop_timer_init(loop, &pump->due, is_due);
}

int pump_start(struct pump *pump, int in, int out, bool has_ends)
{
	int ret = loop_watch_add(pump->loop, &pump->read, in, EPOLLIN | EPOLLRDHUP, read_moves);

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
	loop_task_cancel(&pump->failed);
	loop_timer_stop(&pump->due);
	loop_watch_remove(&pump->read);
	loop_watch_remove(&pump->write);
	pump->in = -1;
	pump->out = -1;
	link_stop(pump->link);
}
