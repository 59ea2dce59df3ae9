// SPDX-License-Identifier: MIT
/*
 * How long an entry may work before the others of the loop get their turn.
 *
 * Chains and bytes bound what a queue may take at once where each of them costs little. TURN_US
 * bounds the rest: services that take their time to be opened (a program is started), or many
 * requests that move nothing. An entry that finds its turn over leaves the rest on the work list,
 * which core_run() goes on with in the next round of the loop. What has begun is finished, so a
 * turn is longer than its limit by the last call at most.
 *
 * To look at the clock costs as much as a small request. So the turn looks once in LOOK_CHAINS
 * chains, and before and after what may take long; a round trip of a channel never looks.
 */
#include "channel/turn.h"

#define TURN_US	    1000
#define LOOK_CHAINS 8

void turn_begin(struct turn *turn)
{
	turn->end_us = 0;
	turn->chains = 0;
	turn->is_over = false;
}

static uint64_t look(struct turn *turn)
{
	uint64_t now = turn->clock_us(turn->context);

	turn->chains = 0;
	if (!turn->end_us)
		turn->end_us = now + TURN_US;
	return now;
}

void turn_expect_delay(struct turn *turn)
{
	if (!turn->end_us)
		look(turn);
	turn->chains = LOOK_CHAINS;
}

bool turn_is_over(struct turn *turn)
{
	if (!turn->is_over && ++turn->chains >= LOOK_CHAINS)
		turn->is_over = look(turn) >= turn->end_us;
	return turn->is_over;
}
