/* SPDX-License-Identifier: MIT */
/* Is the processor the caller's alone? As the test says (kernel.h). */
#ifndef STANDIN_SCHED_STAT_H
#define STANDIN_SCHED_STAT_H

#include <linux/types.h>

bool single_task_running(void);

#endif
