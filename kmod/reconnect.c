// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fixed port after the end of its service: the next generation [protocol.md 4.6].
 *
 *	over	the service has ended in both directions; bytes may wait to be read
 *	met	and none do: a read gives 0, poll says HUP
 *	told	a call has said so to the process
 *	asked	a later call shows that the process goes on: the next generation begins
 *
 * The device never moves a fixed port on, and neither does the call that tells the end: a
 * process that ends at its end would wait in the host's queue until it exits, be given the
 * next client, and take that client with it.
 *
 * Some processes wait without a call: on an edge of epoll, or for SIGIO. So each call that
 * tells the end makes one more edge. A process that goes on answers it with a call.
 *
 * All of ch->end is guarded by ch->link.lock and belongs to the generation: a new one begins with
 * nothing told. What a reader has not been told goes along as ch->in.end_owed, so that bytes of
 * two clients are never read without an end between them.
 */
#include "chunk.h"
#include "in.h"
#include "naming.h"
#include "out.h"
#include "port.h"
#include "reconnect.h"
#include "urgent.h"

/*
 * So many polls have said HUP before one more asks: epoll makes one of its own in
 * EPOLL_CTL_ADD, and a process that reads after the first is told by that read. A stream of GLib
 * polls three times before it reads.
 */
#define MP_POLLS_TOLD 4

/* The service takes no more, and has announced at least that it says no more. */
bool mp_end_is_over_locked(const struct mp_channel *ch)
{
	return ch->link.port->is_fixed && ch->link.phase == MP_PHASE_CONNECTED &&
	       (ch->link.bits & (MP_ST_OUT_END | MP_ST_FAILED)) &&
	       (ch->link.bits & (MP_ST_IN_HUP | MP_ST_IN_END | MP_ST_FAILED));
}

/* It is over, and nothing is left to read: on a file that cannot be read that is so at once. */
bool mp_end_is_met_locked(const struct mp_channel *ch)
{
	if (!mp_end_is_over_locked(ch))
		return false;
	if (!ch->in.is_readable || ch->in.half.is_shut)
		return true;
	return !ch->in.ready && !ch->in.busy && !ch->in.half.batch &&
	       (ch->link.bits & (MP_ST_IN_END | MP_ST_FAILED));
}

/*
 * May bytes be taken although the service takes no more? They are lost, as those are that
 * were on their way when it left, and the write that brings them neither waits nor fails:
 * its caller is about to read the end. As much as the send buffer would have held is taken
 * from a process that looks for bytes, and one write from another, which is not told.
 */
bool mp_end_may_lose_locked(const struct mp_channel *ch)
{
	const struct mp_end *end = &ch->end;

	if (!ch->in.is_readable || end->told || end->asked)
		return false;
	return end->is_read || ch->in.waiters ? end->lost < mp_send_buffer : !end->lost;
}

static void ask_locked(struct mp_channel *ch)
{
	mp_end_ask_locked(ch);
	mp_connect_again_locked(ch);
	/* The answers to WRITEs of the old one may be in the way: they are lazy, and wanted now. */
	if (ch->end.asked)
		mp_chunks_want_locked(&ch->out, true);
}

/* A read has met the end and returns 0. Returns what to wake. */
__poll_t mp_end_read_locked(struct mp_channel *ch)
{
	lockdep_assert_held(&ch->link.lock);
	if (ch->end.told) {
		ask_locked(ch);
		return 0;
	}
	ch->end.told = true;
	return EPOLLIN;
}

/*
 * A write has found that the service takes no more and that nothing may be lost any more:
 * with @nonblock it returns EAGAIN, else it waits for the next client, and so asks.
 * Returns what to wake.
 */
__poll_t mp_end_write_locked(struct mp_channel *ch, bool nonblock)
{
	lockdep_assert_held(&ch->link.lock);
	if (!mp_end_is_over_locked(ch))
		return 0;	/* it may still say something */
	if (!nonblock || ch->end.told || ch->end.told_writer) {
		ask_locked(ch);
		return 0;
	}
	ch->end.told_writer = true;
	return EPOLLIN | EPOLLOUT;
}

/*
 * A poll for @events has met the end. One that does not report it (select() for writing: none of
 * @events is in @mask) waits for the next client, and so asks. Returns what to wake.
 */
__poll_t mp_end_poll_locked(struct mp_channel *ch, __poll_t events, __poll_t mask)
{
	lockdep_assert_held(&ch->link.lock);
	if (ch->end.told || ch->end.polls == MP_POLLS_TOLD || !(events & mask)) {
		ask_locked(ch);
		return 0;
	}
	ch->end.polls++;
	if (events & (EPOLLIN | EPOLLRDNORM))
		ch->end.told_poller = true;
	return EPOLLIN;
}

/*
 * Goes on to the next generation, if a call has asked for it, or this one was lost before its
 * service was there; and nothing of the old one is under way on the transmit queue: offsets start
 * from 0, and what was not read or taken is dropped. Else whatever was in the way comes here again
 * when it is over.
 */
void mp_connect_again_locked(struct mp_channel *ch)
{
	bool is_lost = ch->link.is_lost && ch->link.phase == MP_PHASE_NAMING;
	const struct mp_end *end = &ch->end;

	lockdep_assert_held(&ch->link.lock);
	if (!end->asked || ch->link.error || ch->link.is_released ||
	    !(is_lost || mp_end_is_over_locked(ch)) || !mp_channel_is_idle_locked(ch) ||
	    ch->in.copying)
		return;
	if (mp_urgent_close_locked(&ch->link, ch->out.half.offset, true))
		return;		/* the last one is not back */
	mp_out_reset_locked(&ch->out);
	mp_in_reset_locked(&ch->in, is_lost ? ch->in.end_owed : ch->in.is_readable &&
			   !end->told && !end->told_poller);
	ch->end = (struct mp_end){ };
	mp_link_renew_locked(&ch->link, mp_port_next_generation(ch->link.port));
	mp_naming_send_locked(&ch->naming, ch->naming.connect_req);
}
