/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a direction of a channel is: in, from the service, and out, to it. All of it is guarded by
 * the link's lock.
 *
 *	mp_half		what both have; written by batch.c too, and is_shut by shutdown.c
 *	mp_in		written by fetch.c and in.c, and by the calls in read.c and peek.c; what is
 *			constant (memcg, is_readable) is set at open
 *	mp_out		written by chunk.c and out.c, and by the calls in write.c
 */
#ifndef KMOD_HALF_H
#define KMOD_HALF_H

#include <linux/list.h>
#include <linux/types.h>

#include <manyport/spin.h>

#include "link.h"

struct mp_batch;
struct mp_fetch;

struct mp_half {
	struct mp_link *link;
	bool is_read;			/* constant: in, else out */
	bool is_shut;			/* a process has ended it */
	u8 parts;			/* in: that the next batch should have: learned */
	struct mp_spin spin;
	struct mp_req *shutdown;	/* SHUTDOWN, which is due when @batch is back */
	u64 offset;			/* in: of what came without a gap; out: of what was taken */
	struct mp_batch *batch;		/* on a caller's pages */
	u64 bytes, zero_copy;		/* moved in all; of these on a caller's pages */
};

/*
 * What the device and a process have said of a half; what is on its way does not count.
 *
 * MP_HALF_GONE		The channel is over, or the half's device. Calls give link->error.
 *			Operations: none. CLOSE with ABORT, if the device knows the channel.
 * MP_HALF_IDLE		Not connected: unnamed, being named, refused, or the next generation of
 *			a fixed port is being connected.
 *			Operations: CONNECT. Caveats: chunks of the generation before are gone.
 * MP_HALF_OPEN		Operations: READ or WRITE when the state says so.
 * MP_HALF_ENDED	The service has ended this half, or a process has.
 *			Operations: what was received is read; what was accepted before a
 *			SHUTDOWN is still sent. Caveats: a READ that was on its way may bring bytes.
 * MP_HALF_FAILED	The service has failed; both halves have ended. As MP_HALF_ENDED, and
 *			what is not sent is lost.
 */
enum mp_half_state {
	MP_HALF_GONE,
	MP_HALF_IDLE,
	MP_HALF_OPEN,
	MP_HALF_ENDED,
	MP_HALF_FAILED,
};

static inline enum mp_half_state mp_half_state_locked(const struct mp_half *half)
{
	const struct mp_link *link = half->link;

	if (link->error)
		return MP_HALF_GONE;
	if (link->phase != MP_PHASE_CONNECTED)
		return MP_HALF_IDLE;
	if (link->bits & MP_ST_FAILED)
		return MP_HALF_FAILED;
	if (half->is_shut || (link->bits & (half->is_read ? MP_ST_IN_END : MP_ST_OUT_END)))
		return MP_HALF_ENDED;
	return MP_HALF_OPEN;
}

static inline void mp_half_init(struct mp_half *half, struct mp_link *link, bool is_read)
{
	half->link = link;
	half->is_read = is_read;
	mp_spin_init(&half->spin);
}

void mp_half_shut_locked(struct mp_half *half);
bool mp_half_judge_locked(const struct mp_half *half, const struct mp_req *req,
			  const struct mp_result *answer, u64 first, __poll_t *wake);

struct mp_in {
	struct mp_half half;
	struct mem_cgroup *memcg;	/* the opener's, a reference: pays for interrupts */
	struct list_head fetches;	/* filled ones, then those at the device */
	unsigned int busy;		/* of these at the device */
	unsigned int full;		/* of these filled */
	u32 ready;			/* unread bytes in them: all that are here */
	u32 size;			/* bytes that the next should have: learned */
	u8 depth;			/* how many there should be: learned */
	/* These are also read, or written, without the lock: no bits. */
	bool is_readable;		/* the file may be read from; constant */
	bool turn;			/* bytes were read since the last write */
	bool is_polled;			/* IN makes the driver fetch [protocol.md 7.4] */
	bool is_stopped : 1;		/* one came back short: wait for the others */
	bool fetch_failed : 1;		/* there was no memory for one */
	bool is_small : 1;		/* a READ found no memory on its way: a page at most */
	bool is_failed : 1;		/* a page found none either: for a reader that waits */
	bool retry : 1;			/* a parked READ came back with nothing: ask again */
	bool copying : 1;		/* a reader copies from a fetch, unlocked */
	bool forget : 1;		/* when that copy ends, what was fetched is dropped */
	bool end_owed : 1;		/* fixed port: no reader was told the last end */
	unsigned int waiters;		/* calls that sleep for bytes */
	unsigned int large;		/* calls that want them in their own pages */
	struct mp_fetch *spare;		/* one that was read, for the next READ */
};

struct mp_out {
	struct mp_half half;
	struct list_head chunks;	/* in order of offset */
	u32 bytes;			/* in chunks, not taken by the service yet */
	size_t memory;			/* what chunks cost */
	unsigned int sent;		/* chunks at the device */
	bool is_stopped;		/* one came back short: wait for the others */
	bool wanted;			/* a caller found no room */
	bool is_told;			/* a write has given the end behind which they are lost */
	int error;			/* of bytes taken early, to be reported once */
	u32 generation;			/* of the write under way: it never goes on in another */
};

#endif
