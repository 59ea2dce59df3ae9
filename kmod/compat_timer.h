/* SPDX-License-Identifier: GPL-2.0-only */
/* As compat.h: what differs between kernels of timers. */
#ifndef KMOD_COMPAT_TIMER_H
#define KMOD_COMPAT_TIMER_H

#include <linux/hrtimer.h>

static inline void mp_hrtimer_setup(struct hrtimer *timer,
				    enum hrtimer_restart (*function)(struct hrtimer *),
				    clockid_t clock, enum hrtimer_mode mode)
{
#ifdef HAVE_HRTIMER_SETUP
	hrtimer_setup(timer, function, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = function;
#endif
}

#endif
