/* SPDX-License-Identifier: MIT */
/* Time: each look at the clock takes some. */
#ifndef STANDIN_SCHED_CLOCK_H
#define STANDIN_SCHED_CLOCK_H

#include <linux/types.h>

u64 local_clock(void);

#endif
