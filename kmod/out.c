// SPDX-License-Identifier: GPL-2.0-only
/* The out half of a channel: what a writer may do, and what it is told. */
#include "chunk.h"
#include "out.h"
#include "port.h"

void mp_out_init(struct mp_out *out, struct mp_link *link)
{
	mp_half_init(&out->half, link, false);
	INIT_LIST_HEAD(&out->chunks);
}

/* The next generation of a fixed port: nothing was taken for it. Nothing is under way. */
void mp_out_reset_locked(struct mp_out *out)
{
	mp_chunks_drop_locked(out);
	out->is_told = false;
	out->half.is_shut = false;
	out->half.offset = 0;
}

/* Nothing that was accepted is left here or at the device. */
bool mp_out_is_empty_locked(const struct mp_out *out)
{
	return list_empty(&out->chunks) && !out->sent && !out->half.batch;
}

/*
 * What a write gets before it moves anything: 0 (go on), -EAGAIN (a fixed port whose
 * service is away), or the error, one that was owed first. To a fixed port fsync alone
 * reports bytes that were lost with their client: its processes meet the end.
 */
int mp_out_state_locked(const struct mp_out *out)
{
	enum mp_half_state state = mp_half_state_locked(&out->half);
	const struct mp_link *link = out->half.link;
	bool is_fixed = link->port->is_fixed;

	if (link->error == -ENODEV)
		return -ENODEV;
	if (out->error && !is_fixed)
		return out->error;
	if (state == MP_HALF_GONE)
		return link->error;
	if (out->half.is_shut)
		return -EPIPE;
	if (state == MP_HALF_OPEN)
		return 0;
	if (link->phase == MP_PHASE_REFUSED)
		return mp_reason_to_errno(link->reason);
	if (is_fixed)
		return -EAGAIN;
	if (state == MP_HALF_IDLE)
		return -ENOTCONN;
	return state == MP_HALF_FAILED ? -ECONNRESET : -EPIPE;
}

/* May a WRITE of a call's own pages be sent now? Its bytes follow all that was copied. */
bool mp_out_may_move_locked(const struct mp_out *out)
{
	const struct mp_half *half = &out->half;
	enum mp_half_state state = mp_half_state_locked(half);

	/* Whether the service takes no more the device says. */
	return (state == MP_HALF_OPEN || state == MP_HALF_ENDED) && !half->is_shut &&
	       out->generation == half->link->generation && mp_out_is_empty_locked(out) &&
	       (half->link->bits & MP_ST_OUT);
}
