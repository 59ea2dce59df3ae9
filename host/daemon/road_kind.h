/* SPDX-License-Identifier: MIT */
/* What the kinds of roads have in common. See road.h. */
#ifndef HOST_DAEMON_ROAD_KIND_H
#define HOST_DAEMON_ROAD_KIND_H

#include "base/unix_address.h"
#include "channel/core.h"

struct loop;
struct policy;

enum road_kind {
	ROAD_VSOCK,			/* each connection is a channel [protocol.md 16] */
	ROAD_VSOCK_UNIX,
	ROAD_STREAM,			/* one stream carries all of them [protocol.md 15]: */
	ROAD_STREAM_LISTEN,		/* it comes to a unix socket */
	ROAD_STREAM_STDIO,		/* it is our standard input and output */
};

struct road_config {
	enum road_kind kind;
	const char *path;		/* of the unix socket, if there is one */
	struct unix_access access;	/* of path, where we listen */
	unsigned int port, cid;		/* of vsock: where we listen, and who alone may connect */
	const char *gate;		/* the port whose channels these are; NULL: the first one */
};

/* What a road needs. Loop and policy, and what gate and core name, outlive it. */
struct road_env {
	struct loop *loop;
	struct policy *policy;
	const struct gate *gate;
	const struct core_config *core;
	uint64_t held_max;		/* bytes that the channels of a stream may hold together */
	/* A road that is the only thing to serve has ended, with 0 or -errno. */
	void (*ended)(void *context, int result);
	void *context;
};

struct road {
	const struct road_ops *ops;
	int listener;			/* a unix socket, held for the next process; -1: none */
};

struct road_ops {
	/* No channel is served any more; services still get what they have taken. */
	void (*end)(struct road *road);
	/* After end(), when no stream keeps its place. */
	void (*destroy)(struct road *road);
};

#endif
