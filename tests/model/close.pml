/* SPDX-License-Identifier: MIT */
/*
 * Cancel, close and the reuse of slots [protocol.md 4.1, 4.2, 8]: slot 0 is
 * used twice, by a process that writes, parks reads, cancels them, shuts down
 * reading and closes whenever it likes; slot 1 once, beside it.
 *
 * Kinds of service:
 *   PLAIN     takes everything, says a byte, ends when it has seen the end
 *   ECHO      says what it takes, and takes no more while that is not read
 *   DEAF      stops taking at some moment (EPIPE), then ends
 *   STUBBORN  takes little and never ends: only here may the linger limit run
 *             out, so every other close must get through by itself
 *
 * Claims: a close always ends, every request comes back once, bytes written
 * before a close reach a PLAIN or ECHO service, slots return, and nothing of an
 * old use touches the next.
 */
#ifndef NCH
#define NCH	2
#endif
#ifndef USES
#define USES	2
#endif
/* One slot with everything, or (LIGHT) two that share the queues with less each. */
#ifdef LIGHT
#define BYTES	1
#define READS	1
#else
#define BYTES	3
#define READS	2
#endif
#define TXS	2
#define RXS	4
#define EVBUFS	1
#define SBUF	1

#define PLAIN		0
#define ECHO		1
#define DEAF		2
#define STUBBORN	3
byte kind[NCH];

inline new_service(c)
{
	s[c].made = 0; s[c].avail = 0; s[c].end = 0; s[c].got = 0; s[c].fill = 0;
	s[c].saw_end = 0; s[c].deaf = 0; s[c].redge = 0; s[c].wedge = 0; s[c].nospace = 0
}

#include "protocol.pml"

/* The driver's side of the present use of a slot; the generation is in w[]. */
typedef use_state {
	byte flying;		/* requests on the transmit queue, CONNECT to CLOSE */
	bit writing;		/* one of them is a WRITE */
	byte next;		/* bytes known to be taken */
	byte pos;		/* bytes read */
	bit read;		/* a READ is on the receive queue */
	byte old_reads;		/* READs of older uses that have not come back */
	byte reads, cancels;	/* how often so far */
	bit cancelling;		/* waits for the READ that it has cancelled */
	bit quiet;		/* SHUT_READ was sent */
	bit closing, aborted;
	bit impatient;		/* may close once more with ABORT */
	byte final;
};
use_state x[NCH];

inline take_read()
{
	rxn = rxn - COST;
	if
	:: u_gen != w[u_ch].gen ->
		COVER(old_read);
		assert(x[u_ch].old_reads > 0);
		x[u_ch].old_reads--
	:: else ->
		assert(x[u_ch].read);
		assert(u_n == 0 || u_off == x[u_ch].pos);
		x[u_ch].read = 0; x[u_ch].cancelling = 0;
		x[u_ch].pos = x[u_ch].pos + u_n
	fi
}

inline take_answer()
{
	txn--;
	assert(u_gen == w[u_ch].gen && x[u_ch].flying > 0);
	x[u_ch].flying--;
	if
	:: u_op == CONNECT -> assert(u_status == OK)
	:: u_op == WRITE ->
		x[u_ch].writing = 0;
		x[u_ch].next = (u_status == STALE || u_status == ENDED -> BYTES : u_at)
	:: else
	fi
}

active proctype interrupts()
{
end:	do
	:: d_step { nempty(txu) -> REAP_TX; take_answer(); take_state() }
	:: d_step { nempty(rxu) -> REAP_RX;
		if
		:: u_op == EVENT -> return_event_buffer()
		:: else -> take_read()
		fi;
		take_state()
	   }
	od
}

/* 8.4: the last descriptor is for CANCEL and CLOSE. */
#define TX_ROOM		(txn < TXS - 1)
#define TX_RESERVE	(txn < TXS)
#define LIVE		(!x[c].closing && !x[c].cancelling)
#define MAY_WRITE	((w[c].bits & (OUT | OUT_END)) == OUT && !x[c].writing && \
			 x[c].next < BYTES && TX_ROOM && !x[c].cancelling)
#define MAY_READ	(LIVE && (w[c].bits & CONNECTED) && !x[c].read && !x[c].quiet && \
			 x[c].reads < READS && rxn + COST <= RXS)
#define GONE		((w[c].bits & CLOSED) && x[c].flying == 0)

inline send(op, at, flags)
{
	txn++; x[c].flying++; txa!op,c,w[c].gen,at,flags
}

/* The slot is the driver's again; a READ of this use may still be on its way. */
inline finish_use()
{
	assert(x[c].aborted || kind[c] > ECHO || s[c].got == x[c].final);
	if
	:: x[c].aborted -> COVER(aborted)
	:: else -> COVER(closed)
	fi;
	x[c].old_reads = x[c].old_reads + x[c].read;
	x[c].read = 0; x[c].next = 0; x[c].pos = 0; x[c].reads = 0; x[c].cancels = 0;
	x[c].quiet = 0; x[c].closing = 0; x[c].aborted = 0; x[c].final = 0;
	x[c].cancelling = 0;
	w[c].gen++
}

proctype opener(byte c)
{
again:
	atomic { TX_ROOM ->
		if
		:: kind[c] = PLAIN
#ifndef LIGHT
		:: kind[c] = ECHO
		:: kind[c] = DEAF
		:: kind[c] = STUBBORN
#endif
		fi;
#ifndef LIGHT
		if
		:: x[c].impatient = 1
		:: x[c].impatient = 0
		fi;
#endif
		w[c].seq = 0; w[c].bits = 0;
		send(CONNECT, 0, 0)
	}
	do
	:: d_step { MAY_WRITE -> x[c].writing = 1; send(WRITE, x[c].next, BYTES - x[c].next) }
	:: d_step { MAY_READ -> x[c].reads++; x[c].read = 1; rxn = rxn + COST;
		rxa!READ,c,w[c].gen,x[c].pos,1 }
	:: d_step { LIVE && x[c].read && x[c].cancels == 0 && TX_RESERVE ->
		x[c].cancels++; x[c].cancelling = 1; send(CANCEL, 0, 0) }
#ifndef LIGHT
	:: d_step { LIVE && (w[c].bits & CONNECTED) && !x[c].quiet && TX_ROOM ->
		x[c].quiet = 1; x[c].cancelling = x[c].read; send(SHUTDOWN, 0, SHUT_READ) }
#endif
	:: d_step { LIVE && !x[c].writing && TX_RESERVE ->
		x[c].closing = 1;
		x[c].final = (w[c].bits & CONNECTED -> BYTES : 0);
		send(CLOSE, x[c].final, 0) }
#ifndef LIGHT
	:: d_step { x[c].impatient && x[c].closing && !x[c].aborted &&
		    !(w[c].bits & CLOSED) && TX_RESERVE ->
		x[c].aborted = 1; send(CLOSE, 0, ABORT) }
#endif
	:: d_step { GONE -> finish_use() } break
	od;
	if
	:: c == 0 && w[c].gen <= USES -> goto again
	:: else
	fi;
	d_step { x[c].old_reads == 0 -> assert(!d[c].used) }
}

#define SERVED	(d[c].used && (d[c].bits & CONNECTED) && !(d[c].bits & CLOSED))

inline consume(c)
{
	s[c].fill--;
	if
	:: s[c].nospace -> s[c].nospace = 0; s[c].wedge = 1
	:: else
	fi
}

inline say(c)
{
	s[c].made++; s[c].avail++; s[c].redge = 1
}

proctype peer(byte c)
{
end:	do
	/* Reached: connecting becomes connected; the outcome is an event. */
	:: d_step { d[c].used && !(d[c].bits & (CONNECTED | CLOSED)) -> set_bits(c, CONNECTED | OUT) }
	:: d_step { SERVED && kind[c] == PLAIN && s[c].fill > 0 -> consume(c) }
	:: d_step { SERVED && kind[c] != ECHO && s[c].made == 0 && !s[c].end -> say(c) }
	:: d_step { SERVED && kind[c] == ECHO && s[c].fill > 0 && s[c].avail == 0 ->
		consume(c); say(c) }
	:: d_step { SERVED && kind[c] == DEAF && !s[c].deaf -> s[c].deaf = 1; s[c].wedge = 1 }
	:: d_step { SERVED && kind[c] != STUBBORN && !s[c].end && (s[c].saw_end || s[c].deaf) &&
		    (s[c].fill == 0 || s[c].deaf) -> s[c].end = 1; s[c].redge = 1 }
	/* 8.3: the linger limit. */
	:: d_step { SERVED && kind[c] == STUBBORN && d[c].closing ->
		COVER(lingered); abort_channel(c) }
	od
}

init {
	byte c;

	atomic {
		for (c : 1 .. EVBUFS) {
			rxn++; rxa!EVENT,0,0,0,0;
		}
		for (c : 0 .. NCH - 1) {
			d[c].fin = NOFIN; w[c].gen = 1;
			run notified(c); run peer(c); run opener(c);
		}
	}
}
