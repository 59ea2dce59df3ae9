// SPDX-License-Identifier: GPL-2.0-only
/* What state a channel is in. A pure function: nothing of it is stored. */
#include <linux/lockdep.h>

#include "state.h"

/* Nothing of this channel is at the device on the transmit queue [protocol.md 8.3]. */
bool mp_channel_is_idle_locked(const struct mp_channel *ch)
{
	return !ch->out.sent && !ch->out.half.batch && !ch->naming.busy &&
	       !ch->in.half.batch;
}

/* Connected, and the answer was collected. */
static enum mp_channel_state connected_state(const struct mp_channel *ch)
{
	enum mp_half_state in = mp_half_state_locked(&ch->in.half);
	enum mp_half_state out = mp_half_state_locked(&ch->out.half);

	if (in == MP_HALF_FAILED)
		return MP_CH_FAILED;
	return in == MP_HALF_ENDED && out == MP_HALF_ENDED ? MP_CH_ENDED : MP_CH_CONNECTED;
}

enum mp_channel_state mp_channel_state_locked(const struct mp_channel *ch)
{
	const struct mp_link *link = &ch->link;

	lockdep_assert_held(&link->lock);
	if (link->is_released)
		return MP_CH_CLOSING;
	if (link->error)
		return link->is_aborted && link->error != -ENODEV ? MP_CH_ABORTED : MP_CH_GONE;
	switch (link->phase) {
	case MP_PHASE_UNNAMED:
		return MP_CH_UNNAMED;
	case MP_PHASE_NAMING:
		return MP_CH_CONNECTING;
	case MP_PHASE_REFUSED:
		return MP_CH_REFUSED;
	default:
		return ch->naming.is_collected ? connected_state(ch) : MP_CH_ANSWERED;
	}
}
