/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One request: what the device is asked, and its answer.
 *
 * A request belongs to its maker, and to the queue from mp_queue_submit() until done() is called,
 * exactly once. The queue never looks into the channel.
 */
#ifndef KMOD_REQ_H
#define KMOD_REQ_H

#include <linux/list.h>
#include <linux/scatterlist.h>
#include <linux/types.h>

#include <manyport/wire.h>

#include "dma.h"

struct mp_req;

/*
 * Whose requests these are. They keep their order, and take turns with those of other senders. What
 * waits of them in a queue is a line; the queue's lock guards its own of the two. Zeroed at first.
 */
enum mp_line { MP_LINE_RX, MP_LINE_TX };

struct mp_sender {
	struct list_head *behind[2];	/* the first of a ring of all but one, or NULL */
	bool is_waiting[2];		/* that one is in queue->waiting */
};

/*
 * What becomes of one kind of request: its maker has it back, with the channel's lock held.
 * @ret: 0, or why @answer holds nothing that counts: -ESHUTDOWN, -ENOMEM, -ESTALE, -EPROTO, as
 * answer_locked() in link.c says. May free or send the request. Returns what to wake.
 */
typedef __poll_t mp_taken(struct mp_req *req, int ret, const struct mp_result *answer);

/* In this order what comes before the result fills two cache lines, and not a bit of a third. */
struct mp_req {
	bool payload_in;		/* the device writes the payload */
	bool is_joined;			/* it is one entry with what goes before it */
	bool is_urgent;			/* may use the kept descriptors [protocol.md 8.4] */
	bool is_lazy;			/* its answer may be looked at late [protocol.md 6.8] */
	bool is_held;			/* but not very late: (demand.c) */
	bool is_added;			/* the device has it, or had; guarded by queue->lock */
	s16 error;			/* why there is no answer, or 0: see mp_req_answer() */
	u32 used;			/* bytes written, as the device says */
	unsigned int sg_count;		/* entries beside those of header and result */
	struct scatterlist *sg;		/* the payload, or NULL */
	struct list_head node;		/* the queue's */
	struct mp_sender *sender;	/* a reference, dropped at the end of done() */
	void (*done)(struct mp_req *req); /* interrupts may be off; nothing of ours is locked */
	mp_taken *taken;		/* what done() calls, with the link's lock */
	struct scatterlist one;		/* for a payload in one piece */
	struct mp_request header;	/* the device reads */
	struct mp_result result mp_dma_aligned; /* the device writes: copy before use */
};
MP_ASSERT_ALONE(struct mp_req, result, sizeof(struct mp_req));

void mp_req_init(struct mp_req *req, mp_taken *taken);
void mp_req_payload(struct mp_req *req, void *data, u32 len, bool in, bool is_joined);
int mp_req_answer(const struct mp_req *req, struct mp_result *answer, u16 version);

#endif
