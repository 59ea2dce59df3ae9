// SPDX-License-Identifier: GPL-2.0-only
/*
 * What poll says of a channel, and whom a change wakes.
 *
 * Some pollers (io_uring) take the mask of a wake-up for the truth and do not
 * look again. So a wake-up says only what is so at that moment; waiters that
 * look for themselves (a read that waits for the device's IN) are woken by
 * any mask.
 */
#include <linux/lockdep.h>

#include "chunk.h"
#include "in.h"
#include "poll.h"
#include "port.h"
#include "reconnect.h"

#define MP_POLL_IN	(EPOLLIN | EPOLLRDNORM)
#define MP_POLL_OUT	(EPOLLOUT | EPOLLWRNORM)
/* No process polls for this: it wakes only those that look for themselves. */
#define MP_POLL_LOOK	EPOLLMSG

/* The service takes no more: would a write do something other than wait? */
static bool out_end_is_ready_locked(const struct mp_channel *ch)
{
	return !ch->link.port->is_fixed || ch->out.half.is_shut || mp_end_may_lose_locked(ch) ||
	       mp_end_is_over_locked(ch);
}

static __poll_t connected_mask_locked(const struct mp_channel *ch)
{
	bool failed = ch->link.bits & MP_ST_FAILED;
	bool in_end = ch->in.half.is_shut || failed ||
		      ((ch->link.bits & MP_ST_IN_END) && !ch->in.busy && !ch->in.half.batch);
	/*
	 * As of a stream socket: before its last bytes are read. With none there it would be a
	 * read that says EAGAIN: the end itself is on its way then.
	 */
	bool in_hup = in_end || ((ch->link.bits & MP_ST_IN_HUP) && ch->in.ready);
	bool out_end = ch->out.half.is_shut || failed || (ch->link.bits & MP_ST_OUT_END);
	__poll_t mask = 0;

	if (mp_end_is_met_locked(ch))
		return MP_POLL_IN | EPOLLHUP;

	/* Without memory to fetch into, the read that follows may wait for some. */
	if (mp_in_is_ready_locked(&ch->in) || ch->in.fetch_failed)
		mask |= MP_POLL_IN;
	if (in_end)
		mask |= MP_POLL_IN;
	if (in_hup)
		mask |= EPOLLRDHUP;
	if (out_end ? out_end_is_ready_locked(ch) :
		      mp_chunks_have_room_locked(&ch->out) && !ch->out.half.batch)
		mask |= MP_POLL_OUT;
	/* On a fixed port an end is no failure, and HUP comes when all was read. */
	if (ch->link.port->is_fixed)
		return mask;
	if (in_hup && out_end)
		mask |= EPOLLHUP;
	if (failed || ch->out.error)
		mask |= EPOLLERR;
	return mask;
}

/* The table of [protocol.md 7.5]. */
static __poll_t state_mask_locked(const struct mp_channel *ch)
{
	lockdep_assert_held(&ch->link.lock);
	switch (mp_channel_state_locked(ch)) {
	case MP_CH_UNNAMED:
	case MP_CH_ANSWERED:
		return MP_POLL_OUT;
	case MP_CH_CONNECTING:
		return ch->link.was_connected ? MP_POLL_IN | EPOLLHUP : 0;
	case MP_CH_REFUSED:
		return MP_POLL_OUT | EPOLLERR;
	case MP_CH_CONNECTED:
	case MP_CH_ENDED:
	case MP_CH_FAILED:
		return connected_mask_locked(ch);
	default:
		return MP_POLL_IN | MP_POLL_OUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
	}
}

/* A silent device ends a poll, too: the call behind it gives ETIMEDOUT, unless it need not wait. */
__poll_t mp_poll_mask_locked(const struct mp_channel *ch)
{
	return state_mask_locked(ch) | (READ_ONCE(ch->link.port->is_silent) ? EPOLLERR : 0);
}

/* The key of a wake-up after @change (EPOLLIN, EPOLLOUT): as much of it as is true now. */
__poll_t mp_poll_key_locked(const struct mp_channel *ch, __poll_t change)
{
	__poll_t mask = mp_poll_mask_locked(ch), key = mask & (EPOLLERR | EPOLLHUP);

	if (change & EPOLLIN)
		key |= mask & (MP_POLL_IN | EPOLLRDHUP);
	if (change & EPOLLOUT)
		key |= mask & MP_POLL_OUT;
	return key | MP_POLL_LOOK;
}
