// SPDX-License-Identifier: GPL-2.0-only
/*
 * CANCEL and CLOSE. Both may use the descriptors that are kept of the transmit queue, and as many
 * are kept as one request needs: so they share one, which is part of the channel. One that is due
 * while the request is at the device goes when that is back: CANCEL by cancel_again, CLOSE
 * because the channel tries again after every answer.
 *
 * link->urgent and its request are written here only, with link->lock.
 */
#include "port.h"
#include "urgent.h"

/*
 * CLOSE was answered: CLOSED is a state, now, with MP_CLOSE_ABORT, or in an event to come
 * [protocol.md 8.3]. Where that rule is broken one CLOSE with ABORT follows, and after that the
 * channel is over, whatever comes back. Returns what to wake.
 */
static __poll_t close_take_locked(struct mp_link *link, const struct mp_req *req, int ret,
				  const struct mp_result *answer)
{
	bool abort = req->header.flags & cpu_to_le16(MP_CLOSE_ABORT);
	bool is_bad = !ret && (answer->status != cpu_to_le32(MP_OK) ||
			       (abort && !(answer->state.bits & cpu_to_le16(MP_ST_CLOSED))));
	__poll_t wake = is_bad ? mp_link_break_locked(link, "close") : 0;

	mp_link_closed_locked(link, abort || ret == -ESHUTDOWN);
	return wake;
}

/*
 * The answer to CLOSE. close_busy falls before the answer is judged: an answer that breaks a rule
 * has one more CLOSE sent, and that takes the same request. The answer to a CLOSE of the
 * generation before only frees the request.
 */
static __poll_t close_taken(struct mp_req *req, int ret, const struct mp_result *answer)
{
	struct mp_link *link = mp_link_of(req);

	link->urgent.close_busy = false;
	return ret == -ESTALE ? 0 : close_take_locked(link, req, ret, answer);
}

/*
 * Sends CLOSE for the current generation. What was accepted and not sent yet
 * follows it, up to the offset @final, unless @abort. Returns 0, -EBUSY (the
 * one of the generation before, or a CANCEL, is still at the device), -ENODEV, -EIO.
 */
int mp_urgent_close_locked(struct mp_link *link, u64 final, bool abort)
{
	struct mp_urgent *urgent = &link->urgent;
	int ret;

	lockdep_assert_held(&link->lock);
	if (urgent->close_busy || urgent->cancel_busy)
		return -EBUSY;
	mp_req_init(link->urgent_req, close_taken);
	ret = mp_link_send_locked(link, link->port->tx, link->urgent_req, MP_OP_CLOSE,
				  abort ? MP_CLOSE_ABORT : 0, final);
	urgent->close_busy = !ret;
	return ret;
}

/* The answer to CANCEL: the READs themselves come back on their own queue. */
static __poll_t cancel_taken(struct mp_req *req, int ret, const struct mp_result *answer)
{
	struct mp_link *link = mp_link_of(req);

	link->urgent.cancel_busy = false;
	if (ret || answer->status == cpu_to_le32(MP_OK))	/* [protocol.md 8.2] */
		return 0;
	return mp_link_break_locked(link, "cancel");
}

/*
 * The channel's parked READs come back. A READ that was sent after a CANCEL is not covered by it:
 * so while the request is in use another is due.
 */
void mp_urgent_cancel_locked(struct mp_link *link)
{
	struct mp_urgent *urgent = &link->urgent;

	lockdep_assert_held(&link->lock);
	urgent->cancel_again = urgent->cancel_busy || urgent->close_busy;
	if (urgent->cancel_again || link->error)
		return;
	mp_req_init(link->urgent_req, cancel_taken);
	urgent->cancel_busy = !mp_link_send_locked(link, link->port->tx, link->urgent_req,
						   MP_OP_CANCEL, 0, 0);
}

/* After an answer: sends a CANCEL that was due, if any READ is out still (@is_wanted). */
void mp_urgent_again_locked(struct mp_link *link, bool is_wanted)
{
	struct mp_urgent *urgent = &link->urgent;

	if (urgent->cancel_busy || urgent->close_busy)
		return;
	urgent->cancel_again = false;
	if (is_wanted)
		mp_urgent_cancel_locked(link);
}
