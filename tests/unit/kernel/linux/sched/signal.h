/* SPDX-License-Identifier: MIT */
/* Signals: those that the test sends (kernel.h). */
#ifndef STANDIN_SCHED_SIGNAL_H
#define STANDIN_SCHED_SIGNAL_H

#include <linux/sched.h>

bool signal_pending(struct task_struct *task);
bool fatal_signal_pending(struct task_struct *task);
bool signal_pending_state(unsigned int state, struct task_struct *task);

#endif
