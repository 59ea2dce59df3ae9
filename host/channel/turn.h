/* SPDX-License-Identifier: MIT */
/* How long an entry may work before the others of the loop get their turn; see turn.c. */
#ifndef HOST_CHANNEL_TURN_H
#define HOST_CHANNEL_TURN_H

#include <stdbool.h>
#include <stdint.h>

struct turn {
	uint64_t (*clock_us)(void *context);
	void *context;
	uint64_t end_us;		/* 0: the clock was not looked at yet */
	unsigned int chains;		/* since the last look at it */
	bool is_over;
};

void turn_begin(struct turn *turn);
/* Is it time for others to work? To be asked for each chain, or for what costs as much. */
bool turn_is_over(struct turn *turn);
/* What is called now may take long. */
void turn_expect_delay(struct turn *turn);

#endif
