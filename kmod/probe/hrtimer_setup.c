// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hrtimer.h>

void (*probe)(struct hrtimer *, enum hrtimer_restart (*)(struct hrtimer *), clockid_t,
	      enum hrtimer_mode) = hrtimer_setup;
