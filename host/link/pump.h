/* SPDX-License-Identifier: MIT */
/*
 * Moves the bytes of a link between it and the descriptors of a stream, and brings it the time.
 *
 * Upward calls of the link come out of pump_start(), pump_stop() and what the loop calls here; of
 * pump_flush() come only those that ask for frames. So what the link's owner does with channels
 * ends with pump_flush(), outside of any upward call.
 */
#ifndef HOST_LINK_PUMP_H
#define HOST_LINK_PUMP_H

#include "link/link.h"
#include "loop/loop.h"

struct pump {
	struct loop *loop;
	struct link *link;
	/* Each entry that the loop began ends with it; it ends with pump_flush() in its turn. */
	void (*settle)(struct pump *pump);
	/* The stream has ended, or failed with @error (positive). The owner calls pump_stop(). */
	void (*gone)(struct pump *pump, int error);
	int in, out;			/* -1: there is no stream */
	struct loop_watch read, write;	/* one of them, if both are one descriptor */
	struct loop_task failed;
	struct loop_timer due;
	uint64_t due_at;		/* for that deadline, in ms, or a later one */
	bool has_ends;			/* false: a port, whose reads give 0 without a host */
	bool is_away;
	bool is_full;			/* an event will tell when it takes bytes again */
	int error;			/* that a write met; 0: none */
};

void pump_init(struct pump *pump, struct loop *loop, struct link *link,
	       void (*settle)(struct pump *pump), void (*gone)(struct pump *pump, int error));
/*
 * A stream begins: non-blocking descriptors, which stay the owner's, and may be the same one.
 * @has_ends: see above. Returns 0 or -errno.
 */
int pump_start(struct pump *pump, int in, int out, bool has_ends);
/* The stream is gone, and with it the session. Idempotent. */
void pump_stop(struct pump *pump);
/* Sends what there is to send, as far as the stream takes it. */
void pump_flush(struct pump *pump);

#endif
