/* SPDX-License-Identifier: MIT */
/*
 * Readiness of the in stream [protocol.md 6.2, 6.4, 6.5, 7]: two channels,
 * one event buffer, READs on both queues, arrivals at any time.
 *
 * Each channel's reader works in a mode chosen at the start:
 *   TX     a blocking reader: READ on the transmit queue when IN is set
 *   FETCH  a polled channel: READ on the receive queue when IN is set [7.4]
 *   PARK   a READ is left open on the receive queue; and TX as well
 * It ends when it has the service's end, and must then hold every byte.
 *
 * Every run is finite (the check looks for cycles), so "no invalid end state"
 * says: every reader gets all its bytes and the end, in every interleaving and
 * without any fairness between the parties.
 */
#ifndef NCH
#define NCH	2
#endif
#ifndef BYTES
#define BYTES	2
#endif
#define TXS	2
#define RXS	4
#define EVBUFS	1
#define SBUF	1

#define new_service(c)	skip
#include "protocol.pml"

#define ON_TX	0
#define ON_RX	1

#define TX	1
#define FETCH	2
#define PARK	3

typedef reader_state {
	byte pos;		/* bytes held, contiguous */
	bit out[2];		/* a READ is in flight on that queue */
	bit hold;		/* ORDER: the other READ has the bytes, wait for it */
	bit again;		/* a READ to be parked came back: sleep on IN */
	byte mode;
};
reader_state r[NCH];

/* A READ came back: exactly one was out; its bytes are the next ones. */
inline take_read(q)
{
	assert(r[u_ch].out[q]);
	r[u_ch].out[q] = 0;
	if
	:: u_status == ORDER -> COVER(held_back); r[u_ch].hold = r[u_ch].out[1 - q]
	:: else ->
		assert(u_status == OK || u_status == AGAIN);
		assert(u_n == 0 || u_off == r[u_ch].pos);
		r[u_ch].pos = r[u_ch].pos + u_n;
		r[u_ch].hold = 0
	fi
}

active proctype interrupts()
{
end:	do
	:: d_step { nempty(txu) -> REAP_TX; txn--; take_read(ON_TX); take_state() }
	:: d_step { nempty(rxu) -> REAP_RX;
		if
		:: u_op == EVENT -> return_event_buffer()
		:: else ->
			rxn = rxn - COST;
			r[u_ch].again = (u_status == AGAIN);
			take_read(ON_RX)
		fi;
		take_state()
	   }
	od
}

/* After IN_END there is nothing to ask for, only to wait for what is on its way. */
#define WAKE_TX	((w[c].bits & (IN | IN_END)) == IN && r[c].mode != FETCH)
#define WAKE_RX	(r[c].mode != TX && !(w[c].bits & IN_END) && \
		 ((w[c].bits & IN) || (r[c].mode == PARK && !r[c].again)))
/* 6.4: the end is the reader's when all its READs have come back. */
#ifdef BUG_END_FROM_STATE
#define AT_END	(w[c].bits & IN_END)
#else
#define AT_END	((w[c].bits & IN_END) && !r[c].out[ON_TX] && !r[c].out[ON_RX])
#endif

proctype reader(byte c)
{
	byte n;

	if
	:: r[c].mode = TX
	:: r[c].mode = FETCH
	:: r[c].mode = PARK
	fi;
	do
	:: atomic { WAKE_TX && !r[c].out[ON_TX] && !r[c].hold && txn < TXS ->
		if
		:: n = 1
		:: n = 2
		fi;
		txn++; r[c].out[ON_TX] = 1; txa!READ,c,1,r[c].pos,n; n = 0 }
	:: atomic { WAKE_RX && !r[c].out[ON_RX] && !r[c].hold && rxn + COST <= RXS ->
		if
		:: n = 1
		:: n = 2
		fi;
		rxn = rxn + COST; r[c].out[ON_RX] = 1; rxa!READ,c,1,r[c].pos,n; n = 0 }
	:: d_step { AT_END -> assert(r[c].pos == s[c].made) } break
	od
}

/* Says up to BYTES bytes, at any time, then ends. */
proctype peer(byte c)
{
	do
	:: d_step { s[c].made < BYTES -> s[c].made++; s[c].avail++; s[c].redge = 1 }
	:: d_step { s[c].end = 1; s[c].redge = 1 } break
	od
}

/*
 * The other channels are lighter, or the product of both is too large: one
 * byte, no end, whole reads. What they share with the first are the queues,
 * the event buffer and the order of what is owed.
 */
proctype light_peer(byte c)
{
	d_step { s[c].made = 1; s[c].avail = 1; s[c].redge = 1 }
}

proctype light_reader(byte c)
{
	if
	:: r[c].mode = TX
	:: r[c].mode = PARK
	fi;
	do
	:: d_step { WAKE_TX && !r[c].out[ON_TX] && !r[c].hold && txn < TXS && r[c].pos == 0 ->
		txn++; r[c].out[ON_TX] = 1; txa!READ,c,1,0,2 }
	:: d_step { WAKE_RX && !r[c].out[ON_RX] && !r[c].hold && rxn + COST <= RXS && r[c].pos == 0 ->
		rxn = rxn + COST; r[c].out[ON_RX] = 1; rxa!READ,c,1,0,2 }
	:: r[c].pos == 1 -> break
	od
}

init {
	byte c;

	atomic {
		for (c : 0 .. NCH - 1) {
			d[c].used = 1; d[c].gen = 1; d[c].bits = CONNECTED | OUT; d[c].fin = NOFIN;
			w[c].gen = 1; w[c].bits = CONNECTED | OUT;
		}
		for (c : 1 .. EVBUFS) {
			rxn++; rxa!EVENT,0,0,0,0;
		}
		for (c : 0 .. NCH - 1) {
			run notified(c);
			if
			:: c == 0 -> run peer(c); run reader(c)
			:: else -> run light_peer(c); run light_reader(c)
			fi
		}
	}
}
