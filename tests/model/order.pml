/* SPDX-License-Identifier: MIT */
/*
 * Order of the out stream [protocol.md 6.2, 6.3, 7.2, 8.1]: several WRITEs in
 * flight on each channel, a service with little room, and a SHUTDOWN sent at
 * any time after the final offset is known, so also before a refused WRITE
 * has been sent again.
 *
 * A writer resends in one of two ways: it waits until all its WRITEs have come
 * back, or (EAGER) goes back to the expected offset with the first short one.
 */
#ifndef NCH
#define NCH	2
#endif
#ifndef BYTES
#define BYTES	3
#endif
#define TXS	3
#define RXS	2
#define EVBUFS	1
#define SBUF	2

#define new_service(c)	skip
#include "protocol.pml"

#define WINDOW	2
#define TOTAL(c)	(c == 0 -> BYTES : 2)

typedef writer_state {
	byte next;		/* offset of the next WRITE */
	byte acked;		/* known to be taken */
	byte flying;		/* WRITEs in flight */
	bit resend, eager;
	bit shut;		/* SHUTDOWN: asked; its result is back when shut_done */
	bit shut_done;
};
writer_state x[NCH];

inline take_write()
{
	assert(x[u_ch].flying > 0);
	x[u_ch].flying--;
	assert(u_status == OK || u_status == AGAIN || u_status == ORDER || u_status == ENDED);
	if
	:: u_n > 0 ->
		assert(u_off == x[u_ch].acked);
		x[u_ch].acked = u_off + u_n
	:: else
	fi;
	if
	:: u_status == ENDED -> COVER(writer_ended); x[u_ch].next = TOTAL(u_ch); x[u_ch].resend = 0
	:: u_status != ENDED && u_n < u_len && x[u_ch].eager -> COVER(went_back); x[u_ch].next = u_at
	:: u_status != ENDED && u_n < u_len && !x[u_ch].eager -> COVER(waited); x[u_ch].resend = 1
	:: else
	fi;
	if
	:: x[u_ch].resend && x[u_ch].flying == 0 ->
		assert(u_at == x[u_ch].acked);
		x[u_ch].next = x[u_ch].acked; x[u_ch].resend = 0
	:: else
	fi
}

active proctype interrupts()
{
end:	do
	:: d_step { nempty(txu) -> REAP_TX; txn--;
		if
		:: u_op == WRITE -> take_write()
		:: else -> x[u_ch].shut_done = 1
		fi;
		take_state()
	   }
	:: d_step { nempty(rxu) -> REAP_RX; return_event_buffer(); take_state() }
	od
}

#define MAY_WRITE	((w[c].bits & OUT) && !x[c].resend && x[c].next < TOTAL(c) && \
			 x[c].flying < WINDOW && txn < TXS - 1)

proctype writer(byte c)
{
	byte n;

	if
	:: x[c].eager = 0
	:: c == 0 -> x[c].eager = 1
	fi;
	do
	:: atomic { MAY_WRITE ->
		if
		:: n = 1
		:: TOTAL(c) - x[c].next >= 2 -> n = 2
		fi;
		txn++; x[c].flying++; txa!WRITE,c,1,x[c].next,n;
		x[c].next = x[c].next + n; n = 0 }
	:: d_step { !x[c].shut && txn < TXS ->
		x[c].shut = 1; txn++; txa!SHUTDOWN,c,1,TOTAL(c),0 }
	:: d_step { (w[c].bits & OUT_END) && x[c].shut_done && x[c].flying == 0 ->
		assert(s[c].got == TOTAL(c) && s[c].saw_end) } break
	od
}

/* Consumes; notified of room only after it has refused [protocol.md 7.2]. */
proctype peer(byte c)
{
end:	do
	:: d_step { s[c].fill > 0 -> s[c].fill--;
		if
		:: s[c].nospace -> s[c].nospace = 0; s[c].wedge = 1
		:: else
		fi
	   }
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
			run notified(c); run peer(c); run writer(c);
		}
	}
}
