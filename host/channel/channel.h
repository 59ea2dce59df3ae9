/* SPDX-License-Identifier: MIT */
/*
 * A channel: one open of the guest, and its stream of a service. The record, its phases, its level
 * state, its memory (channel.c), and what is done with it: it begins (connect.c), moves bytes
 * (transfer.c) and ends (close.c), each of which calls those behind it in this order only.
 *
 * A channel belongs to a binding, which embeds it and gives it calls:
 *
 *	channel_init	  a record; no service yet
 *	connect_begin	  to the service of a name, or of the gate; the outcome is in the phase
 *	transfer_read	  bytes into iovecs that are valid for the call
 *	transfer_write	  bytes out of them
 *	close_shut	  one direction, or both
 *	close_begin	  the end; what the service has not got yet still arrives
 *	close_abort	  the same, at once
 *	channel_leave	  the guest is gone: the end, without the guest
 *	channel_drop	  the binding lets go of the record, at any time
 *
 * The way back is one call, changed(): the channel's state is another one, and not by a call of the
 * binding. What a binding makes of it (results, events, messages, credit) is its own affair.
 */
#ifndef HOST_CHANNEL_CHANNEL_H
#define HOST_CHANNEL_CHANNEL_H

#include "channel/core.h"
#include "channel/stream.h"

/*
 * [protocol.md 4.2]; free is: there is no record. Each edge is asserted in channel_become().
 *
 * CHANNEL_CONNECTING:
 *	The way to the service: a stream that is under way, or (fixed gate) none and a retry timer.
 *	Operations:
 *	- a refusal, by limit, policy, service, or time: REFUSED; at a fixed gate another try
 *	- connected() of the stream: CONNECTED
 *	- close_begin(), close_abort(): CLOSED, since no service holds anything of it
 *	Caveats:
 *	- readable() may come before connected(): IN is set from the start then
 *
 * CHANNEL_REFUSED:
 *	No stream and no place in the limits; cause says why.
 *	Operations:
 *	- connect_begin(), another try: CONNECTING
 *	- close_begin(), close_abort(): CLOSED
 *
 * CHANNEL_CONNECTED:
 *	A stream. Bytes move both ways.
 *	Operations:
 *	- transfer_read(), transfer_write(), close_shut()
 *	- close_fail(), when the stream breaks: FAILED
 *	- close_begin(): CLOSING; with nothing left to wait for CLOSED
 *	- close_abort(): CLOSED
 *
 * CHANNEL_FAILED:
 *	No stream; still has its place in the limits, until the guest closes.
 *	Operations:
 *	- close_begin(), close_abort(): CLOSED
 *
 * CHANNEL_CLOSING:
 *	A stream, which still gets what is on its way, and whose bytes are thrown away.
 *	Operations:
 *	- transfer_write() up to the final offset
 *	- the end of the service, a limit, a failure, close_abort(): CLOSED
 *	Caveats:
 *	- IN and its end stay as they were: what is thrown away is no news for the guest
 *
 * CHANNEL_CLOSED:
 *	Nothing left but the news of it. The binding drops the record when that is delivered.
 */
enum channel_phase {
	CHANNEL_CONNECTING,
	CHANNEL_REFUSED,
	CHANNEL_CONNECTED,
	CHANNEL_FAILED,
	CHANNEL_CLOSING,
	CHANNEL_CLOSED,
};

/* Owned by close.c: how long a closing channel still waits. */
struct closing {
	uint64_t taken_ms;		/* when the service last took something, or the end */
	uint64_t progress_ms;		/* since when the limit counts */
	uint64_t backlog;		/* of the stream at the last look */
	bool is_all_sent;		/* nothing more goes to the stream */
	bool is_handed_over;		/* the service has what it gets, also of the backlog */
};

struct channel {
	struct core *core;
	void (*changed)(struct channel *ch);
	const struct gate *gate;
	/* What the binding knows of it; uid UINT32_MAX: there are no claims of the guest. */
	struct mp_opener opener;
	struct mp_peer peer;		/* what the stream calls */
	struct mp_stream *stream;
	struct mp_service *service;	/* admitted to, in core->live; release() is due */
	const char *service_name;	/* NULL: unknown */
	struct half in, out;
	struct work work;		/* discarding; or the record is to be freed */
	struct timer timer;		/* of the phase; one at most */
	struct closing closing;
	enum channel_phase phase;	/* by channel_become() only */
	uint16_t cause;			/* enum mp_reason: why it is in this phase */
	bool is_patient;		/* no guest to be told of a refusal: it is tried again */
	bool is_retrying;		/* the first failure to connect has been logged */
};

/*
 * @ch is zeroed, and stands first in a record that the core frees by free().
 *
 * @changed: phase, halves or level state may have changed, by the stream or by time. Never called
 * from inside a call of the binding. The channel may be dropped in it.
 */
void channel_init(struct channel *ch, struct core *core, void (*changed)(struct channel *ch),
		  const struct gate *gate, const struct mp_opener *opener);
/*
 * The binding forgets the channel: its stream is aborted if there is one, what it holds is given
 * back at once, and its memory goes when the entry settles, so that callers may still look at it.
 */
void channel_drop(struct channel *ch);
/*
 * The same for a channel whose guest, or device, goes, with CUT: what was taken still arrives, and
 * the stream may keep the channel's place until it has [protocol.md 10.8].
 */
void channel_leave(struct channel *ch, enum mp_end how);

/* Is the service beyond reach, for good or until another connect_begin()? */
static inline bool channel_is_over(const struct channel *ch)
{
	return ch->phase == CHANNEL_REFUSED || ch->phase == CHANNEL_FAILED ||
	       ch->phase == CHANNEL_CLOSED;
}

/* The level state [protocol.md 7.1]. @before: the state that was last asked for. */
uint16_t channel_bits(const struct channel *ch, uint16_t before);

/*
 * Writes, or reads, a channel that another program goes on with (record.h). Reading: @ch comes from
 * channel_init(), with the opener that opener_hand_over() has read. Its stream goes on where it
 * was; where it cannot, or the configuration lets the channel in no more, the channel is refused,
 * has failed or is closed. changed() is not called.
 */
void channel_hand_over(struct channel *ch, struct record *record);
void opener_hand_over(struct mp_opener *opener, struct record *record);

/* --- connect.c: the way to a service -------------------------------------- */

/*
 * Begins to connect, or connects again after a refusal. @name is the guest's text, unchecked; at a
 * fixed gate it is not looked at. The outcome is in the phase, now or after changed().
 */
void connect_begin(struct channel *ch, const char *name, size_t len);
/* At a fixed gate, whose service was there and has gone: not at once. */
void connect_later(struct channel *ch);

/* --- transfer.c: bytes ---------------------------------------------------- */

/*
 * Bytes of the service into bytes->iov, until all is filled or the result says why not. The channel
 * is connected; after MOVED_EMPTY changed() says when there is more.
 */
enum moved transfer_read(struct channel *ch, struct bytes *bytes);
/* Bytes of bytes->iov to the service of a connected or closing channel. */
enum moved transfer_write(struct channel *ch, struct bytes *bytes);

/* --- close.c: the end ----------------------------------------------------- */

/*
 * One direction ends, or both (MP_SHUT_*); the out stream at @final. False when it cannot end
 * there [protocol.md 8.1]. @ch is connected.
 */
bool close_shut(struct channel *ch, uint16_t how, uint64_t final);
/*
 * The guest is done with @ch, in any phase before CLOSING. What it has written, up to @final
 * (OFFSET_NONE: close_at_offset() will say), still reaches the service.
 */
void close_begin(struct channel *ch, uint64_t final);
/* The same for a connected channel, also if it was never used: its service sees an end. */
void close_linger(struct channel *ch, uint64_t final);
/* The out stream of @ch, if it is closing, ends at @final, where it is now or later. */
void close_at_offset(struct channel *ch, uint64_t final);
/* At once, and what has not arrived is dropped. @ch is not closed yet. */
void close_abort(struct channel *ch);
/* The same for one of which the guest may not know: a client that it has may go to another one. */
void close_unknown(struct channel *ch);
/* Its stream broke, or what should go there is lost: the service sees a failure. */
void close_fail(struct channel *ch);

/* --- For the other files of the core -------------------------------------- */

/* The only place where the phase changes; asserts that the edge exists. */
void channel_become(struct channel *ch, enum channel_phase phase, uint16_t cause);
/* Ends the stream, if there is one. */
void channel_end_stream(struct channel *ch, enum mp_end how);
/* The place that it had in the limits is free again. */
void channel_release(struct channel *ch);

#define CHANNEL_STREAM 0x5354		/* frame of a record: kind, what the stream has written */

/*
 * Reading, with phase and halves restored: the stream behind it, which @name led to ("": the
 * channel has no place in the limits), and what is due at @when.
 */
void connect_resume(struct channel *ch, const char *name, bool has_stream, uint64_t when,
		    struct record *record);

/*
 * The kinds of lines about a channel. Each kind has a limit of its own for each service: noise with
 * one name does not hide what happens with another.
 */
enum channel_line {
	CHANNEL_LINE_OPENED,
	CHANNEL_LINE_CLOSED,
	CHANNEL_LINE_CUT,
	CHANNEL_LINE_WAITS,
	CHANNEL_LINE_FAILED,
	CHANNEL_LINE_LIMIT,		/* a time limit has passed */
	CHANNEL_LINE_FINAL,
	CHANNEL_LINE_REFUSED,		/* + enum mp_reason */
};

/* What a channel has moved, at its end. */
void channel_log_end(struct channel *ch, enum channel_line kind, const char *how);
void channel_log(struct channel *ch, enum channel_line kind, enum log_level level,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* --- close.c, for the other files of the core ----------------------------- */

/* Does what a closing channel waits for, as far as it can be done; nothing in other phases. */
void close_advance(struct channel *ch);
/* The service of a closing channel has taken bytes. */
void close_took(struct channel *ch);
void close_hand_over(struct closing *closing, struct record *record);
/* @ch is closing, with a stream again: it is looked at soon, and at @when. */
void close_resume(struct channel *ch, uint64_t when);

#endif
