/* SPDX-License-Identifier: MIT */
/*
 * The virtqueue binding of the channel core: the device itself. What its files share is here; each
 * of them includes and calls only files above it in this list, and tests/static/test-layers proves
 * it. Where a file has no header of its own, message.h, classic.h or control.h says what it offers:
 *
 *	kept		what a daemon that takes over must know
 *	state, map	the device; chain -> checked iovecs: the only door to guest memory
 *	queue		fair, bounded serving of rings; publishing
 *	port		slots, event buffers, control messages that are due
 *	slot, message	a channel of the port, its numbered state; a request as it came
 *	answer, park	results and events; READs that wait
 *	bytes, request	READ and WRITE; take, check, act, answer
 *	classic, classic_ring	a port under a driver without MULTI_OPEN
 *	life		the end of a port, of a life
 *	control, fuse	messages of the control queues; a virtio-fs device before HELLO
 *	device		what the owner calls; which of these a chain is for; the end of each entry
 *
 * Each entry, device_*() or a call of the core, ends in settle() in device.c, which sends what is
 * due: control messages, events, used entries, calls. So no code inside publishes or calls, and
 * order is the order of giving.
 */
#ifndef HOST_DEVICE_STATE_H
#define HOST_DEVICE_STATE_H

#include <manyport/wire_check.h>

#include "channel/core.h"
#include "device/config.h"
#include "device/kept.h"
#include "ring/ring.h"

/* In device->kept->life. */
enum device_life {
	/*
	 * No driver yet, or it said BYE, or answered HELLO wrongly: our ports stay absent
	 * [protocol.md 3.1].
	 */
	LIFE_NONE,
	LIFE_CLASSIC,		/* DEVICE_READY without MULTI_OPEN */
	LIFE_HELLO_DUE,		/* our HELLO waits for a buffer */
	LIFE_HELLO,		/* our HELLO waits for its answer */
	LIFE_MULTI,		/* confirmed */
};

/* A range may cross from one memory region to the next, in one segment each. */
#define CHAIN_IOVS (RING_MAX_SEGMENTS + MEM_MAX_REGIONS)

/* A chain that is being handled, and a description of its memory; valid in one entry. */
struct scratch {
	struct ring_chain chain;
	struct iovec iov[CHAIN_IOVS];
};

struct port;
struct queue;

struct device {
	struct core core;
	struct device_config config;
	struct device_env env;
	uint64_t features;
	unsigned int port_count, queue_count;
	struct port **ports;		/* by id; NULL: not used */
	struct queue *queues;
	struct device_kept *kept;	/* life, version and more */
	struct device_kept own_kept;	/* where its owner has no place for that */
	bool is_broken, is_down;	/* is_down: and what it held has been let go */
	bool goes_on;			/* with the channels of the program before this one */
	uint16_t say;			/* HELLO or BYE, as enum mp_control_event, or 0 */
	struct list due;		/* ports with control messages */
	struct list dirty;		/* queues to publish */
	struct list warm;		/* queues without kicks, that device_look() looks at */
	uint64_t moved_before;		/* payload bytes, at the begin of the pass */
	struct log_limit missing;
	struct device_stats stats;	/* the core counts its own */
	/* A chain of a receive queue may be handled inside one of transmit [protocol.md 8.2]. */
	struct scratch rx_scratch, tx_scratch;
};

static inline bool device_has_feature(const struct device *device, unsigned int bit)
{
	return device->features >> bit & 1;
}

/* May the chains of @device be FUSE requests [protocol.md 11.7]? */
static inline bool device_is_fuse(const struct device *device)
{
	return device->config.binding == DEVICE_FS && device->kept->life != LIFE_MULTI;
}

/* The driver broke a rule that costs it the device [protocol.md 10.7]. */
void state_break(struct device *device, const char *why);

#endif
