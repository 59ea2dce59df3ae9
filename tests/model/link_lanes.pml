/* SPDX-License-Identifier: MIT */
/*
 * Channels over a byte stream [protocol.md 15.4 to 15.6]: what each owes, turns, grants, ends,
 * slots used again, and sessions that end.
 *
 * Theory. A stream is a FIFO of whole frames with room for two, which stands for the outbox and the
 * stream. link_session.pml has what a session is: a frame that is acted on is of the receiver's own
 * session, and none before it is missing. Here a side that ends a session says START, and drops
 * what comes until it gets the START of the other: what is behind that belongs to the next session.
 *
 * A byte is its offset. A frame has session and generation as they are; what a side compares of
 * them is IS_MINE(). A step of a side is one frame, taken or put, so that the stream can be blocked
 * between any two. The sum over all channels of 15.5 and windows that grow are not modelled.
 *
 * A process writes, shuts down, closes at any time, gives up after it has closed, and opens again
 * in the same slot. A service says bytes, takes bytes, ends, refuses twice, fails. Of several
 * services the last takes nothing (it is deaf) until the first channel is over.
 *
 * Claims: no frame breaks a rule, and none acts on a channel of another use or another session;
 * none finds its receiver without room; ends stand behind the bytes; each open ends, with every
 * byte if its process did not give up, its service was there and its session lasted; a lane that
 * has something to say waits for one turn of each other lane at most, of one frame of each kind.
 */
#ifndef NCH
#define NCH		1
#endif
#ifndef USES
#define USES		2	/* how often each slot is opened */
#endif
#ifndef OUT_BYTES
#define OUT_BYTES	2	/* that a process writes */
#endif
#ifndef IN_BYTES
#define IN_BYTES	1	/* that a service says */
#endif
#ifndef ENDS
#define ENDS		0	/* sessions that end for no reason */
#endif
#ifndef WINDOW
#define WINDOW		1	/* bytes */
#endif
#ifndef LEN
#define LEN		2	/* frames in a stream */
#endif

/*
 * LIGHT: for several slots, without refusals, failures, SHUTDOWN and giving up. STANDING: the
 * channels are there from the start, and bytes are all that moves. PATIENT: a process closes when
 * it was refused, or at the end. STUBBORN: no service takes anything.
 */
#ifdef LIGHT
#define AT_ONCE		OUT_BYTES
#ifdef STANDING
#define MAY_CLOSE(c)	0
#else
#define MAY_CLOSE(c)	(p[c].written == OUT_BYTES)
#endif
#define MAY_END		0
#else
#define AT_ONCE		1
#ifdef PATIENT
#define MAY_CLOSE(c) \
	(p[c].refused || (p[c].told & FAILED) || \
	 ((p[c].told & IN_END) && (p[c].written == OUT_BYTES || p[c].shut)))
#else
#define MAY_CLOSE(c)	1
#endif
#define MAY_END		1
#endif

#ifdef COVERAGE
#define COVER(x) c_code { static int once; if (!once) { once = 1; printf("reached: " #x "\n"); } }
#else
#define COVER(x) skip
#endif

#define DRIVER		0
#define DEVICE		1

/* Kinds, in the order of a turn. */
#define CONNECT		0
#define GRANT		1
#define STATE		2
#define LEAVE		3	/* CLOSE with MP_CLOSE_LATER */
#define DATA		4
#define SHUTDOWN	5
#define CLOSE		6
#define KINDS		7
#define START		7	/* in place of SYNCs */
#define BIT(kind)	(1 << (kind))

/* State bits. */
#define CONNECTED	1
#define REFUSED		2
#define FAILED		4
#define IN_END		16
#define OUT_END		32
#define CLOSED		128

/* What DATA for it means. */
#define NOTHING		0
#define BYTES		1
#define DROPS		2

/* To a side: kind, slot, session, generation, offset or bits, length or flag (of a STATE:
 * what the service has said, for an assertion). */
chan way[2] = [LEN] of { byte, byte, byte, byte, byte, byte };

typedef lane_state {
	bit used;
	byte session, gen;
	byte owed;
	byte out, out_granted;
	byte in, in_granted, held;
	byte takes;
	bit linked;
	byte waited;			/* turns of others since it was linked */
};
lane_state l[2 * NCH];
#define L(s, c)	l[(s) * NCH + (c)]

/* A side of the link. */
chan turns[2] = [NCH] of { byte };
byte kind[2];
byte had[2];				/* kinds that the turn of the first lane had */
byte session[2];			/* that it has, or hunts for */
bit hunts[2], owes_start[2];
byte gens;				/* of the driver, in this session */
byte ends = ENDS;

/* The process of an open. */
typedef process_state {
	byte uses;
	bit open, connected, refused;
	byte written;
	bit shut, closed, aborts;
	bit told_closing;		/* a CLOSE was sent, of either kind */
	bit cut;			/* its session has ended */
	byte told;
};
process_state p[NCH];

/* The service behind it. */
mtype = { FREE, CONNECTING, REFUSING, SERVING, BROKEN, GONE };
typedef service_state {
	mtype phase;
	byte said;
	bit ended, said_end;
	bit shut;
	bit leaving, closing;
	byte told;
	byte refusals;
};
service_state v[NCH];

#ifdef SHORTEST
#define SCRATCH
#else
#define SCRATCH hidden
#endif
SCRATCH byte r_kind, r_c, r_session, r_gen, r_at, r_n, t_c, i_c, t_n, t_at;
SCRATCH byte t_put;

/* --- Lanes ---------------------------------------------------------------- */

#define SAYS_SOON(s, c)	(L(s, c).owed & (BIT(CONNECT) | BIT(GRANT) | BIT(STATE) | BIT(LEAVE)))
#define SAYS_DATA(s, c)	((L(s, c).owed & BIT(DATA)) && L(s, c).out < L(s, c).out_granted)
#ifdef BUG_END_OVERTAKES
#define SAYS_END(s, c)	(L(s, c).owed & (BIT(SHUTDOWN) | BIT(CLOSE)))
#else
#define SAYS_END(s, c) \
	(!(L(s, c).owed & BIT(DATA)) && (L(s, c).owed & (BIT(SHUTDOWN) | BIT(CLOSE))))
#endif
#define SAYS(s, c, k) \
	((L(s, c).owed & BIT(k)) && ((k) < DATA || ((k) == DATA && SAYS_DATA(s, c)) || \
				     ((k) > DATA && SAYS_END(s, c))))

inline queue(s, c)
{
	if
	:: !L(s, c).linked && (SAYS_SOON(s, c) || SAYS_DATA(s, c) || SAYS_END(s, c)) ->
		L(s, c).linked = 1; L(s, c).waited = 0; turns[s]!c
	:: else
	fi
}

inline owe(s, c, bits)
{
	L(s, c).owed = L(s, c).owed | (bits);
	if
	:: L(s, c).owed & BIT(CLOSE) -> L(s, c).owed = L(s, c).owed & (255 - BIT(LEAVE))
	:: else
	fi;
	queue(s, c)
}

inline attach(s, c, number, generation)
{
	assert(!L(s, c).used);
	L(s, c).used = 1; L(s, c).session = number; L(s, c).gen = generation;
	L(s, c).out_granted = WINDOW; L(s, c).in_granted = WINDOW
}

inline detach(s, c)
{
	if
	:: L(s, c).linked ->
		turns[s]?<t_n>;
		turns[s]??eval(c);
		if
		:: t_n == c ->
			had[s] = 0;
#ifndef BUG_KIND_KEPT
			kind[s] = 0
#endif
		:: else
		fi;
		t_n = 0
	:: else
	fi;
	L(s, c).used = 0; L(s, c).session = 0; L(s, c).gen = 0; L(s, c).owed = 0; L(s, c).out = 0;
	L(s, c).out_granted = 0; L(s, c).in = 0; L(s, c).in_granted = 0; L(s, c).held = 0;
	L(s, c).takes = NOTHING; L(s, c).linked = 0; L(s, c).waited = 0
}

#ifdef BUG_GRANT_RECEIVED
#define PASSED_ON(s, c)	L(s, c).in
#else
#define PASSED_ON(s, c)	(L(s, c).in - L(s, c).held)
#endif
#define TARGET(s, c)	(PASSED_ON(s, c) + WINDOW)

/* Owes a GRANT once half of the window is used. */
inline look_at_window(s, c)
{
	if
	:: L(s, c).takes != NOTHING && TARGET(s, c) - L(s, c).in_granted >= (WINDOW + 1) / 2 ->
		L(s, c).owed = L(s, c).owed | BIT(GRANT)
	:: else
	fi;
	queue(s, c)
}

inline set_takes(s, c, how)
{
	L(s, c).takes = how;
	if
	:: how != BYTES && L(s, c).held -> L(s, c).held = 0; look_at_window(s, c)
	:: else
	fi
}

/* --- The service ------------------------------------------------------------ */

#define STATE_OF(c) \
	(v[c].phase == REFUSING -> REFUSED : \
	 (v[c].phase == BROKEN -> CONNECTED | FAILED : \
	  (v[c].phase == GONE -> CLOSED : \
	   (v[c].phase == SERVING -> CONNECTED + v[c].said_end * IN_END + \
	    (v[c].shut && !L(DEVICE, c).held) * OUT_END : 0))))

#ifdef BUG_STATE_LATCHED
byte latched[NCH];
#endif

/* What it is told is not what it is. */
inline note(c)
{
	if
	:: STATE_OF(c) && STATE_OF(c) != v[c].told ->
#ifdef BUG_STATE_LATCHED
		latched[c] = (L(DEVICE, c).owed & BIT(STATE) -> latched[c] : STATE_OF(c));
#endif
		owe(DEVICE, c, BIT(STATE))
	:: else
	fi
}

inline forget_service(c)
{
	v[c].phase = FREE; v[c].said = 0; v[c].ended = 0; v[c].said_end = 0; v[c].shut = 0;
	v[c].leaving = 0; v[c].closing = 0; v[c].told = 0; v[c].refusals = 0
}

inline close_service(c)
{
	v[c].phase = GONE;
	set_takes(DEVICE, c, (v[c].closing -> NOTHING : DROPS));
	note(c)
}

/* --- Sessions --------------------------------------------------------------- */

inline end_session(s)
{
	for (i_c : 0 .. NCH - 1) {
		if
#ifdef BUG_CUT_ONE_SIDE
		:: L(s, i_c).used && s == DRIVER ->
#else
		:: L(s, i_c).used ->
#endif
			COVER(cut);
			detach(s, i_c);
			if
			:: s == DRIVER -> p[i_c].cut = 1
			:: else -> forget_service(i_c)
			fi
		:: else
		fi
	}
	i_c = 0;
	hunts[s] = 1; owes_start[s] = 1; session[s]++
}

inline begin(s)
{
	hunts[s] = 0;
	if
	:: s == DRIVER -> gens = 0
	:: else
	fi
}

/* --- What comes ------------------------------------------------------------- */

#ifdef BUG_NO_GENERATION
#define IS_MINE(s)	(L(s, r_c).used)
#else
#define IS_MINE(s)	(L(s, r_c).used && L(s, r_c).gen == r_gen)
#endif

inline take_connect()
{
	if
	:: !L(DEVICE, r_c).used -> attach(DEVICE, r_c, r_session, r_gen); v[r_c].phase = CONNECTING
	:: else ->
		COVER(tried_again);
		assert(L(DEVICE, r_c).gen == r_gen && v[r_c].phase == REFUSING);
		v[r_c].phase = CONNECTING
	fi;
#ifndef BUG_SAME_STATE
	v[r_c].told = 0
#endif
}

inline take_data(s)
{
	assert(L(s, r_c).takes != NOTHING && r_at == L(s, r_c).in);
	assert(r_at + r_n <= L(s, r_c).in_granted);
	L(s, r_c).in = L(s, r_c).in + r_n;
	if
	:: L(s, r_c).takes == BYTES ->
		L(s, r_c).held = L(s, r_c).held + r_n;
		assert(L(s, r_c).held <= WINDOW)
	:: else -> COVER(dropped)
	fi;
	look_at_window(s, r_c)
}

inline take_grant(s)
{
	assert(r_at > L(s, r_c).out_granted);
	L(s, r_c).out_granted = r_at;
#ifndef BUG_GRANT_NOT_QUEUED
	queue(s, r_c)
#endif
}

inline take_shutdown()
{
	assert(!v[r_c].closing && !v[r_c].shut && r_at == L(DEVICE, r_c).in);
	assert(v[r_c].phase == SERVING || v[r_c].phase == BROKEN || v[r_c].phase == GONE);
	v[r_c].shut = 1;
	note(r_c)
}

/* At a service that is not there, or not any more, it is closed at once. */
#define IS_SERVED(c)	(v[c].phase == SERVING)
#define IS_LEFT(c)	(v[c].leaving || v[c].closing)

inline take_close()
{
	assert(r_n || !v[r_c].closing);		/* a second one only with ABORT */
	assert(r_n || r_at == L(DEVICE, r_c).in);
	v[r_c].closing = 1;
	if
	:: v[r_c].phase != GONE && (r_n || !IS_SERVED(r_c)) -> close_service(r_c)
	:: v[r_c].phase == GONE -> COVER(close_crossed); set_takes(DEVICE, r_c, NOTHING)
	:: else
	fi
}

inline take_leave()
{
	assert(!v[r_c].leaving && !v[r_c].closing);
	v[r_c].leaving = 1;
	if
	:: v[r_c].phase != GONE && !IS_SERVED(r_c) -> close_service(r_c)
	:: else
	fi
}

inline take_state()
{
	p[r_c].told = r_at;
	if
	:: r_at & CLOSED ->
		assert(p[r_c].told_closing);
		detach(DRIVER, r_c);
		p[r_c].open = 0
	:: r_at & REFUSED -> p[r_c].refused = 1
	:: r_at & CONNECTED ->
		assert(!(r_at & IN_END) || L(DRIVER, r_c).in == r_n);
		if
		:: !p[r_c].connected ->
			p[r_c].connected = 1;
			if
			:: !p[r_c].closed -> set_takes(DRIVER, r_c, BYTES); owe(DRIVER, r_c, BIT(DATA))
			:: else
			fi
		:: else
		fi
	fi
}

/* A frame of this session. */
inline take(s)
{
	if
	:: r_kind == CONNECT -> take_connect()
	:: r_kind != CONNECT && !IS_MINE(s) -> COVER(crossed)
	:: r_kind != CONNECT && IS_MINE(s) ->
		assert(L(s, r_c).session == r_session && L(s, r_c).gen == r_gen);
		if
		:: r_kind == DATA -> take_data(s)
		:: r_kind == GRANT -> take_grant(s)
		:: r_kind == STATE -> take_state()
		:: r_kind == SHUTDOWN -> take_shutdown()
		:: r_kind == LEAVE -> take_leave()
		:: r_kind == CLOSE -> take_close()
		fi
	fi
}

inline receive(s)
{
	way[s]?r_kind,r_c,r_session,r_gen,r_at,r_n;
	if
	:: r_kind == START ->
		if
		:: r_session > session[s] -> end_session(s)
		:: else
		fi;
		assert(hunts[s] && r_session == session[s]);
		begin(s)
	:: r_kind != START && hunts[s] -> COVER(old_session)
	:: r_kind != START && !hunts[s] -> take(s)
	fi
}

/* --- Turns ------------------------------------------------------------------ */

#define AVAIL(s, c) \
	((s) == DRIVER -> (p[c].aborts -> 0 : p[c].written - L(DRIVER, c).out) : \
	 (IS_SERVED(c) && !IS_LEFT(c) -> v[c].said - L(DEVICE, c).out : 0))
#define LEFT(s, c)	(L(s, c).out_granted - L(s, c).out)

/* produce() has no more. */
inline no_more(s, c)
{
	L(s, c).owed = L(s, c).owed & (255 - BIT(DATA));
	if
	:: s == DRIVER && p[c].closed -> L(s, c).owed = (L(s, c).owed | BIT(CLOSE)) & (255 - BIT(LEAVE))
	:: s == DEVICE && v[c].ended && IS_SERVED(c) && !IS_LEFT(c) && !v[c].said_end ->
		v[c].said_end = 1; note(c)
	:: else
	fi
}

inline put_data(s, c)
{
	t_at = L(s, c).out;
	t_n = (AVAIL(s, c) < LEFT(s, c) -> AVAIL(s, c) : LEFT(s, c));
	L(s, c).out = t_at + t_n;
#ifndef BUG_NO_LEAVE
	/* A device whose service takes nothing learns that no process waits for that. */
	if
	:: s == DRIVER && p[c].closed && LEFT(s, c) == 0 && !p[c].told_closing ->
		L(s, c).owed = L(s, c).owed | BIT(LEAVE)
	:: else
	fi
#endif
}

/* Offset or bits, length or flag. */
inline fill(s, c)
{
	t_at = 0; t_n = 0;
	if
	:: kind[s] == DATA -> put_data(s, c)
	:: kind[s] != DATA -> L(s, c).owed = L(s, c).owed & (255 - BIT(kind[s]));
		if
		:: kind[s] == GRANT -> t_at = TARGET(s, c); L(s, c).in_granted = t_at
		:: kind[s] == STATE ->
#ifdef BUG_STATE_LATCHED
			t_at = latched[c];
#else
			t_at = STATE_OF(c);
#endif
			v[c].told = t_at; t_n = v[c].said
		:: kind[s] == SHUTDOWN -> t_at = L(s, c).out; assert(t_at == p[c].written)
		:: kind[s] == LEAVE -> p[c].told_closing = 1; COVER(left)
		:: kind[s] == CLOSE -> t_at = L(s, c).out; t_n = p[c].aborts; p[c].told_closing = 1
		:: kind[s] == CONNECT
		fi
	fi
}

inline end_turn(s, c)
{
#ifdef BUG_TURN_KEPT
	if
	:: SAYS_SOON(s, c) || SAYS_DATA(s, c) || SAYS_END(s, c)
	:: else -> turns[s]?eval(c); L(s, c).linked = 0
	fi;
#else
	turns[s]?eval(c); L(s, c).linked = 0;
#endif
	kind[s] = 0; had[s] = 0;
	for (i_c : 0 .. NCH - 1) {
		if
		:: i_c != c && L(s, i_c).linked ->
			L(s, i_c).waited++;
			assert(L(s, i_c).waited < NCH)
		:: else
		fi
	}
	i_c = 0;
#ifndef BUG_NO_REQUEUE
	queue(s, c)
#endif
}

/* One frame of the first lane, and to where its turn goes on. */
inline take_turn(s)
{
	turns[s]?<t_c>;
	t_put = 0;
	do
	:: kind[s] < KINDS && !SAYS(s, t_c, kind[s]) -> kind[s]++
	:: kind[s] < KINDS && SAYS(s, t_c, kind[s]) && kind[s] == DATA && AVAIL(s, t_c) == 0 ->
		no_more(s, t_c); kind[s]++
	:: kind[s] < KINDS && SAYS(s, t_c, kind[s]) && (kind[s] != DATA || AVAIL(s, t_c)) && !t_put ->
		assert(!(had[s] & BIT(kind[s])));
		had[s] = had[s] | BIT(kind[s]);
		fill(s, t_c);
		way[1 - s]!kind[s],t_c,L(s, t_c).session,L(s, t_c).gen,t_at,t_n;
		t_put = 1;
		if
		:: kind[s] == STATE && t_at == CLOSED -> detach(s, t_c); forget_service(t_c); break
		:: else ->
#ifdef BUG_KIND_RESTARTS
			kind[s] = 0; break
#else
			kind[s]++
#endif
		fi
	:: else -> break
	od;
	if
	:: kind[s] == KINDS -> end_turn(s, t_c)
	:: else
	fi;
	t_c = 0; t_at = 0; t_n = 0
}

#ifdef BUG_HELD_BLOCKS
#define MAY_RECEIVE(s)	(!(s == DEVICE && NCH > 1 && L(DEVICE, NCH - 1).held == WINDOW))
#else
#define MAY_RECEIVE(s)	1
#endif

active [2] proctype side()
{
	byte s = _pid;

end:	do
	:: d_step { nempty(way[s]) && MAY_RECEIVE(s) -> receive(s) }
	:: d_step { owes_start[s] && nfull(way[1 - s]) ->
		owes_start[s] = 0; way[1 - s]!START,0,session[s],0,0,0 }
	:: d_step { !hunts[s] && !owes_start[s] && nempty(turns[s]) && nfull(way[1 - s]) ->
		take_turn(s) }
	od
}

/* --- Processes and services --------------------------------------------------- */

#define OPENED(c)	(p[c].open && !p[c].cut)
#define WRITABLE(c)	(OPENED(c) && p[c].connected && !p[c].shut && !p[c].closed && \
			 !(p[c].told & (FAILED | OUT_END)))
#ifdef STANDING
#define IS_OVER(c)	(L(DEVICE, c).in == OUT_BYTES && !L(DEVICE, c).held && \
			 L(DRIVER, c).in == IN_BYTES && !L(DRIVER, c).held)
#else
#define IS_OVER(c)	(p[c].uses == USES && !p[c].open)
#endif

inline forget_process(c)
{
	p[c].open = 0; p[c].connected = 0; p[c].refused = 0; p[c].written = 0; p[c].shut = 0;
	p[c].closed = 0; p[c].aborts = 0; p[c].told_closing = 0; p[c].cut = 0; p[c].told = 0
}

/* No end is said of what is cut. */
inline end_data(c)
{
#ifdef BUG_ABORT_SHUTS
	L(DRIVER, c).owed = L(DRIVER, c).owed & (255 - BIT(DATA))
#else
	L(DRIVER, c).owed = L(DRIVER, c).owed & (255 - BIT(DATA) - BIT(SHUTDOWN))
#endif
}

proctype process(byte c)
{
	do
	:: d_step { !p[c].open && p[c].uses < USES && !hunts[DRIVER] ->
		forget_process(c);
		p[c].uses++; p[c].open = 1; gens++;
		attach(DRIVER, c, session[DRIVER], gens);
		owe(DRIVER, c, BIT(CONNECT)) }
	:: d_step { WRITABLE(c) && p[c].written < OUT_BYTES ->
		p[c].written = p[c].written + AT_ONCE; owe(DRIVER, c, BIT(DATA)) }
#ifndef LIGHT
	:: d_step { WRITABLE(c) -> p[c].shut = 1; owe(DRIVER, c, BIT(SHUTDOWN)) }
#endif
	:: d_step { OPENED(c) && p[c].refused && !p[c].closed ->
		p[c].refused = 0; owe(DRIVER, c, BIT(CONNECT)) }
	/* It reads. */
	:: d_step { OPENED(c) && L(DRIVER, c).held ->
		L(DRIVER, c).held--; look_at_window(DRIVER, c) }
	:: d_step { OPENED(c) && MAY_CLOSE(c) && !p[c].closed ->
		p[c].closed = 1;
		set_takes(DRIVER, c, DROPS);
		if
#ifndef BUG_NO_LEAVE
		:: (L(DRIVER, c).owed & BIT(DATA)) && LEFT(DRIVER, c) == 0 -> owe(DRIVER, c, BIT(LEAVE))
#endif
		:: !(L(DRIVER, c).owed & BIT(DATA)) -> owe(DRIVER, c, BIT(CLOSE))
		:: else
		fi;
#ifdef BUG_REUSE_EARLY
		if
		:: !(L(DRIVER, c).owed & BIT(DATA)) -> p[c].open = 0
		:: else
		fi
#endif
	   }
#ifndef LIGHT
	:: d_step { OPENED(c) && p[c].closed && !p[c].aborts -> COVER(gave_up);
		p[c].aborts = 1;
		end_data(c);
		owe(DRIVER, c, BIT(CLOSE)) }
#endif
	:: d_step { p[c].cut -> forget_process(c) }
	:: IS_OVER(c) -> break
	od
}

#ifdef STUBBORN
#define IS_DEAF(c)	1
#else
#define IS_DEAF(c)	(NCH > 1 && c == NCH - 1 && !IS_OVER(0))
#endif

/* The process is still that of the same open. */
#define IS_BOTH(c)	(L(DRIVER, c).used && L(DRIVER, c).gen == L(DEVICE, c).gen && \
			 L(DRIVER, c).session == L(DEVICE, c).session)

proctype service(byte c)
{
end:	do
	:: d_step { v[c].phase == CONNECTING ->
		v[c].phase = SERVING; set_takes(DEVICE, c, BYTES); note(c) }
#ifndef LIGHT
	:: d_step { v[c].phase == CONNECTING && v[c].refusals < 2 ->
		v[c].refusals++; v[c].phase = REFUSING; note(c) }
	:: d_step { IS_SERVED(c) -> v[c].phase = BROKEN; set_takes(DEVICE, c, DROPS); note(c) }
#endif
	:: d_step { IS_SERVED(c) && v[c].said < IN_BYTES && !v[c].ended && !IS_LEFT(c) ->
		v[c].said++; owe(DEVICE, c, BIT(DATA)) }
	:: d_step { IS_SERVED(c) && MAY_END && !IS_LEFT(c) && !v[c].ended -> v[c].ended = 1;
#ifdef BUG_END_FIRST
		v[c].said_end = 1; note(c);
#endif
		owe(DEVICE, c, BIT(DATA)) }
	:: d_step { IS_SERVED(c) && L(DEVICE, c).held && !IS_DEAF(c) ->
		L(DEVICE, c).held--; look_at_window(DEVICE, c); note(c) }
	:: d_step { IS_SERVED(c) && v[c].closing && !L(DEVICE, c).held ->
		COVER(closed_well);
		assert(!IS_BOTH(c) || L(DEVICE, c).in == p[c].written);
		close_service(c) }
	/* 8.3: the linger limit. */
	:: d_step { IS_SERVED(c) && IS_LEFT(c) && IS_DEAF(c) -> COVER(lingered);
		close_service(c) }
	od
}

active proctype world()
{
	do
	:: d_step { ends && !hunts[0] -> ends--; end_session(0) }
	:: d_step { ends && !hunts[1] -> ends--; end_session(1) }
	:: d_step { ends = 0 } break
	od
}

init {
	byte c;

	atomic {
		for (c : 0 .. NCH - 1) {
			v[c].phase = FREE;
#ifdef STANDING
			p[c].uses = USES; p[c].open = 1; p[c].connected = 1; v[c].phase = SERVING;
			attach(DRIVER, c, 0, 1); set_takes(DRIVER, c, BYTES);
			attach(DEVICE, c, 0, 1); set_takes(DEVICE, c, BYTES);
			v[c].told = STATE_OF(c);
#endif
			run process(c); run service(c);
		}
	}
}
