// SPDX-License-Identifier: GPL-2.0-only
/* Requests: made, and their answers copied out of memory that the device can still write to. */
#include <linux/errno.h>
#include <linux/string.h>

#include <manyport/wire_check.h>

#include "debug.h"
#include "req.h"

void mp_req_init(struct mp_req *req, mp_taken *taken)
{
	mp_assert(IS_ALIGNED((unsigned long)&req->result, MP_DMA_ALIGN));
	memset(req, 0, sizeof(*req));
	INIT_LIST_HEAD(&req->node);
	req->taken = taken;
}

/*
 * The payload in one piece of kmalloc memory. @is_joined: it is one descriptor with what the
 * device has before it. What comes in (@in) lies right behind @req's result; in front of what goes
 * out is room for a header, which the queue fills.
 */
void mp_req_payload(struct mp_req *req, void *data, u32 len, bool in, bool is_joined)
{
	size_t front = !is_joined ? 0 : in ? sizeof(req->result) : sizeof(req->header);

	mp_assert(!is_joined || !in || data == &req->result + 1);
	sg_init_one(&req->one, data - front, front + len);
	req->sg = &req->one;
	req->sg_count = !is_joined;
	req->payload_in = in;
	req->is_joined = is_joined;
	req->header.length = cpu_to_le32(len);
}

/*
 * The device's answer, copied out of memory that it can still write to and
 * checked by the rules of @version [protocol.md 3.1]. Returns 0, -ESHUTDOWN (none will come),
 * -ENOMEM (the request never reached the device), -EPROTO (it makes no sense).
 */
int mp_req_answer(const struct mp_req *req, struct mp_result *answer, u16 version)
{
	u32 asked = le32_to_cpu(req->header.length);

	if (req->error)
		return req->error;
	memcpy(answer, &req->result, sizeof(*answer));
	barrier();	/* only the copy is looked at from here on */
	return mp_result_is_valid(answer, asked, req->used, req->payload_in ? asked : 0, version) ?
		0 : -EPROTO;
}
