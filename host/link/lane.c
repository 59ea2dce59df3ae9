// SPDX-License-Identifier: MIT
/* See lane.h. */
#include "link/lane.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "link/frame.h"

#define HELD_MIN 1024U

static uint64_t passed_on(const struct lane *lane)
{
	return lane->in.expected - lane->held_len;
}

/* What the lane has of the pool. */
static uint64_t charge(const struct lane *lane, const struct lane_pool *pool)
{
	uint64_t open = lane->in.granted - passed_on(lane);

	return open > pool->base ? open - pool->base : 0;
}

/*
 * The window that the pool has for it: beyond the base, a lane has at most as much as is then left
 * for the others, since what is granted cannot be taken back.
 */
static uint32_t window_of(const struct lane *lane, const struct lane_pool *pool)
{
	uint64_t others = pool->sum - charge(lane, pool);
	uint64_t most = pool->base + (pool->max > others ? (pool->max - others) / 2 : 0);

	return lane->window < most ? lane->window : most;
}

/* Owes a GRANT once half of the window is used. */
static void look_at_window(struct lane *lane, const struct lane_pool *pool)
{
	uint32_t window = window_of(lane, pool);
	uint64_t target = passed_on(lane) + window;

	if (target > lane->in.granted && target - lane->in.granted >= (window + 1) / 2 &&
	    lane->takes != LANE_NOTHING)
		lane->owed |= LANE_GRANT;
}

void lane_init(struct lane *lane, const struct lane_pool *pool, uint32_t peer_window)
{
	*lane = (struct lane){
		.out.granted = peer_window,
		.in.granted = pool->base,
		.window = pool->base,
	};
	list_init(&lane->turn);
}

void lane_end(struct lane *lane, struct lane_pool *pool)
{
	list_del(&lane->turn);
	pool->sum -= charge(lane, pool);
	free(lane->held);
	lane->held = NULL;
	lane->held_len = 0;
	lane->in.granted = lane->in.expected;
}

uint32_t lane_room(const struct lane *lane)
{
	uint64_t room = lane->out.granted - lane->out.offset;

	return room < MP_FRAME_BODY ? room : MP_FRAME_BODY;
}

bool lane_says(const struct lane *lane, unsigned int owed)
{
	if (!(lane->owed & owed))
		return false;
	if (owed == LANE_DATA)
		return lane_room(lane);
	/* An end stands behind the last byte. */
	return !(owed & (LANE_SHUTDOWN | LANE_CLOSE)) || !(lane->owed & LANE_DATA);
}

bool lane_granted(struct lane *lane, uint64_t granted)
{
	if (granted <= lane->out.granted)
		return false;
	lane->out.granted = granted;
	return true;
}

bool lane_may_come(const struct lane *lane, uint64_t offset, uint32_t len)
{
	return lane->takes != LANE_NOTHING && offset == lane->in.expected &&
	       len <= lane->in.granted - lane->in.expected;
}

/* Moves what is held into memory of @size, which has room for it. */
static bool resize(struct lane *lane, uint32_t size)
{
	char *held = malloc(size);

	if (!held)
		return false;
	if (lane->held_len)
		memcpy(held, lane->held + lane->held_at, lane->held_len);
	free(lane->held);
	lane->held = held;
	lane->held_at = 0;
	lane->held_size = size;
	return true;
}

/* Room for @len more behind what is held. Bounded by what was granted, so by the largest window. */
static bool make_room(struct lane *lane, uint32_t len)
{
	uint32_t need = lane->held_len + len, size = HELD_MIN;

	if (lane->held_at + need <= lane->held_size)
		return true;
	if (need <= lane->held_size) {
		memmove(lane->held, lane->held + lane->held_at, lane->held_len);
		lane->held_at = 0;
		return true;
	}
	while (size < need)
		size *= 2;
	return resize(lane, size);
}

bool lane_came(struct lane *lane, struct lane_pool *pool, const char *bytes, uint32_t len,
	       uint32_t taken)
{
	uint64_t before = charge(lane, pool);
	uint32_t rest = len - taken;
	bool is_kept;

	assert(taken <= len && (!taken || !lane->held_len));
	is_kept = lane->takes == LANE_DROPS || !rest || make_room(lane, rest);
	lane->in.expected += len;
	if (lane->takes != LANE_DROPS && is_kept && rest) {
		memcpy(lane->held + lane->held_at + lane->held_len, bytes + taken, rest);
		lane->held_len += rest;
	}
	pool->sum += charge(lane, pool) - before;
	look_at_window(lane, pool);
	return is_kept;
}

const char *lane_held(const struct lane *lane, uint32_t *len)
{
	*len = lane->held_len;
	return lane->held_len ? lane->held + lane->held_at : NULL;
}

/* What is held counts in the pool: memory follows it. Without memory it stays. */
static void shrink(struct lane *lane)
{
	uint32_t size = lane->held_size;

	while (lane->held_len <= size / 4 && size > HELD_MIN)
		size /= 2;
	if (size != lane->held_size)
		resize(lane, size);
}

void lane_took(struct lane *lane, struct lane_pool *pool, uint32_t len)
{
	uint64_t before = charge(lane, pool);

	assert(len <= lane->held_len);
	lane->held_at += len;
	lane->held_len -= len;
	if (!lane->held_len) {
		free(lane->held);
		lane->held = NULL;
		lane->held_at = 0;
		lane->held_size = 0;
	} else {
		shrink(lane);
	}
	pool->sum += charge(lane, pool) - before;
	look_at_window(lane, pool);
}

/* The sender has used half of its window, and the consumer has taken all of it: both keep up. */
static void grow(struct lane *lane)
{
	if (lane->held_len)
		return;
	lane->window = lane->window * 2 < LANE_WINDOW_MAX ? lane->window * 2 : LANE_WINDOW_MAX;
}

uint64_t lane_grant(struct lane *lane, struct lane_pool *pool)
{
	uint64_t before = charge(lane, pool), target;

	grow(lane);
	target = passed_on(lane) + window_of(lane, pool);
	if (target > lane->in.granted)
		lane->in.granted = target;
	lane->owed &= ~LANE_GRANT;
	pool->sum += charge(lane, pool) - before;
	return lane->in.granted;
}
