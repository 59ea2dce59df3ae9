/* SPDX-License-Identifier: MIT */
/* Priorities: lower ones are of real-time processes. */
#ifndef STANDIN_SCHED_PRIO_H
#define STANDIN_SCHED_PRIO_H

#define MAX_RT_PRIO	100
#define DEFAULT_PRIO	120

#endif
