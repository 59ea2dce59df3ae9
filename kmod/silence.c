// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does the device answer [protocol.md 10.10]? See silence.h.
 *
 * Looks are counted, not time: a guest that its host stops for a while finds none after that.
 */
#include <linux/minmax.h>
#include <linux/module.h>

#include "silence.h"
#include "work.h"

uint mp_answer_timeout = 60;
module_param_named(answer_timeout, mp_answer_timeout, uint, 0644);
MODULE_PARM_DESC(answer_timeout, "seconds that calls wait for a silent host; 0: for ever (60)");

#define MP_LOOKS	4	/* in that time at least */

/* In jiffies; a day at most. */
static unsigned int answer_limit(void)
{
	return min(READ_ONCE(mp_answer_timeout), 86400U) * HZ;
}

/* Between two looks: at most a second, so that another limit holds at once. */
static unsigned int look_interval(unsigned int limit)
{
	return min_t(unsigned int, limit / MP_LOOKS, HZ);
}

static void watch(struct mp_silence *silence, unsigned int limit, bool is_waiting)
{
	silence->is_watched = limit && is_waiting;
	if (silence->is_watched)
		queue_delayed_work(mp_workqueue, &silence->work, look_interval(limit));
}

/* A queue's life begins. */
void mp_silence_reset(struct mp_silence *silence)
{
	silence->is_watched = false;
	silence->is_silent = false;
}

/* Requests are out, which the device answers at once: a look is due. None was. */
void mp_silence_watch(struct mp_silence *silence)
{
	silence->answers_seen = silence->answers;
	silence->looks = 0;
	watch(silence, answer_limit(), true);
}

/*
 * What is there has been handled; @is_waiting: requests are out still. Returns true when the device
 * has answered nothing for the limit.
 */
bool mp_silence_look(struct mp_silence *silence, bool is_waiting)
{
	unsigned int limit = answer_limit();

	silence->looks = silence->answers == silence->answers_seen ? silence->looks + 1 : 0;
	silence->answers_seen = silence->answers;
	watch(silence, limit, is_waiting);
	return silence->is_watched && silence->looks >= limit / look_interval(limit);
}
