/* SPDX-License-Identifier: MIT */
/*
 * The device: one step for each chain taken, event sent, or notification of a
 * service. Included by protocol.pml; numbers are clauses of docs/protocol.md.
 */

inline result(status, n, at)
{
	if
	:: r_rx -> rxu!r_op,r_ch,r_gen,r_off,r_len,status,n,at,d[r_ch].seq,d[r_ch].bits;
		GAVE_RX(IS_LAZY)
	:: else -> txu!r_op,r_ch,r_gen,r_off,r_len,status,n,at,d[r_ch].seq,d[r_ch].bits; GAVE_TX
	fi;
	RESULT_TOLD(r_ch)
}

inline result_stale()
{
	if
	:: r_rx -> rxu!r_op,r_ch,r_gen,r_off,r_len,STALE,0,0,0,0; GAVE_RX(IS_LAZY)
	:: else -> txu!r_op,r_ch,r_gen,r_off,r_len,STALE,0,0,0,0; GAVE_TX
	fi
}

/* 6.5: the parked READ goes back, once. */
inline unpark(c, status, n)
{
	d[c].parked = 0; nparked = nparked - COST;
	rxu!READ,c,d[c].gen,d[c].poff,d[c].plen,status,n,d[c].in,d[c].seq,d[c].bits;
	GAVE_RX(PARKED_LAZY(c));
	d[c].poff = 0; d[c].plen = 0;
	PARKED_TOLD(c)
}

/* 6.4: moves up to @max bytes into a READ; r_n is the count. */
inline fill_read(c, max)
{
	r_n = (s[c].avail < max -> s[c].avail : max);
#ifdef BUG_SHORT_DRAIN
	/* The service gave less than it has: taken for "empty". */
	r_n = (r_n > 1 -> r_n - 1 : r_n);
#endif
	s[c].avail = s[c].avail - r_n;
	d[c].in = d[c].in + r_n;
	if
	:: r_n == max ->
		COVER(read_full);
#ifdef BUG_EXACT_DRAIN
		clear_bits(c, IN)
#else
		set_bits(c, IN)
#endif
	:: r_n < max && s[c].end && s[c].avail == 0 -> COVER(read_end); set_bits(c, IN_END)
	:: r_n < max && !(s[c].end && s[c].avail == 0) -> clear_bits(c, IN)
	fi
}

/* 6.5: half of the queue's descriptors may wait. */
#if defined(BUG_PARK_UNBOUNDED)
#define MAY_PARK	1
#elif defined(BUG_PARK_COUNTS_CHAINS)
#define MAY_PARK	(nparked / COST + 1 <= RXS / 2)
#else
#define MAY_PARK	(nparked + COST <= RXS / 2)
#endif

inline do_read()
{
	if
	:: d[r_ch].closing || !(d[r_ch].bits & CONNECTED) -> result(BAD_STATE, 0, d[r_ch].in)
	:: else ->
		if
		:: r_off != d[r_ch].in ->
			COVER(read_order);
#ifdef BUG_ORDER_ARMS
			clear_bits(r_ch, IN);
#endif
			result(ORDER, 0, d[r_ch].in)
		:: r_off == d[r_ch].in && (d[r_ch].bits & IN_END) ->
			result(OK, 0, d[r_ch].in)
		:: r_off == d[r_ch].in && !(d[r_ch].bits & IN_END) && r_rx && !IS_NOW && d[r_ch].parked ->
			result(BUSY, 0, d[r_ch].in)
		:: else ->
			assert(r_gen == d[r_ch].gen);
			fill_read(r_ch, r_len);
			r_moved = (r_n > 0 || (d[r_ch].bits & IN_END));
			if
			:: r_moved -> result(OK, r_n, d[r_ch].in)
			:: !r_moved && r_rx && !IS_NOW && MAY_PARK ->
				COVER(parked);
				d[r_ch].parked = 1; nparked = nparked + COST;
				d[r_ch].poff = r_off; d[r_ch].plen = r_len;
				PARKS_AS(r_ch)
			:: else ->
				if
				:: r_rx -> COVER(park_bound)
				:: else -> COVER(read_again)
				fi;
				result(AGAIN, 0, d[r_ch].in)
			fi;
			if
			:: !r_rx && r_moved && d[r_ch].parked ->
				COVER(parked_order);
				if
				:: d[r_ch].in != d[r_ch].poff -> unpark(r_ch, ORDER, 0)
				:: else -> unpark(r_ch, OK, 0)
				fi
			:: else
			fi
		fi
	fi
}

/* 8.1, 8.3: has the final offset been reached? A deaf service reaches it too. */
inline check_final(c)
{
	if
#ifdef BUG_DEAF_LINGERS
	:: d[c].fin != NOFIN && d[c].out == d[c].fin && !s[c].saw_end ->
#else
	:: d[c].fin != NOFIN && !s[c].saw_end &&
	   (d[c].out == d[c].fin || (d[c].bits & OUT_END)) ->
#endif
		s[c].saw_end = 1;
		set_bits(c, OUT_END)
	:: else
	fi
}

/* 8.3: throws away what the service still says; closed when both ends are. */
inline check_closed(c)
{
	if
#ifdef BUG_DRAIN_LATE
	:: d[c].closing && !s[c].saw_end -> skip
#endif
	:: d[c].closing && s[c].avail > 0 ->
		COVER(close_discards); s[c].avail = 0
	:: else
	fi;
	if
	:: d[c].closing && s[c].saw_end && s[c].end && !(d[c].bits & CLOSED) ->
		set_bits(c, CLOSED)
	:: else
	fi
}

inline do_write()
{
	if
	:: !(d[r_ch].bits & CONNECTED) || (d[r_ch].bits & CLOSED) ->
		result(BAD_STATE, 0, d[r_ch].out)
	:: else ->
		if
		:: d[r_ch].bits & OUT_END -> COVER(write_ended); result(ENDED, 0, d[r_ch].out)
#ifndef BUG_ORDER_SERVES
		:: !(d[r_ch].bits & OUT_END) && r_off != d[r_ch].out ->
			COVER(write_order);
#ifdef BUG_ORDER_ARMS
			clear_bits(r_ch, OUT);
#endif
			result(ORDER, 0, d[r_ch].out)
#endif
		:: else ->
			serve_write()
		fi
	fi
}

inline serve_write()
{
	assert(r_gen == d[r_ch].gen);
	if
	:: s[r_ch].deaf ->
		set_bits(r_ch, OUT_END);
		check_final(r_ch); check_closed(r_ch);
		result(ENDED, 0, d[r_ch].out)
	:: else ->
		r_n = (SBUF - s[r_ch].fill < r_len -> SBUF - s[r_ch].fill : r_len);
#ifdef BUG_SHORT_FULL
		/* The service took less than it could: taken for "full". */
		r_n = (r_n > 1 -> 1 : r_n);
#endif
		/* The bytes are numbers r_off..: none lost, none twice, this use's. */
		assert(r_n == 0 || (r_off == s[r_ch].got && !s[r_ch].saw_end));
		s[r_ch].fill = s[r_ch].fill + r_n;
		s[r_ch].got = s[r_ch].got + r_n;
		d[r_ch].out = d[r_ch].out + r_n;
		if
		:: r_n < r_len ->
			if
			:: s[r_ch].fill == SBUF -> s[r_ch].nospace = 1
			:: else
			fi;
			clear_bits(r_ch, OUT)
		:: else
		fi;
		check_final(r_ch); check_closed(r_ch);
		if
		:: r_n > 0 && r_n < r_len -> COVER(write_short); result(OK, r_n, d[r_ch].out)
		:: r_n > 0 && r_n == r_len -> result(OK, r_n, d[r_ch].out)
		:: r_n == 0 -> COVER(write_again); result(AGAIN, 0, d[r_ch].out)
		fi
	fi
}

inline do_shutdown()
{
	if
	:: r_len == SHUT_READ ->
		if
		:: d[r_ch].parked -> COVER(shut_read_parked); unpark(r_ch, CANCELLED, 0)
		:: else
		fi;
		set_bits(r_ch, IN_END)
	:: else ->
		d[r_ch].fin = r_off;
		if
		:: d[r_ch].out < r_off -> COVER(shutdown_early)
		:: else
		fi;
#ifdef BUG_SHUTDOWN_AT_ONCE
		s[r_ch].saw_end = 1;
		set_bits(r_ch, OUT_END)
#else
		check_final(r_ch)
#endif
	fi;
	result(OK, 0, 0)
}

/* 8.2: the receive queue was taken first, see TX_MAY_GO. */
inline do_cancel()
{
	if
	:: d[r_ch].parked -> COVER(cancel_parked); unpark(r_ch, CANCELLED, 0)
	:: else -> COVER(cancel_nothing)
	fi;
	result(OK, 0, 0)
}

inline abort_channel(c)
{
	s[c].saw_end = 1; s[c].avail = 0; d[c].closing = 1;
	set_bits(c, CLOSED)
}

inline do_close()
{
	if
	:: d[r_ch].closing && r_len != ABORT -> result(BAD_STATE, 0, 0)
	:: else ->
		if
		:: d[r_ch].parked -> COVER(close_parked); unpark(r_ch, CANCELLED, 0)
		:: else
		fi;
		d[r_ch].closing = 1;
		if
		:: r_len == ABORT || !(d[r_ch].bits & CONNECTED) -> abort_channel(r_ch)
		:: else ->
			if
			:: d[r_ch].out < r_off -> COVER(close_early)
			:: else
			fi;
			d[r_ch].fin = r_off;
			check_final(r_ch); check_closed(r_ch)
		fi;
		result(OK, 0, 0)
	fi
}

inline do_connect()
{
	if
	:: d[r_ch].used -> COVER(connect_busy); result(BUSY, 0, 0)
	:: else ->
		d[r_ch].used = 1; d[r_ch].gen = r_gen; d[r_ch].fin = NOFIN;
		new_service(r_ch);
		result(OK, 0, 0)
	fi
}

/* 4.1 */
#ifdef BUG_DEVICE_NO_GENERATION
#define NOT_THIS_USE(c, g)	(!d[c].used)
#else
#define NOT_THIS_USE(c, g)	(!d[c].used || d[c].gen != (g))
#endif

inline take_rx()
{
	r_rx = 1;
	if
	:: r_op == EVENT -> evbufs++
	:: r_op == READ && NOT_THIS_USE(r_ch, r_gen) -> COVER(stale_read); result_stale()
	:: r_op == READ && !NOT_THIS_USE(r_ch, r_gen) -> do_read()
	fi
}

inline take_tx()
{
	r_rx = 0;
	if
	:: r_op == CONNECT -> do_connect()
	:: r_op != CONNECT && NOT_THIS_USE(r_ch, r_gen) -> COVER(stale); result_stale()
	:: else ->
		if
		:: r_op == READ -> do_read()
		:: r_op == WRITE -> do_write()
		:: r_op == SHUTDOWN -> do_shutdown()
		:: r_op == CANCEL -> do_cancel()
		:: r_op == CLOSE -> do_close()
		fi
	fi
}

/* 8.2, 8.3: CANCEL and CLOSE act only when nothing is visible on the receive queue. */
#if defined(BUG_CLOSE_OVERTAKES)
#define TX_WAITS	(txa?[CANCEL,_,_,_,_])
#elif defined(BUG_CANCEL_OVERTAKES)
#define TX_WAITS	(txa?[CLOSE,_,_,_,_])
#else
#define TX_WAITS	(txa?[CANCEL,_,_,_,_] || txa?[CLOSE,_,_,_,_])
#endif
#define TX_MAY_GO	(nempty(txa) && (empty(rxa) || !TX_WAITS))

/* 7.3: one event buffer each, in the order in which they came to be owed. */
inline send_event()
{
	owedq?r_ch;
	d[r_ch].owed = 0;
	evbufs--;
	rxu!EVENT,r_ch,d[r_ch].gen,0,0,OK,0,0,d[r_ch].seq,d[r_ch].bits;
	GAVE_RX(0);
	delivered(r_ch)
}

#ifndef LAZY
active proctype device()
{
end:	do
	:: d_step { nempty(rxa) -> rxa?r_op,r_ch,r_gen,r_off,r_len; take_rx() }
	:: d_step { TX_MAY_GO -> txa?r_op,r_ch,r_gen,r_off,r_len; take_tx() }
	:: d_step { evbufs > 0 && nempty(owedq) -> send_event() }
	od
}
#endif

/* 7.2: what the device does when the service of slot @c notifies it. */
inline service_readable(c)
{
	s[c].redge = 0;
	if
	:: !d[c].used
	:: d[c].used && d[c].closing -> check_closed(c)
	:: d[c].used && !d[c].closing && d[c].parked ->
		fill_read(c, d[c].plen);
		if
		:: r_n > 0 || (d[c].bits & IN_END) -> COVER(parked_served); unpark(c, OK, r_n)
		:: else
		fi
	:: d[c].used && !d[c].closing && !d[c].parked ->
		if
		:: d[c].bits & IN_END
		:: else -> set_bits(c, IN)
		fi
	fi
}

inline service_writable(c)
{
	s[c].wedge = 0;
	if
	:: d[c].used && !(d[c].bits & OUT_END) -> set_bits(c, OUT)
	:: else
	fi
}

#ifndef LAZY
/* One per slot, only so that the text need not count them; same loop as device(). */
proctype notified(byte c)
{
end:	do
	:: d_step { s[c].redge -> service_readable(c) }
	:: d_step { s[c].wedge -> service_writable(c) }
	od
}
#endif
