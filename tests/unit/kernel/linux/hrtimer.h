/* SPDX-License-Identifier: MIT */
/* Timers end when the test says so (kernel.h). */
#ifndef STANDIN_HRTIMER_H
#define STANDIN_HRTIMER_H

#include <time.h>

#include <linux/ktime.h>
#include <linux/list.h>

enum hrtimer_restart { HRTIMER_NORESTART, HRTIMER_RESTART };
enum hrtimer_mode { HRTIMER_MODE_REL_SOFT };

struct hrtimer {
	enum hrtimer_restart (*function)(struct hrtimer *timer);
	bool is_armed;
	struct list_head node;
};

void hrtimer_init(struct hrtimer *timer, clockid_t clock, enum hrtimer_mode mode);
void hrtimer_start(struct hrtimer *timer, ktime_t time, enum hrtimer_mode mode);
int hrtimer_cancel(struct hrtimer *timer);

#endif
