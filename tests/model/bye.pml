/* SPDX-License-Identifier: MIT */
/*
 * BYE of the device [protocol.md 3.7, 10.9]: the daemon ends at any moment, CRASHES times, and
 * another one takes over what is in the rings and what was out of them. The driver has one slot, and
 * USES it in one generation after the other: CONNECT, a READ that may be parked, CLOSE.
 *
 * No request that the driver does not count as lost is answered as unknown, each comes back once, and
 * a slot that is used again is free at the device. A CONNECT that was there before BYE makes no record.
 * One that waits in the driver when BYE comes is of a channel that is not lost.
 */
#ifndef CRASHES
#define CRASHES	2
#endif
#ifndef USES
#define USES	2
#endif

mtype = { CONNECT, READ, CLOSE, OK, STALE, BUSY };

chan avail = [4] of { mtype, byte };		/* op, generation */
chan used = [4] of { mtype, byte, mtype };
chan out = [4] of { mtype, byte };		/* taken, and not given back */
chan bye = [3] of { byte };			/* to the driver: numbers */
chan answer = [3] of { byte };

/* The device. */
byte record;			/* the generation that it knows; 0: none */
byte number;			/* of its newest BYE */
bool is_open;			/* not answered yet */
bool is_due;
byte left;			/* chains of a daemon before this one that are out */
byte old;			/* of avail, that are older than its newest BYE */
byte crashes;
byte last;			/* answer that was acted on; it may be acted on twice */

/* The driver. */
byte generation = 1;
byte connects, reads, closes;	/* out */
bool is_named, is_lost, is_closing, is_closed;
bool is_waiting;		/* its CONNECT, for room in the queue */

#ifdef BUG_NO_WAIT
#define MAY_SERVE	true
#else
#define MAY_SERVE	(!is_open)
#endif

inline serve(op, g) {
	if
	:: op == CONNECT ->
		if
		:: !old && record == 0 -> record = g; used!op,g,OK
		:: else -> used!op,g,BUSY
		fi
	:: op == READ && record == g ->
		if
		:: out!op,g		/* parked */
		:: used!op,g,OK
		fi
	:: op == CLOSE && record == g ->
		if
		:: out??[READ,eval(g)] -> out??READ,eval(g); used!READ,g,OK
		:: else
		fi;
		record = 0;
		used!op,g,OK
	:: else -> used!op,g,STALE
	fi;
	old = (old -> old - 1 : 0)
}

active proctype device() {
	mtype op;
	byte g, n;

end:	do
	:: atomic { is_due && nfull(bye) -> is_due = false; bye!number }
	:: atomic { answer?n ->
		last = n;
		if
#ifdef BUG_OLD_ANSWER
		:: true -> is_open = false
#else
#ifdef BUG_OLD_AT_ANSWER
		:: n == number -> is_open = false; old = len(avail)
#else
		:: n == number -> is_open = false
#endif
		:: else
#endif
		fi
	   }
	:: atomic { left > 0 && MAY_SERVE -> left--; out?op,g; used!op,g,STALE }
	:: atomic { left == 0 && MAY_SERVE && avail?[op,g] -> avail?op,g; serve(op, g) }
	/* Taken, and not given back when the daemon ends. */
	:: atomic { left == 0 && MAY_SERVE && crashes < CRASHES && avail?[op,g] ->
		avail?op,g; out!op,g; goto crash
	   }
	:: atomic { crashes < CRASHES ->
crash:		crashes++;
		record = 0;
		left = len(out);
		old = len(avail);
#ifdef BUG_SAME_NUMBER
		number = 1;
#else
		number = number % 5 + 1;
#endif
		is_open = true;
		is_due = true;
		if
		:: last && empty(answer) -> answer!last
		:: true
		fi;
		last = 0
	   }
	od
}

/* Answers, and BYE: in any order. */
active proctype interrupts() {
	mtype op, status;
	byte g, n;

end:	do
	:: atomic { used?op,g,status ->
		assert(g == generation);
		if
		:: op == CONNECT -> assert(connects); connects--
		:: op == READ -> assert(reads); reads--
		:: op == CLOSE -> assert(closes); closes--; is_closed = true
		fi;
		assert(status != BUSY || is_lost);
		assert(status != STALE || is_lost || is_closing)
	   }
	:: atomic { bye?n ->
		if
#ifdef BUG_ADDED_STAYS
		:: is_named && !connects -> is_lost = true
#else
		:: is_named && !is_waiting -> is_lost = true
#endif
		:: else
		fi;
		answer!n
	   }
	od
}

active proctype process() {
	do
	:: atomic { !is_named -> is_named = true; is_waiting = true; connects++ }
	:: atomic { is_waiting -> is_waiting = false; avail!CONNECT,generation }
	:: atomic { is_named && !connects && !is_lost && !is_closing && !reads ->
		reads++; avail!READ,generation
	   }
	:: atomic { is_named && !connects && !is_closing ->
		is_closing = true;
#ifdef BUG_NO_CLOSE
		if
		:: is_lost -> is_closed = true; goto next
		:: else
		fi;
#endif
		closes++; avail!CLOSE,generation
	   }
	:: atomic { is_closed && !reads && !closes ->
next:		is_named = false; is_lost = false; is_closing = false; is_closed = false;
		if
		:: generation < USES -> generation++
		:: else -> break
		fi
	   }
	od;
	/* Nothing is left at the device, and every BYE is answered in the end. */
	atomic { !is_due && empty(bye) && empty(answer) -> assert(!record && !is_open) }
}
