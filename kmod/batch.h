/* SPDX-License-Identifier: GPL-2.0-only */
/* Large transfers on the caller's own pages. */
#ifndef KMOD_BATCH_H
#define KMOD_BATCH_H

#include <linux/uio.h>
#include <linux/workqueue.h>

#include "half.h"
#include "pin.h"
#include "pool.h"
#include "req.h"

/*
 * Up to MP_BATCH_MAX requests on the caller's own pages, in flight together.
 * The pages stay pinned until every one has come back (or the queue is gone).
 */
#define MP_BATCH_MAX 4

struct mp_part {
	struct mp_req req;
	struct mp_batch *batch;
	u32 count;			/* bytes moved */
	struct mp_pinned pinned;
};

struct mp_batch {
	struct mp_half *half;
	/* Guarded by link->lock: */
	bool is_orphan;			/* its caller was killed */
	bool is_short;			/* one moved less than it offered */
	bool is_faulty;			/* the device cannot reach pages of one */
	bool is_given_up;		/* one found no memory on its way to the device */
	unsigned int pending;		/* parts at the device; and its caller, who sends more */
	unsigned int count;
	u64 offset, next;		/* of the first byte; behind the last part sent */
	u32 total;			/* bytes moved without a gap, once all came back */
	size_t charged;
	struct work_struct orphan_work;
	struct mp_part parts[MP_BATCH_MAX];	/* each is made when it is pinned */
};
static_assert(sizeof(struct mp_batch) <= MP_POOL_BATCH_BYTES);

bool mp_batch_in_worker(void);
bool mp_batch_is_worth(const struct iov_iter *iter);
ssize_t mp_batch_move(struct mp_half *half, struct iov_iter *iter);

#endif
