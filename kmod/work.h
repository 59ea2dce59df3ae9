/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KMOD_WORK_H
#define KMOD_WORK_H

#include <linux/workqueue.h>

/* What may not be done in interrupts; its items run at the same time. */
extern struct workqueue_struct *mp_workqueue;

#endif
