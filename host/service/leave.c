// SPDX-License-Identifier: MIT
#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/log.h"
#include "base/record.h"
#include "loop/loop.h"
#include "service/leave.h"

/*
 * A send queue that becomes shorter makes no event, so one timer looks at all sockets every
 * LOOK_MS, and throws away at most DISCARD_BYTES of their input together. Sockets whose input it
 * did not reach come first the next time.
 */
#define LOOK_MS		20
#define DISCARD_BYTES	(4U << 20)
#define DISCARD_ROUNDS	4
#define SCRATCH_SIZE	65536

/* A program that has read the last byte gets so many more looks before it is told to end. */
#define GRACE_LOOKS	3

struct leaver {
	struct list link;		/* in leavers */
	struct leave what;
	struct mp_place place;
	uint64_t backlog;		/* the send queue at the last look */
	uint64_t taken_ms;		/* when the send queue last became shorter */
	uint64_t heard_ms;		/* when input was last thrown away */
	unsigned int empty_looks;
	bool is_deaf;			/* the other end takes no more, or has failed */
	bool has_ended;			/* nothing more comes in */
};

/* Of the process, which serves one guest in one loop. */
static struct list leavers = { &leavers, &leavers };
static struct loop_timer timer;
static uint32_t discard_left;
static void (*when_gone)(void *context);
static void *when_gone_context;

uint64_t leave_queued(int fd)
{
	int queued = 0;

	return ioctl(fd, SIOCOUTQ, &queued) || queued < 0 ? 0 : queued;
}

/* --- The end of one -------------------------------------------------------- */

static void finish(struct leaver *leaver, enum mp_end how)
{
	list_del(&leaver->link);
	leaver->what.end(leaver->what.context, leaver->what.fd, how);
	leaver->place.leave(&leaver->place);
	free(leaver);
}

static void give_up(struct leaver *leaver, uint64_t ms)
{
	log_limited_here(LOG_LEVEL_WARNING,
		    "service %s: channel %u.%u: up to %llu bytes were not taken for %llu ms: "
		    "dropped",
		    leaver->what.name, leaver->place.channel, leaver->place.generation,
		    (unsigned long long)leaver->backlog, (unsigned long long)ms);
	finish(leaver, MP_END_ABORT);
}

/* --- Looking --------------------------------------------------------------- */

static void discard(struct leaver *leaver, uint64_t now)
{
	static char scratch[SCRATCH_SIZE];

	for (int i = 0; i < DISCARD_ROUNDS && discard_left && !leaver->has_ended; i++) {
		ssize_t len = recv(leaver->what.fd, scratch, sizeof(scratch), MSG_DONTWAIT);

		if (len > 0) {
			leaver->heard_ms = now;
			discard_left -= len < discard_left ? len : discard_left;
		} else if (len == 0) {
			leaver->has_ended = true;
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			leaver->has_ended = leaver->is_deaf = true;
		}
	}
}

static void look_at_queue(struct leaver *leaver, uint64_t now)
{
	uint64_t backlog = leaver->is_deaf ? 0 : leave_queued(leaver->what.fd);

	if (backlog < leaver->backlog)
		leaver->taken_ms = now;
	leaver->backlog = backlog;
	leaver->empty_looks = backlog ? 0 : leaver->empty_looks + 1;
}

/* Is nothing left to wait for? */
static bool is_over(struct leaver *leaver)
{
	const struct leave *what = &leaver->what;

	if (!what->has_exited) {
		/* After the end of input close() is no reset: the kernel delivers the rest. */
		return leaver->empty_looks || (what->how == MP_END_WHOLE && leaver->has_ended);
	}
	if (what->has_exited(what->context))
		return true;
	return what->how == MP_END_CUT && leaver->empty_looks >= GRACE_LOOKS;
}

static void look(struct leaver *leaver, uint64_t now)
{
	const struct mp_service *service = leaver->place.service;
	uint64_t since_taken, since;

	discard(leaver, now);
	look_at_queue(leaver, now);
	since = since_taken = now - leaver->taken_ms;
	if (now - leaver->heard_ms < since)
		since = now - leaver->heard_ms;
	if (is_over(leaver))
		finish(leaver, leaver->what.how);
	else if (leaver->backlog && (since >= service->linger_ms ||
				     since_taken >= (uint64_t)service->linger_ms * MP_HEARD_LIMITS))
		give_up(leaver, since);
	else if (!leaver->backlog && since_taken >= service->end_ms)
		finish(leaver, leaver->what.how);	/* a program that works on for too long */
}

static void look_at_all(struct loop_timer *fired)
{
	uint64_t now = loop_now(fired->loop);
	struct list todo, reached, *link;

	list_init(&todo);
	list_init(&reached);
	list_splice_tail(&leavers, &todo);
	discard_left = DISCARD_BYTES;
	while ((link = list_pop(&todo))) {
		list_add_tail(discard_left ? &reached : &leavers, link);
		look(list_entry(link, struct leaver, link), now);
	}
	list_splice_tail(&reached, &leavers);
	if (!list_is_empty(&leavers))
		loop_timer_start(fired, LOOK_MS);
	else if (when_gone)
		when_gone(when_gone_context);
}

/* --- Calls ------------------------------------------------------------------- */

bool leave_begin(const struct leave *what, const struct mp_place *place)
{
	struct leaver *leaver = calloc(1, sizeof(*leaver));
	uint64_t now = loop_now(what->loop);

	if (!leaver) {
		log_limited_here(LOG_LEVEL_ERROR, "service %s: channel %u.%u: out of memory: "
			    "%llu bytes are dropped", what->name, place->channel,
			    place->generation, (unsigned long long)leave_queued(what->fd));
		return false;
	}
	if (list_is_empty(&leavers)) {
		loop_timer_init(what->loop, &timer, look_at_all);
		loop_timer_start(&timer, LOOK_MS);
	}
	leaver->what = *what;
	leaver->place = *place;
	leaver->backlog = leave_queued(what->fd);
	leaver->taken_ms = leaver->heard_ms = now;
	list_add_tail(&leavers, &leaver->link);
	return true;
}

unsigned int leave_count(void)
{
	unsigned int count = 0;
	struct list *link;

	list_for_each(link, &leavers)
		count++;
	return count;
}

void leave_hurry(void (*gone)(void *context), void *context)
{
	struct list *link;

	list_for_each(link, &leavers) {
		struct leave *what = &list_entry(link, struct leaver, link)->what;

		if (what->has_exited)
			what->how = MP_END_CUT;
	}
	when_gone = gone;
	when_gone_context = context;
	if (list_is_empty(&leavers))
		gone(context);
}

void leave_end(const struct mp_service *service)
{
	struct list *link, *save;

	list_for_each_safe(link, save, &leavers) {
		struct leaver *leaver = list_entry(link, struct leaver, link);

		if (!service || leaver->place.service == service)
			finish(leaver, MP_END_ABORT);
	}
	if (list_is_empty(&leavers) && timer.loop)
		loop_timer_stop(&timer);
	if (!service)
		when_gone = NULL;
}

/* --- Handing over ------------------------------------------------------------ */

#define FRAME_LEAVER	0x4c45
#define NAME_SIZE	256

struct left {
	char name[NAME_SIZE], kind[MP_KIND_SIZE];
	enum mp_end how;
	uint64_t taken_ms, heard_ms;
	struct mp_place place;
};

static void hand_over_left(struct left *left, struct record *record)
{
	record_text(record, left->name, sizeof(left->name));
	record_text(record, left->kind, sizeof(left->kind));
	left->how = record_number(record, left->how, MP_END_CUT);
	record_u64(record, &left->taken_ms);
	record_u64(record, &left->heard_ms);
	record_u32(record, &left->place.uid);
	record_u32(record, &left->place.channel);
	record_u32(record, &left->place.generation);
}

static void save(const struct leave_handover *handover, const struct leaver *leaver,
		 struct record *record)
{
	const struct leave *what = &leaver->what;
	const char *name = handover->name(handover->context, leaver->place.service);
	struct left left = {
		.how = what->how, .taken_ms = leaver->taken_ms, .heard_ms = leaver->heard_ms,
		.place = leaver->place,
	};

	record_begin(record, FRAME_LEAVER);
	snprintf(left.name, sizeof(left.name), "%s", name ? name : "");
	snprintf(left.kind, sizeof(left.kind), "%s", what->kind);
	hand_over_left(&left, record);
	what->save(what->context, what->fd, record);
	record_end(record);
}

/* Its stream is closed once more; then it is kept again, if there is something left. */
static void restore(const struct leave_handover *handover, struct record *record)
{
	struct left left = { .name = "" };
	struct mp_stream *stream;
	struct leaver *leaver;

	hand_over_left(&left, record);
	stream = handover->restore(handover->context, left.name, left.kind, &left.place, record);
	if (!stream)
		return;
	if (!stream->ops->close(stream, left.how, &left.place)) {
		left.place.leave(&left.place);
		return;
	}
	leaver = list_entry(leavers.prev, struct leaver, link);
	leaver->taken_ms = left.taken_ms;
	leaver->heard_ms = left.heard_ms;
}

void leave_hand_over(const struct leave_handover *handover, struct record *record)
{
	struct list *link;

	if (!record_is_reading(record)) {
		list_for_each(link, &leavers)
			save(handover, list_entry(link, struct leaver, link), record);
		return;
	}
	while (record_begin(record, FRAME_LEAVER)) {
		restore(handover, record);
		record_end(record);
	}
}
