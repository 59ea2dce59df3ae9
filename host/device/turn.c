// SPDX-License-Identifier: MIT
/*
 * How long an entry may work before the others of the loop get their turn.
 *
 * Chains and bytes bound what a queue may take at once where each of them costs little. TURN_US
 * bounds the rest: services that take their time to be opened (a program is started), or many
 * requests that move nothing. Whoever finds its turn over leaves the rest to device_run(), which
 * comes with the next round of the loop. What has begun is finished, so a turn is longer than its
 * limit by the last call at most.
 *
 * To look at the clock costs as much as a small request. So it is looked at once in LOOK_CHAINS
 * chains, and before and after what may take long; a round trip of a channel never looks.
 */
#include "device/internal.h"

#define TURN_US	    1000
#define LOOK_CHAINS 8

void turn_begin(struct device *device)
{
	device->turn = (struct turn){ 0 };
}

static uint64_t look(struct device *device)
{
	uint64_t now = device->env.clock_us(device->env.context);

	device->turn.chains = 0;
	if (!device->turn.end_us)
		device->turn.end_us = now + TURN_US;
	return now;
}

void turn_expect_delay(struct device *device)
{
	if (!device->turn.end_us)
		look(device);
	device->turn.chains = LOOK_CHAINS;
}

bool turn_is_over(struct device *device)
{
	struct turn *turn = &device->turn;

	if (!turn->is_over && ++turn->chains >= LOOK_CHAINS)
		turn->is_over = look(device) >= turn->end_us;
	return turn->is_over;
}
