/* SPDX-License-Identifier: MIT */
/*
 * The binding of the channel core to connections: each connection of a guest is a channel
 * [protocol.md 16]. It says its name, gets an answer, and from then on its bytes are the
 * channel's.
 *
 * Bytes go from one socket through one buffer of the binding into the other. What a socket does not
 * take at once is kept with its connection, and nothing more is read for it until then: the flow
 * control of the one is that of the other.
 */
#ifndef HOST_CONNECTION_CONNECTION_H
#define HOST_CONNECTION_CONNECTION_H

#include "channel/core.h"
#include "loop/loop.h"

struct connections {
	struct core core;
	struct loop *loop;
	struct gate gate;
	struct list all;
	unsigned int unnamed;
	uint32_t made;
};

/* @gate, the loop and what @config and @env name outlive it. */
void connections_init(struct connections *all, struct loop *loop, const struct gate *gate,
		      const struct core_config *config, const struct core_env *env);
/* Each channel is cut; what services have taken still reaches them. */
void connections_end(struct connections *all);
/* After connections_end(), and with no stream left that keeps its place. */
void connections_exit(struct connections *all);

/*
 * A guest has connected: takes @fd, which is non-blocking. Returns false, and has closed it, when
 * too many connections have not named, or there is no memory.
 */
bool connection_begin(struct connections *all, int fd);

#endif
