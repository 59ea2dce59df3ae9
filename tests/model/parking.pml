/* SPDX-License-Identifier: MIT */
/*
 * Parking and event buffers [protocol.md 6.5, 7.3, 11.3]: more waiters than the
 * receive queue has room for. Every channel keeps a READ open there while it
 * can; the driver never turns to the transmit queue, so that all rests on the
 * receive queue alone. The services speak one after the other, in any order,
 * each when the one before has been heard: a waiter that cannot be reached
 * stops them all.
 *
 * The queue has 8 descriptors: 2 event buffers (a quarter), at most 4 under
 * parked READs (half), which leaves 2 for the READ that is on its way. A READ
 * takes COST descriptors; COST above a quarter shows why it may not.
 */
#ifndef NCH
#define NCH	4
#endif
#define TXS	1
#ifndef RXS
#define RXS	8
#endif
#ifndef EVBUFS
#define EVBUFS	2
#endif
#define SBUF	1
#ifndef COST
#define COST	2
#endif

#define new_service(c)	skip
#include "protocol.pml"

typedef reader_state {
	bit out;		/* its READ is in flight */
	bit again;		/* the READ came back: sleep on IN */
	bit heard;
};
reader_state r[NCH];
byte speaking;			/* a byte is under way */

active proctype interrupts()
{
end:	do
	:: d_step { nempty(rxu) -> REAP_RX;
		if
		:: u_op == EVENT -> return_event_buffer()
		:: else ->
			assert(r[u_ch].out && (u_status == OK || u_status == AGAIN));
			rxn = rxn - COST;
			r[u_ch].out = 0;
			r[u_ch].again = (u_status == AGAIN);
			if
			:: u_n == 1 -> assert(!r[u_ch].heard);
				r[u_ch].heard = 1; speaking--
			:: else
			fi
		fi;
		take_state()
	   }
	od
}

#define MAY_READ	(!r[c].out && rxn + COST <= RXS && !r[c].heard && \
			 (!r[c].again || (w[c].bits & IN)))

/* Done when its byte came; then its descriptors are free for the others. */
proctype reader(byte c)
{
	do
	:: d_step { MAY_READ -> rxn = rxn + COST; r[c].out = 1; rxa!READ,c,1,0,2 }
	:: r[c].heard -> break
	od
}

/* Says its one byte when no other is speaking. */
proctype peer(byte c)
{
end:	d_step { !speaking && s[c].made == 0 ->
		speaking++; s[c].made = 1; s[c].avail = 1; s[c].redge = 1 }
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
			run notified(c); run peer(c); run reader(c);
		}
	}
}
