// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events, and what a new state of a channel sets in motion.
 *
 * The device's state is level and numbered: the newest wins, an older one that
 * was overtaken on the other queue is ignored [protocol.md 7.1]. Bits that
 * say "for ever" cannot be taken back by a device that changes its mind.
 */
#include "manyport.h"

#define MP_ST_FOR_EVER (MP_ST_CONNECTED | MP_ST_IN_HUP | MP_ST_IN_END | MP_ST_OUT_END | \
			MP_ST_FAILED | MP_ST_CLOSED)

int mp_reason_to_errno(u16 reason)
{
	switch (reason) {
	case MP_REASON_NO_SERVICE:
		return -ENOENT;
	case MP_REASON_DENIED:
		return -EACCES;
	case MP_REASON_BUSY:
		return -EBUSY;
	case MP_REASON_NOT_LISTENING:
		return -ECONNREFUSED;
	case MP_REASON_TIMED_OUT:
		return -ETIMEDOUT;
	case MP_REASON_NAME_TOO_LONG:
		return -ENAMETOOLONG;
	case MP_REASON_NAME_INVALID:
		return -EINVAL;
	default:
		return -ECONNRESET;
	}
}

/*
 * Whatever can move now, moves: the fetch for a polled channel, unsent chunks, a fixed port's
 * reconnection; memory for a READ that nothing asks for is given back. Once for each answer and
 * each event, behind all that it changed. Returns what to wake.
 */
__poll_t mp_channel_progress_locked(struct mp_channel *ch)
{
	__poll_t wake = 0;

	lockdep_assert_held(&ch->lock);
	if (mp_write_is_busy_locked(ch))
		wake |= mp_write_pump_locked(ch);
	if (ch->is_polled && !ch->in_large)
		mp_fetch_ahead_locked(ch, false);
	if (ch->end.asked)
		wake |= mp_connect_again_locked(ch);
	if (ch->in_spare)
		mp_fetch_trim_locked(ch);
	return wake;
}

/*
 * The host's limit ended the close: the service has not taken all that was written, or has and
 * did not end itself [protocol.md 8.3]. No process holds the channel any more that could be
 * told, so the log and the port's counter say it.
 */
static void linger_expired_locked(const struct mp_channel *ch)
{
	struct mp_port *port = ch->port;

	atomic_long_inc(&port->linger_expired);
	pr_warn_ratelimited("%s: channel %u: the host's limit cut '%s' off, %u bytes unsent\n",
			    dev_name(&port->dev), ch->slot, ch->name ? ch->name : "",
			    ch->out_bytes);
}

/*
 * Takes @state over if it is newer. The caller has checked that it is valid
 * and belongs to this generation. Returns what to wake.
 */
__poll_t mp_channel_apply_locked(struct mp_channel *ch, const struct mp_state *state)
{
	u32 seq = le32_to_cpu(state->seq);
	u16 old = ch->bits, bits = le16_to_cpu(state->bits);
	__poll_t wake = 0;

	lockdep_assert_held(&ch->lock);
	if (!mp_seq_is_newer(seq, ch->seq) || ch->phase == MP_PHASE_UNNAMED)
		return 0;
	ch->seq = seq;
	ch->bits = bits | (old & MP_ST_FOR_EVER);
	ch->reason = le16_to_cpu(state->reason);

	if (ch->phase == MP_PHASE_NAMING && (ch->bits & (MP_ST_CONNECTED | MP_ST_REFUSED)))
		wake |= mp_connect_answered_locked(ch);
	if (ch->bits & MP_ST_CLOSED)
		ch->is_closed = true;
	if ((ch->bits & ~old & MP_ST_CLOSED) && ch->reason == MP_REASON_LINGER)
		linger_expired_locked(ch);
	bits = ch->bits & ~old;
	if (bits & (MP_ST_IN | MP_ST_IN_HUP | MP_ST_IN_END | MP_ST_FAILED))
		wake |= EPOLLIN;
	if (bits & (MP_ST_OUT | MP_ST_OUT_END | MP_ST_FAILED))
		wake |= EPOLLOUT;
	return wake;
}

/* An event buffer came back with @event, a copy; @used bytes were written. */
void mp_event_received(struct mp_port *port, const struct mp_event *event, u32 used)
{
	struct mp_channel *ch;
	unsigned long flags;
	__poll_t wake = 0;

	if (!mp_event_is_valid(event, used, port->version) ||
	    le32_to_cpu(event->channel) == MP_CHANNEL_NONE)
		return;	/* nothing to say, or nonsense: the buffer only comes back */
	ch = mp_channel_find(port, le32_to_cpu(event->channel), le32_to_cpu(event->generation));
	if (!ch)
		return;	/* of an earlier use of the slot [protocol.md 4.1] */
	spin_lock_irqsave(&ch->lock, flags);
	if (ch->generation == le32_to_cpu(event->generation)) {
		ch->events++;
		wake = mp_channel_apply_locked(ch, &event->state);
		wake |= mp_channel_progress_locked(ch);
	}
	spin_unlock_irqrestore(&ch->lock, flags);
	mp_channel_settle(ch, wake);
	mp_channel_put(ch);
}
