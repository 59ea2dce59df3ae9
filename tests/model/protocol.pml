/* SPDX-License-Identifier: MIT */
/*
 * The two queues, and what driver and device remember, as all models see them.
 *
 * Theory. A queue is two FIFOs: chains made visible (txa, rxa) and chains
 * returned (txu, rxu). The device picks whichever queue it likes, the driver
 * reaps whichever it likes: so the queues are delivered independently, in
 * every interleaving [protocol.md 5.2]. Each d_step is what the one loop of
 * the device, or the driver under its lock, does without looking elsewhere.
 *
 * A byte is its number: the k-th byte of a stream is k, so loss and reordering
 * are a comparison of counts. The service is a socket with edge-triggered
 * notification, the least that a device can rely on [7.2]: redge is raised by
 * every arrival, wedge only when room appears after a write that was refused.
 *
 * A model defines, before the include: NCH (slots), TXS and RXS (sizes of the
 * queues in descriptors), EVBUFS, SBUF (bytes that a service holds), and after
 * it the driver and the services. BUG_x plants a known mistake.
 */
#ifndef COST
#define COST	1	/* descriptors that a READ takes in the receive queue */
#endif

/* Operations; EVENT stands for an event buffer, given and returned. Result codes. */
mtype = { CONNECT, READ, WRITE, SHUTDOWN, CANCEL, CLOSE, EVENT,
	  OK, AGAIN, ORDER, STALE, BAD_STATE, BUSY, CANCELLED, ENDED };

/* State bits. */
#define CONNECTED	1
#define IN		4
#define OUT		8
#define IN_END		16
#define OUT_END		32
#define CLOSED		128

#define NOFIN		255	/* no final offset is known */
#define SHUT_READ	1	/* length field of SHUTDOWN: flags */
#define ABORT		1	/* length field of CLOSE: flags */

/* What a run has been through; the script requires some of these names. */
#ifdef COVERAGE
#define COVER(x) c_code { static int once; if (!once) { once = 1; printf("reached: " #x "\n"); } }
#else
#define COVER(x) skip
#endif

/*
 * For a model of notifications and lazy requests (lazy.pml), which has its own: what a
 * request asks for, and what else happens when something is given back, when a state changed
 * or was delivered.
 */
#ifndef LAZY
#define IS_NOW		0
#define IS_LAZY		0
#define GAVE_TX		skip
#define GAVE_RX(lazy)	skip
#define CHANGED(c)	skip
#define TOLD(c)		skip
#define RESULT_TOLD(c)	delivered(c)
#define PARKED_LAZY(c)	0
#define PARKED_TOLD(c)	delivered(c)
#define PARKS_AS(c)	skip
#endif

/* op, slot, generation, offset, length */
chan txa = [TXS] of { mtype, byte, byte, byte, byte };
chan rxa = [RXS] of { mtype, byte, byte, byte, byte };
/* op, slot, generation, offset, length; status, count, expected offset, seq, bits */
chan txu = [TXS] of { mtype, byte, byte, byte, byte, mtype, byte, byte, byte, byte };
chan rxu = [RXS] of { mtype, byte, byte, byte, byte, mtype, byte, byte, byte, byte };
byte txn, rxn;		/* descriptors that the driver has out, in either FIFO */

/* The device's record of a slot [protocol.md 4.2]. */
typedef record {
	bit used;
	byte gen;
	byte seq, bits;
	bit owed;		/* iff in owedq [7.3] */
	byte in, out;		/* expected offsets */
	byte fin;		/* final offset of the out stream, or NOFIN */
	bit closing;
	bit parked;
	byte poff, plen;	/* the parked READ */
#ifdef LAZY
	bit plazy;		/* its answer is looked at late */
#endif
};
record d[NCH];
chan owedq = [NCH] of { byte };
byte evbufs;		/* event buffers that the device has taken */
byte nparked;		/* descriptors of parked READs */

/* What stands behind a slot; the model's services move these. */
typedef service {
	byte made, avail;	/* bytes said; of these not yet read */
	bit end;		/* says no more */
	byte got, fill;		/* bytes taken; of these not yet consumed */
	bit saw_end;		/* has been told that no more comes */
	bit deaf;		/* takes no more (EPIPE) */
	bit redge, wedge, nospace;
};
service s[NCH];

/*
 * The request in hand is never alive across a step, so it is no part of the
 * state; but a breadth-first search (for the shortest counterexample) needs it.
 */
#ifdef SHORTEST
#define SCRATCH
#else
#define SCRATCH hidden
#endif
SCRATCH mtype r_op, u_op, u_status;
SCRATCH byte r_ch, r_gen, r_off, r_len, r_n;
SCRATCH byte r_rx, r_moved;	/* flags */

/* 7.1, 7.3: a change raises seq and is owed once. */
inline changed(c)
{
	d[c].seq++;
	CHANGED(c);
	if
#ifdef BUG_EVENT_DROPPED
	:: evbufs == 0 -> skip
#endif
	:: !d[c].owed && d[c].used -> d[c].owed = 1; owedq!c
	:: else
	fi
}

inline set_bits(c, b)
{
	if
	:: (d[c].bits & (b)) != (b) -> d[c].bits = d[c].bits | (b); changed(c)
	:: else
	fi
}

inline clear_bits(c, b)
{
	if
	:: d[c].bits & (b) -> d[c].bits = d[c].bits & (255 - (b)); changed(c)
	:: else
	fi
}

/* 7.3: nothing is owed any more; 4.2: a closed slot is free once it was said. */
inline delivered(c)
{
	TOLD(c);
	if
	:: d[c].owed -> d[c].owed = 0; owedq??eval(c)
	:: else
	fi;
	if
	:: d[c].bits & CLOSED ->
		assert(!d[c].parked);
		d[c].used = 0; d[c].gen = 0; d[c].seq = 0; d[c].bits = 0; d[c].in = 0;
		d[c].out = 0; d[c].fin = NOFIN; d[c].closing = 0
	:: else
	fi
}

/* The driver keeps the newest state [protocol.md 7.1]. */
typedef held {
	byte gen, seq, bits;
};
held w[NCH];

/* One result or event that was reaped. */
SCRATCH byte u_ch, u_gen, u_off, u_len, u_n, u_at, u_seq, u_bits;

/* 4.1, on the driver's side. */
#ifdef BUG_DRIVER_NO_GENERATION
#define NOT_MINE	0
#else
#define NOT_MINE	(u_gen != w[u_ch].gen)
#endif

inline take_state()
{
	if
	:: u_status == STALE
	:: u_status != STALE && NOT_MINE -> COVER(old_use)
#ifndef BUG_SEQ_IGNORED
	:: u_status != STALE && !NOT_MINE && u_seq < w[u_ch].seq -> COVER(late_state)
	:: u_status != STALE && !NOT_MINE && u_seq == w[u_ch].seq
#endif
	:: else -> w[u_ch].seq = u_seq; w[u_ch].bits = u_bits
	fi
}

/* 11.3: an event buffer goes back at once, so its descriptor is never lost. */
inline return_event_buffer()
{
	rxa!EVENT,0,0,0,0
}

#define REAP_TX	txu?u_op,u_ch,u_gen,u_off,u_len,u_status,u_n,u_at,u_seq,u_bits
#define REAP_RX	rxu?u_op,u_ch,u_gen,u_off,u_len,u_status,u_n,u_at,u_seq,u_bits

#include "device.pml"
