// SPDX-License-Identifier: GPL-2.0-only
/* What a half is told by its READs or WRITEs, whatever carries the bytes. */
#include <manyport/wire_check.h>

#include "half.h"

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
