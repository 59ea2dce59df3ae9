// SPDX-License-Identifier: MIT
#include "base/log.h"
#include "loop/log_timer.h"
#include "loop/loop.h"

static struct loop_timer timer;

static void tell(struct loop_timer *fired)
{
	(void)fired;
	log_tell_left_out(false);
}

/* If the timer finds no memory, the count comes with the next line of its kind, or at the end. */
static void arm(void *context, uint32_t ms)
{
	loop_timer_start(context, ms);
}

void log_timer_begin(struct loop *loop)
{
	loop_timer_init(loop, &timer, tell);
	log_set_timer(arm, &timer);
}

void log_timer_end(void)
{
	log_set_timer(NULL, NULL);
	loop_timer_stop(&timer);
}
