/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether the device answers one virtqueue. All of it is guarded by the lock of that queue. */
#ifndef KMOD_SILENCE_H
#define KMOD_SILENCE_H

#include <linux/types.h>
#include <linux/workqueue.h>

extern uint mp_answer_timeout;		/* parameter: seconds */

struct mp_silence {
	struct delayed_work work;	/* the pair's: a look */
	bool is_watched;		/* that is queued, or runs */
	bool is_silent;
	unsigned int answers, answers_seen; /* in all; at the last look */
	unsigned int looks;		/* in a row that found no more */
};

void mp_silence_reset(struct mp_silence *silence);
void mp_silence_watch(struct mp_silence *silence);
bool mp_silence_look(struct mp_silence *silence, bool is_waiting);

#endif
