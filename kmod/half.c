// SPDX-License-Identifier: GPL-2.0-only
/* What a half is told by its READs or WRITEs, whatever carries the bytes; and its SHUTDOWN. */
#include <linux/slab.h>

#include <manyport/wire_check.h>

#include "half.h"
#include "port.h"

/*
 * May @answer be what the device says to the READ or WRITE @req? Each status has a rule, and a
 * request whose answer breaks it would be sent again and again [protocol.md 6.2 to 6.4]. MP_ORDER
 * is only for a request behind one that came back short: the device expects bytes before @req, and
 * none before @first. An answer that breaks a rule fails the channel; @wake is what to wake then.
 */
bool mp_half_judge_locked(const struct mp_half *half, const struct mp_req *req,
			  const struct mp_result *answer, u64 first, __poll_t *wake)
{
	u64 offset = le64_to_cpu(req->header.offset), expected = le64_to_cpu(answer->offset);
	const char *wrong = NULL;

	switch (le32_to_cpu(answer->status)) {
	case MP_OK:
	case MP_FAULT:
		if (expected != offset + le32_to_cpu(answer->count))
			wrong = half->is_read ? "read offset" : "write offset";
		break;
	case MP_ORDER:
		if (expected >= offset || expected < first)
			wrong = half->is_read ? "read order" : "write order";
		break;
	case MP_AGAIN:
		if (!mp_again_is_valid(answer, half->is_read ? MP_ST_IN : MP_ST_OUT))
			wrong = half->is_read ? "read again" : "write again";
		break;
	case MP_ENDED:
	case MP_BAD_STATE:
		break;		/* nothing moved; the state says why */
	default:
		wrong = half->is_read ? "read status" : "write status";
	}
	if (wrong)
		*wake |= mp_link_break_locked(half->link, wrong);
	return !wrong;
}

/*
 * The answer to SHUTDOWN. It changes nothing here: the half was marked before SHUTDOWN was sent, so
 * only its state counts. One that was given up for lack of memory ends the channel, as the service
 * would wait for the end for ever.
 */
static __poll_t shutdown_taken(struct mp_req *req, int ret, const struct mp_result *answer)
{
	struct mp_link *link = mp_link_of(req);
	u32 status = ret ? 0 : le32_to_cpu(answer->status);

	kfree(req);
	if (ret == -ENOMEM)
		return mp_link_fail_locked(link, -ENOMEM);
	/* A CLOSE may have overtaken it: urgent requests do [protocol.md 8.1, 8.4]. */
	if (ret || status == MP_OK || status == MP_BAD_STATE)
		return 0;
	return mp_link_break_locked(link, "shutdown");
}

/*
 * Sends the SHUTDOWN that is due, once the final offset is known: no call takes or sends bytes of a
 * half that is shut, but what the device takes of pages that it has is not known yet. A queue that
 * refuses it is dead or broken, and so is the channel.
 */
void mp_half_shut_locked(struct mp_half *half)
{
	struct mp_link *link = half->link;
	struct mp_req *req = half->shutdown;

	if (half->batch)
		return;
	half->shutdown = NULL;
	mp_req_init(req, shutdown_taken);
	if (link->error ||
	    mp_link_send_locked(link, link->port->tx, req, MP_OP_SHUTDOWN,
				half->is_read ? MP_SHUT_READ : MP_SHUT_WRITE,
				half->is_read ? 0 : half->offset))
		kfree(req);
}
