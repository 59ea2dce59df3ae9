/* SPDX-License-Identifier: MIT */
/*
 * Sessions over a byte stream that loses bytes [protocol.md 15.2, 15.3, 15.7]: two sides that start
 * at any time, hunt, answer, have a session, send frames in it, and end it.
 *
 * Theory. A stream is a FIFO of pieces. A hole begins and ends anywhere, also within a piece, and
 * swallows any number of them. What is left of a frame or a SYNC is
 *   CUT	its beginning: a receiver in a session takes what follows for the rest
 *   REST	its end: no beginning of anything
 * and a SYNC whose end is missing, where the hole ends within a later one, is SYNC with the sender
 * of the first and what the second has heard. Zeros of which some are lost are none. The outbox of
 * a side that starts is forgotten, which may cut a frame as well.
 *
 * A nonce is the number of the start that took it, so the truth can be told; what a side compares
 * on the wire goes through SAME() and SAME_NUMBER().
 *
 * Time. When nothing else can happen, whatever is due happens at both sides, in any order: that is
 * a round. EARLY times it happens before that. Each side has channels, so it looks for silence.
 *
 * Claims: a side opens a session only with a peer that has heard this very start of it, never by an
 * old SYNC nor by one that a process sent as data; a frame is acted on whole, in the session that
 * it was sent in, behind all frames before it. Once the world stands still, both sides have the
 * same session within ROUNDS rounds, with no byte missing in it.
 */
#ifndef RESTARTS
#define RESTARTS	1
#endif
#ifndef HOLES
#define HOLES		1
#endif
#ifndef EARLY
#define EARLY		0
#endif
#ifndef FRAMES
#define FRAMES		1	/* that each side sends, besides PINGs */
#endif
#ifndef FORGED
#define FORGED		1	/* how many of all frames may have a SYNC for their data */
#endif
#ifndef ROUNDS
#define ROUNDS		4
#endif
#ifndef SILENCE
#define SILENCE		1	/* 0: no answer time */
#endif
#define LEN		8	/* pieces in a stream */
#define MOST		12	/* starts of a side */

#ifdef COVERAGE
#define COVER(x) c_code { static int once; if (!once) { once = 1; printf("reached: " #x "\n"); } }
#else
#define COVER(x) skip
#endif

/* On the way, or what a side is in the middle of. */
mtype = { PAD, SYNC, FRAME, CUT, REST, NOTHING, SHORT, LONG };
/* Phases. */
mtype = { HUNTS, PUT_OFF, HAS };
/* A stream. */
mtype = { SOUND, LOSES };

/*
 * To a side: what; start of the sender, start that it has heard, sequence number (SYNC: it hunts);
 * and of a FRAME whose data is a SYNC the two starts in that, of a PING 0 and PING.
 */
#define PING	255
chan way[2] = [LEN] of { mtype, byte, byte, byte, byte, byte };
mtype stream[2] = SOUND;
byte torn[2];			/* the hole began in a SYNC of that start */

typedef side_state {
	mtype phase;
	byte mine, heard;
	byte opened;		/* the start that last had a session */
	byte in_seq, out_seq;
	mtype within;		/* the beginning of something: how long it takes itself for */
	bit owes_pad, owes_sync, owes_ping, owes_pong;
	bit asked;		/* no frame came since a PING was owed */
	bit due;
	byte frames;		/* left to send */
};
side_state x[2];

byte holes = HOLES, early = EARLY, restarts = RESTARTS, forged = FORGED;
byte rounds;
bit still;			/* the world does nothing any more */

#ifdef SHORTEST
#define SCRATCH
#else
#define SCRATCH hidden
#endif
SCRATCH mtype p_kind;
SCRATCH byte p_a, p_b, p_q, p_fa, p_fb;

/* --- Wire ----------------------------------------------------------------- */

#ifdef BUG_SAME_NONCE
#define SAME(a, b)	(((a) != 0) == ((b) != 0))
#else
#define SAME(a, b)	((a) == (b))
#endif

#ifdef BUG_NO_NUMBER
#define SAME_NUMBER(s)	1
#else
#define SAME_NUMBER(s)	(SAME(p_a, x[s].heard) && SAME(p_b, x[s].mine))
#endif

#ifdef BUG_NO_SEQ
#define SAME_SEQ(s)	1
#else
#define SAME_SEQ(s)	(p_q == x[s].in_seq)
#endif

#define ROOM(s)		(len(way[s]) + 3 <= LEN)

inline put(to, kind, a, b, q, fa, fb)
{
	if
	:: stream[to] == SOUND -> way[to]!kind,a,b,q,fa,fb
	:: stream[to] == SOUND && holes > 0 ->
		holes--; stream[to] = LOSES;
		if
		:: true
		:: kind == SYNC -> torn[to] = a
		:: kind == FRAME -> way[to]!CUT,a,b,q,0,0
		fi
	:: stream[to] == LOSES
	:: stream[to] == LOSES ->
		stream[to] = SOUND;
		if
		:: kind == SYNC && torn[to] -> COVER(mixed); way[to]!SYNC,torn[to],b,q,0,0
		:: else ->
			if
			:: torn[to] -> way[to]!CUT,0,0,0,0,0
			:: else
			fi;
			if
			:: kind == FRAME && fa -> way[to]!SYNC,fa,fb,1,0,0; way[to]!REST,0,0,0,0,0
			:: kind == FRAME || kind == SYNC -> way[to]!REST,0,0,0,0,0
			:: kind == PAD
			fi
		fi;
		torn[to] = 0
	fi
}

/* The hole ends between two pieces. */
inline recover(to)
{
	stream[to] = SOUND;
	if
	:: torn[to] -> way[to]!CUT,0,0,0,0,0; torn[to] = 0
	:: else
	fi
}

/* --- A side --------------------------------------------------------------- */

inline start_now(s)
{
	assert(x[s].mine < MOST);
	x[s].mine++;
	x[s].phase = HUNTS;
#ifndef BUG_NO_PAD
	x[s].owes_pad = 1;
#endif
	x[s].owes_sync = 1
}

inline forget(s)
{
	if
	:: x[s].phase == HAS && ROOM(1 - s) ->
		if
		:: true
		:: way[1 - s]!CUT,x[s].mine,x[s].heard,x[s].out_seq,0,0
		fi
	:: else
	fi;
	x[s].heard = 0; x[s].in_seq = 0; x[s].out_seq = 0; x[s].within = NOTHING;
	x[s].owes_pad = 0; x[s].owes_sync = 0; x[s].owes_ping = 0; x[s].owes_pong = 0;
	x[s].asked = 0
}

/* Whether a second has passed since the last start is open, so the next one is put off or not. */
inline end_session(s)
{
	assert(x[s].phase == HAS);
	forget(s);
	if
	:: start_now(s)
	:: x[s].phase = PUT_OFF
	fi
}

inline begin(s)
{
	/* The peer has heard this start. */
	assert(p_b == x[s].mine);
	assert(x[s].opened != x[s].mine);
	x[s].opened = x[s].mine;
	x[s].phase = HAS;
	x[s].owes_pad = 0
}

#ifdef BUG_OPEN_ANY
#define HAS_OURS(s)	1
#else
#define HAS_OURS(s)	SAME(p_b, x[s].mine)
#endif

#ifdef BUG_ANSWER_ALWAYS
#define IS_ANSWERED	1
#else
#define IS_ANSWERED	(p_q != 0)
#endif

/* link_session_hear(): a SYNC in p_a, p_b, p_q. */
inline hear(s)
{
	x[s].heard = p_a;
	if
#ifdef BUG_PUT_OFF_OPENS
	:: x[s].phase == PUT_OFF && SAME(p_b, x[s].mine) -> begin(s)
	:: x[s].phase == PUT_OFF && !SAME(p_b, x[s].mine)
#else
	:: x[s].phase == PUT_OFF -> COVER(put_off)
#endif
	:: x[s].phase == HUNTS && HAS_OURS(s) -> x[s].owes_sync = IS_ANSWERED; begin(s)
	:: x[s].phase == HUNTS && !HAS_OURS(s) -> x[s].owes_sync = x[s].owes_sync || IS_ANSWERED
#ifdef BUG_LATE_UNANSWERED
	:: x[s].phase == HAS
#else
	:: x[s].phase == HAS -> x[s].owes_sync = x[s].owes_sync || IS_ANSWERED
#endif
	fi
}

/* A piece that a hunter looks at. */
inline hunt(s)
{
	if
	:: p_kind == SYNC -> hear(s)
	:: p_kind == FRAME && p_fa -> COVER(data_heard); p_a = p_fa; p_b = p_fb; p_q = 1; hear(s)
	:: else
	fi
}

/* From the second byte of what was wrong. */
inline give_up(s)
{
	end_session(s);
	hunt(s)
}

inline act(s)
{
	assert(p_kind == FRAME && p_a == x[s].heard && p_b == x[s].mine && p_q == x[s].in_seq);
	COVER(acted);
	x[s].in_seq++; x[s].asked = 0;
	if
	:: p_fb == PING -> x[s].owes_pong = 1
	:: else
	fi
}

inline take_sync(s)
{
	if
	:: SAME(p_a, x[s].heard) -> COVER(late_sync); hear(s)
	:: else ->
#ifndef BUG_RESTART_UNSEEN
		COVER(restarted);
		end_session(s); p_b = 0; hear(s)
#else
		skip
#endif
	fi
}

/* A piece that stands where a frame could begin. */
inline take(s)
{
	if
	:: x[s].phase != HAS -> hunt(s)
	:: x[s].phase == HAS && p_kind == PAD
	:: x[s].phase == HAS && p_kind == SYNC -> take_sync(s)
	:: x[s].phase == HAS && p_kind == REST -> give_up(s)
	:: x[s].phase == HAS && p_kind == FRAME ->
		if
		:: SAME_NUMBER(s) && SAME_SEQ(s) -> act(s)
		:: else -> COVER(lost); give_up(s)
		fi
	:: x[s].phase == HAS && p_kind == CUT ->
		if
#ifdef BUG_TORN_ACTS
		:: SAME_NUMBER(s) && SAME_SEQ(s) -> act(s)
#else
		:: p_a == 0 || (SAME_NUMBER(s) && SAME_SEQ(s)) ->
			if
			:: x[s].within = SHORT
			:: x[s].within = LONG
			fi
#endif
		:: else -> give_up(s)
		fi
	fi
}

#define TAKE(s)		way[s]?p_kind,p_a,p_b,p_q,p_fa,p_fb
#define HAS_PAD(s)	way[s]??[PAD,0,0,0,0,0]

#define AGREE(s)	(x[s].phase == HAS && x[s].heard == x[1 - s].mine)
#define ALL_CAME(s)	(len(way[s]) == 0 && x[s].within == NOTHING && x[s].in_seq == x[1 - s].out_seq)
#define HEALTHY		(AGREE(0) && AGREE(1) && ALL_CAME(0) && ALL_CAME(1))

#define MAY_SEND(s)	(x[s].phase == HAS && !x[s].owes_sync && ROOM(1 - s))

inline send(s, fa, fb)
{
	put(1 - s, FRAME, x[s].mine, x[s].heard, x[s].out_seq, fa, fb);
	x[s].out_seq++
}

active [2] proctype side()
{
	byte s = _pid;

	atomic { x[s].within = NOTHING; x[s].frames = FRAMES; start_now(s) };
end:	do
	/* What comes. */
	:: atomic { nempty(way[s]) && x[s].within == NOTHING -> TAKE(s); take(s) }
	:: atomic { nempty(way[s]) && x[s].within == SHORT -> TAKE(s); give_up(s) }
	:: atomic { x[s].within == LONG && (HAS_PAD(s) || !ROOM(s)) -> COVER(completed);
		TAKE(s); give_up(s) }
	/* What is owed. */
	:: atomic { x[s].owes_pad && ROOM(1 - s) -> x[s].owes_pad = 0;
		put(1 - s, PAD, 0, 0, 0, 0, 0) }
	:: atomic { x[s].owes_sync && !x[s].owes_pad && ROOM(1 - s) -> x[s].owes_sync = 0;
		put(1 - s, SYNC, x[s].mine, x[s].heard, (x[s].phase == HUNTS), 0, 0) }
	:: atomic { x[s].owes_ping && MAY_SEND(s) -> x[s].owes_ping = 0;
		send(s, 0, PING) }
	:: atomic { x[s].owes_pong && MAY_SEND(s) -> x[s].owes_pong = 0; send(s, 0, 0) }
	:: atomic { x[s].frames && MAY_SEND(s) -> x[s].frames--; send(s, 0, 0) }
	:: atomic { x[s].frames && forged && MAY_SEND(s) -> x[s].frames--; forged--;
		send(s, x[s].mine, x[s].heard) }
	/* Time. */
	:: atomic { x[s].due && x[s].phase == PUT_OFF -> x[s].due = 0; start_now(s) }
	:: atomic { x[s].due && x[s].phase == HUNTS -> x[s].due = 0;
#ifndef BUG_NO_AGAIN
#ifndef BUG_NO_PAD
#ifndef BUG_PAD_ONCE
		x[s].owes_pad = 1;
#endif
#endif
		x[s].owes_sync = 1
#endif
	   }
	:: atomic { x[s].due && x[s].phase == HAS && !x[s].asked -> x[s].due = 0;
#ifndef BUG_NO_PING
		x[s].owes_ping = SILENCE;
#endif
		x[s].asked = SILENCE }
#ifndef BUG_NO_ANSWER_TIME
	:: atomic { x[s].due && x[s].phase == HAS && x[s].asked -> COVER(silent); x[s].due = 0;
		assert(!still || !HEALTHY); end_session(s) }
#endif
	od
}

/* --- The world ------------------------------------------------------------ */

#if SILENCE
#define DONE		HEALTHY
#else
#define DONE		(AGREE(0) && AGREE(1))
#endif

inline restart(s)
{
	COVER(restart);
	restarts--;
	if
	:: true
	:: nempty(way[s]) ->
		do
		:: nempty(way[s]) -> TAKE(s)
		:: empty(way[s]) -> break
		od
	fi;
	forget(s);
	start_now(s)
}

active proctype world()
{
	do
	:: atomic { restarts && x[0].mine -> restart(0) }
	:: atomic { restarts && x[1].mine -> restart(1) }
	:: atomic { early -> early--; x[0].due = 1 }
	:: atomic { early -> early--; x[1].due = 1 }
	:: atomic { stream[0] == LOSES && ROOM(0) -> recover(0) }
	:: atomic { stream[1] == LOSES && ROOM(1) -> recover(1) }
	:: atomic { stream[0] == SOUND && stream[1] == SOUND ->
		holes = 0; restarts = 0; early = 0; still = 1; break }
	od
}

/* A session that is whole outlasts two rounds more. */
active proctype clock()
{
	byte calm;

	do
	:: atomic { timeout && !DONE -> assert(rounds < ROUNDS); rounds++; calm = 0;
		x[0].due = 1; x[1].due = 1 }
	:: atomic { timeout && DONE && calm < 2 * SILENCE -> calm++; x[0].due = 1; x[1].due = 1 }
	:: atomic { timeout && DONE && calm == 2 * SILENCE -> break }
	od
}
