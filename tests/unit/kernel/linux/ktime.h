/* SPDX-License-Identifier: MIT */
/* Time. */
#ifndef STANDIN_KTIME_H
#define STANDIN_KTIME_H

#include <linux/types.h>

typedef s64 ktime_t;

#define NSEC_PER_USEC	1000L
#define ns_to_ktime(ns)	((ktime_t)(ns))

#endif
