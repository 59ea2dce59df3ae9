/* SPDX-License-Identifier: MIT */
/* What is left of channels (service/leave.h) from one program to the next, with its places. */
#ifndef HOST_DAEMON_LEFT_H
#define HOST_DAEMON_LEFT_H

struct core;
struct former;
struct policy;
struct record;

/* Outlives all that is left. */
struct left {
	struct policy *policy;
	struct former *former;
	struct core *core;		/* where the places count */
};

/* Writes, or reads, all of it. */
void left_hand_over(struct left *left, struct record *record);

#endif
