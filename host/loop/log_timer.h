/* SPDX-License-Identifier: MIT */
/* The log's timer, in a loop: when a burst of lines is over, how many were left out is logged. */
#ifndef HOST_LOOP_LOG_TIMER_H
#define HOST_LOOP_LOG_TIMER_H

struct loop;

/* At most one loop at a time, as there is one log. */
void log_timer_begin(struct loop *loop);
/* The loop is still there. Idempotent. */
void log_timer_end(void);

#endif
