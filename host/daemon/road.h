/* SPDX-License-Identifier: MIT */
/*
 * A road to the guest beside its device: a socket where each connection is a channel
 * [protocol.md 16]. A guest may have several; policy and limits are the guest's, on all of them.
 */
#ifndef HOST_DAEMON_ROAD_H
#define HOST_DAEMON_ROAD_H

#include "base/unix_address.h"
#include "channel/core.h"

struct loop;
struct policy;
struct road;

struct road_config {
	const char *path;		/* a unix socket; NULL: vsock */
	struct unix_access access;	/* of path */
	unsigned int port, cid;		/* of vsock: where we listen, and who alone may connect */
	const char *gate;		/* the port whose channels these are; NULL: the first one */
};

/*
 * Reads "PORT,cid=N[,port=NAME]" or "PATH[,mode=M][,owner=U][,group=G][,port=NAME]", which is cut
 * into parts. Returns NULL, or what is wrong with it, in words.
 */
const char *road_parse_vsock(struct road_config *road, char *text);
const char *road_parse_unix(struct road_config *road, char *text);

/* Listens. @gate and what @core and @policy name outlive it. NULL with errno set. */
struct road *road_open(const struct road_config *config, struct loop *loop,
		       struct policy *policy, const struct gate *gate,
		       const struct core_config *core);
/* No connection is served any more; services still get what they have taken. */
void road_end(struct road *road);
/* After road_end(), when no stream keeps its place. */
void road_destroy(struct road *road);

#endif
