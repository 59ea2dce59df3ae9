// SPDX-License-Identifier: GPL-2.0-only
/*
 * The in half of a channel: what a reader has, and what may be asked for.
 *
 * Bytes come in one of two ways: by READs into driver memory (fetch.c), or, for a large
 * blocking read, into the caller's own pages (batch.c). Only one of the two is under way
 * at a time.
 */
#include "fetch.h"
#include "in.h"
#include "port.h"

void mp_in_init(struct mp_in *in, struct mp_link *link)
{
	mp_half_init(&in->half, link, true);
	INIT_LIST_HEAD(&in->fetches);
}

/* The next generation of a fixed port: nothing has come of it. Nothing is under way. */
void mp_in_reset_locked(struct mp_in *in, bool end_owed)
{
	mp_in_forget_locked(in);
	in->end_owed = end_owed;
	in->half.is_shut = false;
	in->half.offset = 0;
}

/*
 * Drops what was received. What the device still fills is freed when it comes back, what
 * a reader copies at the moment when it has done so.
 */
void mp_in_forget_locked(struct mp_in *in)
{
	if (in->copying) {
		in->forget = true;
		return;
	}
	mp_fetch_forget_locked(in);
}

/*
 * With nothing buffered: 1 (bytes may come), 0 (the end), -errno. On a fixed
 * port the end is met again and again until the service is back.
 */
int mp_in_state_locked(const struct mp_in *in)
{
	enum mp_half_state state = mp_half_state_locked(&in->half);
	const struct mp_link *link = in->half.link;
	bool is_fixed = link->port->is_fixed;

	if (state == MP_HALF_GONE)
		return link->error;
	if (in->end_owed)
		return 0;
	if (link->phase == MP_PHASE_NAMING)
		return !link->was_connected;
	if (state == MP_HALF_IDLE)
		return link->phase == MP_PHASE_REFUSED && is_fixed ?
			mp_reason_to_errno(link->reason) : -ENOTCONN;
	if (in->half.is_shut)
		return 0;
	if (in->is_failed)
		return -ENOMEM;
	if (in->busy || in->half.batch || state == MP_HALF_OPEN)
		return 1;
	return state == MP_HALF_FAILED && !is_fixed ? -ECONNRESET : 0;
}

/* Would a read now do something other than wait? */
bool mp_in_is_ready_locked(const struct mp_in *in)
{
	return in->ready || mp_in_state_locked(in) <= 0;
}

/* Nothing is under way or was left behind: a READ may be made for this call. */
bool mp_in_may_ask_locked(const struct mp_in *in)
{
	return mp_fetch_may_ask_locked(in) && !in->busy && !in->ready;
}

/* May a READ into a call's own pages be sent now? */
bool mp_in_may_move_locked(const struct mp_in *in)
{
	const struct mp_half *half = &in->half;
	enum mp_half_state state = mp_half_state_locked(half);

	/* The service may have ended and bytes be there still. */
	return (state == MP_HALF_OPEN || state == MP_HALF_ENDED) && !half->is_shut &&
	       !half->batch && !in->busy && !in->end_owed && !in->ready &&
	       (half->link->bits & MP_ST_IN);
}
