/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A channel: one open, made of a link, a naming, an in half and an out half; and the state that
 * follows from them.
 */
#ifndef KMOD_STATE_H
#define KMOD_STATE_H

#include <linux/container_of.h>
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include <manyport/ioctl.h>

#include "half.h"
#include "link.h"
#include "naming.h"
#include "req.h"

/* Fixed port: how far the process knows of the end of a generation; written by reconnect.[ch]. */
struct mp_end {
	bool asked;			/* a call asks for the next: it comes when nothing is out */
	bool told;			/* a read has returned 0 */
	bool told_writer;		/* a write has returned EAGAIN */
	bool told_poller;		/* a poll for bytes has said HUP */
	u8 polls;			/* that have said HUP */
	bool is_read;			/* a call has looked for bytes */
	u32 lost;			/* bytes that were taken behind the end */
};

/* Made and freed by channel.c. */
struct mp_channel {
	struct mp_link link;
	union {
		struct mutex read_mutex;	/* one call moves bytes to a process */
		struct work_struct free_work;	/* no call is left */
	};
	struct mutex write_mutex;	/* one write at a time, so that none interleave */
	struct fasync_struct *fasync;

	/* Guarded by link.lock from here on. */
	__poll_t contended;		/* a call that may not wait found the mutex taken */
	struct mp_end end;		/* fixed port: of this generation */
	struct mp_naming naming;
	struct mp_in in;
	struct mp_out out;

	struct mp_req urgent_req;	/* last, since its alignment would leave a hole */
};

static inline struct mp_channel *mp_channel_of(struct mp_link *link)
{
	return container_of(link, struct mp_channel, link);
}

/*
 * What state a channel is in: the table of [protocol.md 4.7], computed from its parts.
 *
 * MP_CH_UNNAMED	Operations: name. Caveats: the slot is taken, the device knows nothing.
 * MP_CH_CONNECTING	Operations: the naming call. Caveats: on a fixed port whose service was
 *			there before, reads meet the end of the last generation.
 * MP_CH_ANSWERED	Operations: the naming call, which collects the answer; all others find
 *			the channel unnamed. Caveats: bytes may have come already, or the end.
 * MP_CH_CONNECTED	Operations: all.
 * MP_CH_REFUSED	Operations: name again. Caveats: a write gives the reason, and is no
 *			name.
 * MP_CH_ENDED		Both halves have ended, here or there. Operations: what was received is
 *			read. Caveats: on a fixed port the next generation follows (reconnect.c).
 * MP_CH_FAILED		As MP_CH_ENDED; the service did not end by itself.
 * MP_CH_ABORTED	A holder gave the channel up. Operations: close.
 * MP_CH_CLOSING	The file is gone. Operations: CLOSE, and the wait for CLOSED.
 * MP_CH_GONE		The channel is over for another reason than the service. Operations: close.
 */
enum mp_channel_state {
	MP_CH_UNNAMED = MANYPORT_UNNAMED,
	MP_CH_CONNECTING = MANYPORT_CONNECTING,
	MP_CH_CONNECTED = MANYPORT_CONNECTED,
	MP_CH_REFUSED = MANYPORT_REFUSED,
	MP_CH_ENDED = MANYPORT_ENDED,
	MP_CH_FAILED = MANYPORT_FAILED,
	MP_CH_GONE = MANYPORT_GONE,
	MP_CH_ABORTED = MANYPORT_ABORTED,
	MP_CH_ANSWERED,			/* this and the next no process sees */
	MP_CH_CLOSING,
};

bool mp_channel_is_idle_locked(const struct mp_channel *ch);
enum mp_channel_state mp_channel_state_locked(const struct mp_channel *ch);

#endif
