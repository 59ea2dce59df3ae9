/* SPDX-License-Identifier: MIT */
/*
 * A channel's share of a link: offsets, grants, what is owed, what the consumer has not taken. The
 * same at both ends [protocol.md 15.5]. Nothing here knows a session; link.c does.
 *
 * Invariants: out.offset <= out.granted; passed on <= in.expected <= in.granted, and held bytes are
 * what lies between the first two, in memory of at most four times their size, or 1 KiB. The pool's
 * sum is that of charge() over its lanes.
 */
#ifndef HOST_LINK_LANE_H
#define HOST_LINK_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define LANE_WINDOW_MAX		(128U << 10)

/* What a lane owes. link.c has the order of its frames in a turn. */
enum lane_owed {
	LANE_CONNECT	= 1 << 0,
	LANE_GRANT	= 1 << 1,	/* by lane.c only */
	LANE_STATE	= 1 << 2,
	LANE_DATA	= 1 << 3,	/* the producer may have bytes */
	LANE_SHUTDOWN	= 1 << 4,
	LANE_CLOSE	= 1 << 5,
	LANE_LEAVE	= 1 << 6,	/* CLOSE before the last DATA; behind that LANE_CLOSE */
};

/* What DATA for it means. */
enum lane_takes {
	LANE_NOTHING,			/* it breaks a rule: not connected, or behind an end */
	LANE_BYTES,
	LANE_DROPS,			/* it is counted and dropped */
};

/* What all lanes of a link share. */
struct lane_pool {
	uint32_t base;			/* window of the SYNC: outside of the bound */
	uint64_t max, sum;		/* bytes granted beyond it, and not passed on */
};

struct lane {
	struct list turn;		/* in the link's, while it has something to say */
	uint32_t slot, generation;
	struct { uint64_t offset, granted; } out;
	struct { uint64_t expected, granted; } in;
	char *held;			/* NULL: none */
	uint32_t held_at, held_len, held_size;
	uint32_t window;		/* bytes beyond what was passed on, if the pool has them */
	uint8_t owed;			/* enum lane_owed */
	uint8_t takes;			/* enum lane_takes */
};

/* @peer_window: of the peer's SYNC. */
void lane_init(struct lane *lane, const struct lane_pool *pool, uint32_t peer_window);
/* What it holds and was granted is given back. */
void lane_end(struct lane *lane, struct lane_pool *pool);

/* May it say @owed now? DATA only below the grant of the peer, an end only behind DATA. */
bool lane_says(const struct lane *lane, unsigned int owed);
/* How many bytes it may send in one frame. */
uint32_t lane_room(const struct lane *lane);
/* The peer grants. True where that is news. */
bool lane_granted(struct lane *lane, uint64_t granted);

/* May @len bytes of DATA come at @offset? */
bool lane_may_come(const struct lane *lane, uint64_t offset, uint32_t len);
/* @len bytes came, of which the consumer took the first @taken. */
bool lane_came(struct lane *lane, struct lane_pool *pool, const char *bytes, uint32_t len,
	       uint32_t taken);
/* Held bytes, oldest first; *len 0: none. */
const char *lane_held(const struct lane *lane, uint32_t *len);
/* The consumer took that many of them. */
void lane_took(struct lane *lane, struct lane_pool *pool, uint32_t len);
/* The offset for a GRANT now, which it counts as granted. */
uint64_t lane_grant(struct lane *lane, struct lane_pool *pool);

#endif
