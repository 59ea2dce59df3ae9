/* SPDX-License-Identifier: MIT */
/*
 * What a channel core needs of its owner (core.h): time, turns and limits of the loop, and the
 * guest's policy. Each road to a guest has a core of its own, and so an owner; the policy, and with
 * it every limit, is the guest's.
 */
#ifndef HOST_DAEMON_OWNER_H
#define HOST_DAEMON_OWNER_H

#include "channel/core.h"
#include "daemon/former.h"
#include "daemon/policy.h"
#include "loop/loop.h"

struct owner {
	struct loop *loop;
	struct policy *policy;
	struct former *former;		/* NULL: no stream is restored here */
	struct core *core;		/* NULL: not made yet */
	/* After an entry that the loop began; may be NULL. */
	void (*entered)(struct owner *owner);
	struct loop_task run;
	struct loop_timer tick;
	const char *guest;		/* for the log */
};

/* What it is given outlives it. */
void owner_init(struct owner *owner, struct loop *loop, struct policy *policy, const char *guest);
/* The core is no longer called. Idempotent. */
void owner_stop(struct owner *owner);

/* The surroundings of a core; the context of each call is @owner. */
struct core_env owner_env(struct owner *owner);

#endif
