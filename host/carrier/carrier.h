/* SPDX-License-Identifier: MIT */
/*
 * The binding of the channel core to a byte stream: each lane of a link is a channel
 * [protocol.md 15]. Frames become calls of the core, and what the core reports becomes what a lane
 * owes.
 *
 * Bytes for a service go to it out of the frame that brought them; what the service does not take
 * at once stays with the lane. Bytes of a service are read into the frame that carries them, in its
 * turn.
 */
#ifndef HOST_CARRIER_CARRIER_H
#define HOST_CARRIER_CARRIER_H

#include "channel/core.h"
#include "link/link.h"

struct carrier {
	struct core core;
	struct gate gate;
	struct link *link;		/* its owner moves the bytes */
	/* The end of each entry: there may be something to send. */
	void (*settled)(struct carrier *carrier);
};

/*
 * @gate and what @config and @env name outlive it. @held_max: bytes that all channels together may
 * hold for services, beyond a small window of each. Returns 0 or -ENOMEM.
 */
int carrier_init(struct carrier *carrier, const struct gate *gate,
		 const struct core_config *config, const struct core_env *env, uint64_t held_max,
		 void (*settled)(struct carrier *carrier));
/* Ends an entry that the owner began, as core_settle(). */
void carrier_settle(struct carrier *carrier);
/* With no session, and no stream left that keeps its place. */
void carrier_exit(struct carrier *carrier);

#endif
