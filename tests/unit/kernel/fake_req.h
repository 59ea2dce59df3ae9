/* SPDX-License-Identifier: MIT */
/* Requests whose end is counted. */
#ifndef TESTS_UNIT_KERNEL_FAKE_REQ_H
#define TESTS_UNIT_KERNEL_FAKE_REQ_H

#include <stdlib.h>
#include <string.h>

#include <linux/bug.h>
#include <linux/list.h>
#include <linux/rcupdate.h>

#include "kmod/queue.h"

struct fake_req {
	struct mp_req req;
	struct mp_sender sender;	/* of this one alone, unless the test says so */
	unsigned int done;		/* how often it came back */
	void (*on_done)(struct fake_req *fake); /* or NULL */
	u8 data[64];
};

static inline void fake_req_done(struct mp_req *req)
{
	struct fake_req *fake = container_of(req, struct fake_req, req);

	fake->done++;
	if (fake->on_done)
		fake->on_done(fake);
}

static inline void fake_req_init(struct fake_req *fake, u16 op, bool with_payload)
{
	memset(fake, 0, sizeof(*fake));
	INIT_LIST_HEAD(&fake->req.node);
	fake->req.done = fake_req_done;
	fake->req.sender = &fake->sender;
	fake->req.is_urgent = op == MP_OP_CANCEL || op == MP_OP_CLOSE;
	fake->req.header.op = cpu_to_le16(op);
	if (with_payload)
		mp_req_payload(&fake->req, fake->data, sizeof(fake->data), op == MP_OP_READ,
			       false);
}

/* As a channel does: without locks the device is told, if the queue asks for that. */
static inline int fake_submit(struct mp_queue *queue, struct mp_req *req)
{
	int ret;

	rcu_read_lock();
	ret = mp_queue_submit(queue, req);
	if (ret > 0)
		mp_queue_notify(queue);
	rcu_read_unlock();
	return ret;
}

/* How many of @count have come back; none did twice. */
static inline unsigned int fake_reqs_done(const struct fake_req *fakes, unsigned int count)
{
	unsigned int i, sum = 0;

	for (i = 0; i < count; i++) {
		WARN_ON_ONCE(fakes[i].done > 1);
		sum += fakes[i].done;
	}
	return sum;
}

#endif
