/* SPDX-License-Identifier: MIT */
/*
 * Answers that are looked at late [protocol.md 6.8]: lazy WRITEs, lazy READs in a pipeline,
 * and the notifications by which the driver gets to look at all.
 *
 * Theory. In the other models the driver may reap at any time. Here it looks only
 *   - when it was notified (interrupts), or
 *   - while a reader polls: a look at both queues before it goes to sleep,
 * and what the device has given back is first hidden (tx_new, rx_new), then made visible,
 * the receive queue first, then notified, if the driver has asked for it. A notification
 * uses up what was asked for (armed_tx, armed_rx), and so does a reaper that comes first:
 * that is the least that virtio promises (used_event). A process that asks looks once more.
 *
 * A process may also go away, to compute for ever: then it looks no more. A writer goes
 * away with its last byte handed to the driver; nevertheless the service must get it.
 * With EXPECTS a writer leaves a READ at the device for the answer.
 *
 * Slot 0 reads and writes, with READERS=2 by two processes; slot 1 writes and closes.
 */
#ifndef NCH
#define NCH	2
#endif
#ifndef READERS
#define READERS	1
#endif
#ifndef IN_BYTES
#define IN_BYTES	2
#endif
#ifndef OUT_BYTES
#define OUT_BYTES	2
#endif
#ifndef WINDOW
#define WINDOW	2
#endif
#ifndef OTHER_BYTES
#define OTHER_BYTES 1
#endif
#ifndef PARKS
#define PARKS	0
#endif
#define TXS	6
#define RXS	6
#define EVBUFS	1
#define SBUF	1

#define LAZY
byte told[2];		/* bits that the driver knows by what counts as delivered */
byte tx_new, rx_new;	/* given back, not visible yet */
bit rx_due;		/* one of them is to be notified */
#ifdef SHORTEST
byte r_flags;
#else
hidden byte r_flags;
#endif

/* Flags, added to the length of a READ. */
#define NOW		16
#define QUIET		32

#define IS_NOW		(r_flags & NOW)
#define IS_LAZY		(r_op == WRITE || (r_op == READ && (r_flags & QUIET)))
#define GAVE_TX		tx_new++
#define GAVE_RX(lazy)	rx_new++; rx_due = (rx_due || !(lazy))
#define TOLD(c)		told[c] = d[c].bits
/* A bit that was clear since it was last told is news when it is set again. */
#ifdef BUG_CLEARED_FORGOTTEN
#define CHANGED(c)	skip
#else
#define CHANGED(c)	told[c] = told[c] & d[c].bits
#endif
#ifdef BUG_LAZY_DELIVERS
#define HAS_NEWS(c)	0
#else
#define HAS_NEWS(c)	(d[c].bits & (255 - told[c]))
#endif
#define RESULT_TOLD(c) \
	if \
	:: IS_LAZY && HAS_NEWS(c) -> COVER(still_owed); assert(d[c].owed) \
	:: else -> delivered(c) \
	fi

#define PARKS_AS(c)	d[c].plazy = IS_LAZY
#define PARKED_LAZY(c)	d[c].plazy
#define PARKED_TOLD(c) \
	if \
	:: d[c].plazy && HAS_NEWS(c) -> COVER(parked_owed); assert(d[c].owed) \
	:: else -> delivered(c) \
	fi; \
	d[c].plazy = 0

#define new_service(c)	skip
#include "protocol.pml"

/* --- The device: what it gives back becomes visible, then is notified ------ */

#define SEEN_TX		(len(txu) > tx_new)
#define SEEN_RX		(len(rxu) > rx_new)

bit irq;		/* the driver was notified, or has found that it missed something */
bit armed_tx, armed_rx;	/* the next that becomes visible notifies */
SCRATCH byte call;

inline show_tx()
{
	if
	:: tx_new > 0 ->
		tx_new = 0;
		if
		:: armed_tx && len(txu) > 0 -> armed_tx = 0; call = 1
		:: else
		fi
	:: else
	fi
}

inline show_rx()
{
	if
	:: rx_new > 0 ->
		rx_new = 0;
		if
		:: rx_due && armed_rx && len(rxu) > 0 -> armed_rx = 0; call = 1
		:: else
		fi;
		rx_due = 0
	:: else
	fi
}

/* That there is room again is heard when the WRITE that found none has its answer visible. */
#ifdef BUG_ROOM_OVERTAKES
#define MAY_HEAR	1
#else
#define MAY_HEAR	(tx_new == 0)
#endif

inline take_flags()
{
	r_flags = r_len & (NOW | QUIET);
	r_len = r_len & (NOW - 1)
}

/* Owed events are sent with the end of what the device does at a time. */
#define HAS_EVENT	(evbufs > 0 && len(owedq) > 0)
inline send_events()
{
	call = 0;
	do
	:: HAS_EVENT -> send_event()
	:: else -> break
	od
}

/* Takes what it likes, then shows it. */
active proctype device()
{
	bit due;	/* a notification that waits until all is visible */

end:	do
	:: d_step { nempty(rxa) -> rxa?r_op,r_ch,r_gen,r_off,r_len; take_flags(); take_rx() }
	:: d_step { TX_MAY_GO -> txa?r_op,r_ch,r_gen,r_off,r_len; r_flags = 0; take_tx() }
	:: d_step { s[0].redge -> service_readable(0) }
	:: d_step { s[0].wedge && MAY_HEAR -> service_writable(0) }
#if NCH > 1
	:: d_step { s[1].redge -> service_readable(1) }
	:: d_step { s[1].wedge && MAY_HEAR -> service_writable(1) }
#endif
#if defined(BUG_CALL_BEFORE_PUBLISH)
	:: d_step { tx_new > 0 -> call = 0; show_tx(); irq = irq | call }
	:: d_step { tx_new == 0 && (rx_new > 0 || HAS_EVENT) -> send_events(); show_rx(); irq = irq | call }
#elif defined(BUG_TX_VISIBLE_FIRST)
	:: d_step { tx_new > 0 -> send_events(); show_tx(); due = call };
	   d_step { call = due; show_rx(); irq = irq | call; due = 0 }
	:: d_step { tx_new == 0 && (rx_new > 0 || HAS_EVENT) -> send_events(); show_rx(); irq = irq | call }
#else
	:: d_step { tx_new > 0 -> send_events(); show_rx(); due = call };
	   d_step { call = due; show_tx(); irq = irq | call; due = 0 }
	:: d_step { tx_new == 0 && (rx_new > 0 || HAS_EVENT) -> send_events(); show_rx(); irq = irq | call }
#endif
	od
}

/* --- The driver: who needs to be notified --------------------------------- */

#define DEPTH	2	/* READs in flight */
#define ROOM	2	/* bytes that a writer may be ahead */

typedef channel {
	byte pos, asked;	/* bytes held, contiguous; where the next READ begins */
	byte ready;		/* of those held not yet read */
	byte busy;		/* READs in flight */
	bit lazy;		/* the last of them */
	bit stopped;		/* one came back short: wait for the others */
	bit retry;		/* cancelled: ask again */
	bit parks;		/* a READ waits at the device with the reader */
	byte readers, sleepers;
	bit cancel, again;	/* a CANCEL is under way; another is due after it */

	byte accepted, next, acked;	/* bytes from the writer, sent, taken */
	byte flying;		/* WRITEs in flight */
	byte window;		/* how many there may be */
	bit halted;		/* one came back short: wait for the others */
	bit wanted;		/* the writer found no room */
	bit closes, released;	/* the file will go when all is written; is gone */
	bit close_sent;
};
channel h[2];
byte pollers;
byte awaited;			/* requests on the transmit queue that are not lazy */
bit has_tx, has_rx;		/* notifications were asked for */

#ifdef BUG_NO_WANT_HALTED
#define WANTS_HALTED(c)	0
#else
#define WANTS_HALTED(c)	h[c].halted
#endif
#ifdef BUG_NO_WANT_BEHIND
#define WANTS_BEHIND(c)	0
#else
#define WANTS_BEHIND(c)	((h[c].next < h[c].accepted || WANTS_HALTED(c)) && h[c].flying > 0)
#endif
#ifdef BUG_NO_WANT_CLOSE
#define WANTS_CLOSE(c)	0
#else
#define WANTS_CLOSE(c)	(h[c].released && h[c].flying > 0)
#endif
#define WANTS(c)	(h[c].wanted || WANTS_BEHIND(c) || WANTS_CLOSE(c))
#define NEEDS_TX	(!pollers && (awaited || WANTS(0) || WANTS(1)))
#define NEEDS_RX	(!pollers)

/* A process that asks looks once more: what is there already will not notify. */
inline update_tx()
{
	if
	:: NEEDS_TX && !has_tx ->
		has_tx = 1; armed_tx = 1;
		irq = (irq || SEEN_TX)
	:: !NEEDS_TX -> has_tx = 0; armed_tx = 0
	:: else
	fi
}

inline update_rx()
{
	if
	:: NEEDS_RX && !has_rx ->
		has_rx = 1; armed_rx = 1;
		irq = (irq || SEEN_RX)
	:: !NEEDS_RX -> has_rx = 0; armed_rx = 0
	:: else
	fi
}

/* --- The driver: requests and answers -------------------------------------- */

inline send_read(c, flags)
{
	rxn++; h[c].busy++;
	h[c].lazy = ((flags) & QUIET) != 0;
	h[c].retry = 0;
	rxa!READ,c,1,h[c].asked,1 + (flags);
	h[c].asked++
}

inline send_cancel(c)
{
#ifndef BUG_URGE_BUSY
	h[c].again = h[c].cancel;
#endif
	if
	:: h[c].busy > 0 && !h[c].cancel ->
		h[c].cancel = 1; txn++; awaited++;
		txa!CANCEL,c,1,0,0
	:: h[c].busy > 0 && h[c].cancel -> COVER(cancel_again)
	:: else
	fi
}

/* Sends what may be sent, and CLOSE once all is back [8.3]. */
inline pump(c)
{
	do
	:: (w[c].bits & OUT) && !h[c].halted && h[c].next < h[c].accepted &&
	   h[c].flying < h[c].window ->
		txn++; h[c].flying++;
		txa!WRITE,c,1,h[c].next,1;
		h[c].next++
	:: else -> break
	od;
	if
	:: h[c].released && !h[c].close_sent && h[c].flying == 0 ->
		COVER(close_sent);
		h[c].close_sent = 1; txn++; awaited++;
		txa!CLOSE,c,1,h[c].accepted,0
	:: else
	fi
}

inline take_write()
{
	assert(h[u_ch].flying > 0);
	assert(u_status == OK || u_status == AGAIN || u_status == ORDER);
	h[u_ch].flying--;
	if
	:: u_n > 0 -> assert(u_off == h[u_ch].acked); h[u_ch].acked = u_off + u_n
	:: else -> h[u_ch].halted = 1
	fi;
	if
	:: h[u_ch].flying == 0 && h[u_ch].halted ->
		assert(u_at == h[u_ch].acked);
		h[u_ch].next = h[u_ch].acked; h[u_ch].halted = 0
	:: else
	fi;
	if
	:: h[u_ch].accepted - h[u_ch].acked < ROOM -> h[u_ch].wanted = 0
	:: else
	fi
}

inline take_read()
{
	assert(h[u_ch].busy > 0);
	assert(u_status == OK || u_status == AGAIN || u_status == ORDER || u_status == CANCELLED);
	assert(u_n == 0 || u_off == h[u_ch].pos);
	h[u_ch].busy--;
	h[u_ch].pos = h[u_ch].pos + u_n;
	h[u_ch].ready = h[u_ch].ready + u_n;
	if
	:: u_n < u_len -> h[u_ch].stopped = 1
	:: else
	fi;
	if
	:: u_status == ORDER -> COVER(read_behind); assert(u_at < u_off)
	:: u_status == CANCELLED -> COVER(read_again_after_cancel); h[u_ch].retry = 1
	:: else
	fi;
	if
	:: h[u_ch].busy == 0 -> h[u_ch].asked = h[u_ch].pos; h[u_ch].stopped = 0
	:: else
	fi
}

inline look_tx()
{
	do
	:: SEEN_TX -> REAP_TX; txn--;
		if
		:: u_op == WRITE -> take_write()
		:: u_op == CANCEL ->
			awaited--; h[u_ch].cancel = 0;
			if
			:: h[u_ch].again -> send_cancel(u_ch)
			:: else
			fi
		:: u_op == CLOSE -> awaited--
		fi;
		take_state();
		pump(u_ch)
	:: else -> break
	od;
	update_tx()
}

inline look_rx()
{
	do
	:: SEEN_RX -> REAP_RX;
		if
		:: u_op == EVENT -> return_event_buffer()
		:: else -> rxn--; take_read()
		fi;
		take_state();
		pump(u_ch)
	:: else -> break
	od;
	update_tx(); update_rx()
}

/* A process about to look needs no notification; it asks for one again when it has looked. */
inline off_tx()
{
	has_tx = 0; armed_tx = 0
}

inline off_rx()
{
	has_rx = 0; armed_rx = 0
}

/*
 * Transmit first: an answer to CANCEL says that READs lie in the receive queue. And once
 * more after something came from there: an event says that WRITEs may have come back short.
 */
#ifdef BUG_RX_FIRST
#define LOOK_1	look_rx(); off_tx()
#define LOOK_2	look_tx()
#define MORE_2	0
#else
#define LOOK_1	look_tx(); off_rx()
#define LOOK_2	look_rx()
#define MORE_2	SEEN_RX
#endif
#ifdef BUG_ONE_LOOK
#undef MORE_2
#define MORE_2	0
#endif

active proctype interrupts()
{
	bit found;

end:	do
	:: d_step { irq -> irq = 0; off_tx(); off_rx(); found = 1 };
		do
		:: d_step { found -> LOOK_1 };
			d_step { found = MORE_2; LOOK_2 }
		:: !found -> break
		od
	od
}

/* --- Processes ---------------------------------------------------------------- */

#define AT_END		((w[c].bits & IN_END) && h[c].busy == 0)
#define MAY_ASK		(!h[c].stopped && !(w[c].bits & IN_END))
#define AHEAD		((w[c].bits & IN) && MAY_ASK && h[c].ready + h[c].busy < DEPTH)
#define WORTH_WAKING	(h[c].ready > 0 || AT_END || \
			 (MAY_ASK && h[c].busy == 0 && ((w[c].bits & IN) || h[c].retry)))

/* A sleeper has seen to it that what was under way then wakes it, but nothing sent later. */
#ifdef BUG_LAZY_BESIDE_SLEEPER
#define AHEAD_FLAGS	(NOW | QUIET)
#else
#define AHEAD_FLAGS	(h[c].sleepers > 0 -> NOW : NOW | QUIET)
#endif

#ifdef BUG_NO_URGE
#define MUST_URGE	0
#else
#define MUST_URGE	(h[c].busy > 0 && h[c].lazy)
#endif

/* A blocking reader. It may go away when it has had a byte, with READs under way. */
proctype reader(byte c)
{
	bit found;

again:
	do
	:: d_step { h[c].ready > 0 || AHEAD ->
		h[c].ready = 0;
		do
		:: AHEAD -> send_read(c, AHEAD_FLAGS)
		:: else -> break
		od }
	:: d_step { h[c].parks && h[c].ready + h[c].busy == 0 && MAY_ASK && !(w[c].bits & IN) ->
		send_read(c, 0) }
	:: d_step { AT_END && h[c].ready == 0 -> assert(h[c].pos == s[c].made) } goto gone
	:: h[c].ready == 0 && h[c].pos > 0 -> goto gone
	:: h[c].ready == 0 && !AT_END && !AHEAD && (h[c].busy > 0 || !h[c].parks) -> break
	od;
	/* Polls, or does not. */
	if
#ifndef NO_POLL
	:: d_step { pollers++; update_tx(); update_rx(); found = 1 };
		do
		:: d_step { found -> LOOK_1 };
			d_step { found = MORE_2; LOOK_2 }
		:: d_step { !found -> pollers--; update_tx(); update_rx() } break
		od
#endif
	:: skip
	fi;
	skip;	/* Sleeps. */
	d_step {
		h[c].sleepers++;
		if
		:: MUST_URGE -> send_cancel(c); update_tx()
		:: else
		fi
	};
	d_step { WORTH_WAKING -> h[c].sleepers-- };
	goto again;
gone:	h[c].readers--
}

/* Hands over its bytes and goes away; slot 1 then closes. */
proctype writer(byte c; byte total)
{
	do
	:: d_step { h[c].accepted < total && h[c].accepted - h[c].acked < ROOM ->
		h[c].accepted++; pump(c); update_tx() }
#ifndef BUG_NO_WANT
	:: d_step { h[c].accepted < total && h[c].accepted - h[c].acked >= ROOM && !h[c].wanted ->
		COVER(writer_waits); h[c].wanted = 1; update_tx() }
#endif
	:: h[c].accepted == total -> break
	od;
	if
	:: d_step { h[c].closes -> h[c].released = 1; pump(c); update_tx() }
	:: !h[c].closes
	fi
}

/*
 * A writer expects an answer: a lazy READ is to wait for it at the device [6.8], unless a reader
 * sleeps. The writer goes away; a reader may come, or there is one already.
 */
#ifdef BUG_EXPECT_BESIDE_SLEEPER
#define NOBODY_SLEEPS	1
#else
#define NOBODY_SLEEPS	(h[c].sleepers == 0)
#endif
proctype expecter(byte c)
{
	if
	:: d_step { NOBODY_SLEEPS && h[c].ready + h[c].busy == 0 && MAY_ASK && !(w[c].bits & IN) ->
		COVER(expected); send_read(c, QUIET) }
	:: skip
	fi
}

/* A process that looks once, and asks for no notification: a writer, or another channel. */
proctype passer()
{
	bit found;

	d_step { pollers++; update_tx(); update_rx(); found = 1 };
	do
	:: d_step { found -> LOOK_1 };
		d_step { found = MORE_2; LOOK_2 }
	:: d_step { !found -> pollers--; update_tx(); update_rx() } break
	od
}

/*
 * Says @say bytes, and ends only when they were read: so nothing else wakes who waits for
 * them. It is done when it has all @total bytes, the end where there is one, and no reader.
 */
proctype peer(byte c; byte say; byte total)
{
	do
	:: d_step { s[c].made < say -> s[c].made++; s[c].avail++; s[c].redge = 1 }
	:: d_step { !s[c].end && (s[c].saw_end || (say > 0 && h[c].pos == say && h[c].ready == 0)) ->
		s[c].end = 1; s[c].redge = 1 }
	:: d_step { s[c].fill > 0 -> s[c].fill--;
		if
		:: s[c].nospace -> s[c].nospace = 0; s[c].wedge = 1
		:: else
		fi
	   }
	:: s[c].got == total && h[c].readers == 0 && (!h[c].closes || s[c].end) -> break
	od
}

init {
	byte c;

	atomic {
		for (c : 0 .. NCH - 1) {
			d[c].used = 1; d[c].gen = 1; d[c].bits = CONNECTED | OUT; d[c].fin = NOFIN;
			w[c].gen = 1; w[c].bits = CONNECTED | OUT; told[c] = CONNECTED | OUT;
		}
		for (c : 1 .. EVBUFS) {
			rxn++; rxa!EVENT,0,0,0,0;
		}
		armed_rx = 1; has_rx = 1;
		h[0].window = WINDOW; h[1].window = 1;
		h[0].parks = PARKS;
		h[0].readers = READERS;
		run peer(0, IN_BYTES, OUT_BYTES);
#if READERS > 0
		run reader(0);
#endif
#if READERS > 1
		run reader(0);
#endif
#if OUT_BYTES > 0
		run writer(0, OUT_BYTES);
#endif
#if NCH > 1
		h[1].closes = 1;
		run peer(1, 0, OTHER_BYTES); run writer(1, OTHER_BYTES);
#endif
#ifdef EXPECTS
		run expecter(0);
#endif
#ifdef PASSER
		run passer();
#endif
	}
}
