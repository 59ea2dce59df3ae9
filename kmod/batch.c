// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large transfers on the caller's own pages: no copy between the process and
 * the service's socket.
 *
 * A call that may not wait copies: the answer comes at once from an honest device, but from no
 * other, and io_uring takes back no request that a file has accepted. So io_uring's requests come
 * here from its workers only (IOSQE_ASYNC), as any call that waits, on memory of the process or on
 * buffers that were registered.
 *
 * A batch is up to MP_BATCH_MAX requests in flight together, in order by offset; each is
 * sent as soon as its pages are pinned. The device
 * answers each at once (all, part or nothing), so pages are pinned for a
 * moment only. The caller waits for all answers, and only SIGKILL ends that wait: then
 * the batch is an orphan, and what it brought is copied into fetches for the channel's other
 * holders. Pages are unpinned when every request has come back or the virtqueue is deleted, never
 * before.
 *
 * What may be touched by which context, and until when:
 *
 * - A part and its pages are the caller's while the caller pins them. part_send() gives the
 *   part to the queue and the device; part_taken() gets the part back and returns it to the
 *   batch. When link->lock is dropped after the last part, another context may free the
 *   batch at once, so nothing after part_taken() touches part or batch.
 * - A batch is the caller's, which frees it (batch_free()) once it is settled. Until then
 *   half->batch points at it, and link->lock guards what part_taken()
 *   writes. A killed caller sets is_orphan under the lock, and so gives the batch away: from that
 *   unlock on the caller touches nothing of the batch, and returns. batch_settle_locked() gives it
 *   to the work item, which frees it; until then half->batch points at it.
 * - The channel outlives all of this: the caller has the file's reference, each part in flight
 *   its request's, and the batch its own, which batch_free() drops last.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "account.h"
#include "batch.h"
#include "debug.h"
#include "fetch.h"
#include "in.h"
#include "link.h"
#include "out.h"
#include "port.h"
#include "wait.h"
#include "work.h"

static uint zero_copy_min = 65536;
module_param(zero_copy_min, uint, 0644);
MODULE_PARM_DESC(zero_copy_min, "bytes from which a blocking call's own pages are used (65536)");

/* Bytes of one request: enough to be worth its cost, little enough that several overlap. */
#define MP_PART_MIN	(64U << 10)
#define MP_PART_MAX	MP_PIN_MAX

/*
 * Is the caller a worker of io_uring, so one that may sleep? The thread that takes submissions has
 * the same flag, and no worker.
 */
bool mp_batch_in_worker(void)
{
	return (current->flags & PF_IO_WORKER) && current->worker_private;
}

/* What can be pinned of @iter: a segment of user memory, or all of what io_uring registered. */
static size_t piece_of(const struct iov_iter *iter)
{
	if (user_backed_iter(iter))
		return iov_iter_single_seg_count(iter);
	return iov_iter_is_bvec(iter) && mp_batch_in_worker() ? iov_iter_count(iter) : 0;
}

/* Is the next piece of @iter large enough? */
bool mp_batch_is_worth(const struct iov_iter *iter)
{
	return zero_copy_min && piece_of(iter) >= zero_copy_min;
}

static void batch_free(struct mp_batch *batch)
{
	struct mp_half *half = batch->half;
	struct mp_link *link = half->link;
	unsigned int i;

	for (i = 0; i < batch->count; i++)
		mp_unpin(&batch->parts[i].pinned, half->is_read && batch->parts[i].count);
	mp_account_uncharge(link->account, batch->charged);
	mp_pool_put(&link->port->pool, MP_POOL_BATCH, batch);
	mp_link_put(link);
}

/* What the pages of @part got goes behind what was fetched. */
static void part_keep(struct mp_in *in, struct mp_part *part)
{
	size_t left = part->count, at, bytes;
	struct scatterlist *sg;
	struct page *page;
	unsigned int i;

	for_each_sg(part->pinned.sg, sg, part->pinned.count, i)
		for (at = sg->offset; left && at < sg->offset + sg->length; at += bytes) {
			page = pfn_to_page(page_to_pfn(sg_page(sg)) + (at >> PAGE_SHIFT));
			bytes = min(left, sg->offset + sg->length - at);
			bytes = min_t(size_t, bytes, PAGE_SIZE - offset_in_page(at));
			bytes = mp_fetch_keep(in, page, offset_in_page(at), bytes);
			left -= bytes;
		}
}

/* All parts of an orphan are back. What a reader's pages got is for the channel's other holders. */
static void orphan_work(struct work_struct *work)
{
	struct mp_batch *batch = container_of(work, struct mp_batch, orphan_work);
	struct mp_half *half = batch->half;
	struct mp_link *link = half->link;
	unsigned int i;

	for (i = 0; half->is_read && i < batch->count; i++)
		part_keep(container_of(half, struct mp_in, half), &batch->parts[i]);
	spin_lock_irq(&link->lock);
	half->batch = NULL;
	mp_link_unlock(link, EPOLLIN | EPOLLOUT | mp_link_progress_locked(link));
	batch_free(batch);
}

/*
 * The most bytes from @offset in a page that one request may carry: of each part of its own, since
 * max_io need not be a multiple of a page, nor @offset be 0.
 */
static size_t part_limit(const struct mp_port *port, size_t offset)
{
	size_t bytes = port->max_io;

	if (bytes > PAGE_SIZE)
		bytes = round_down(bytes, PAGE_SIZE);
	return min_t(size_t, bytes, port->max_pages * PAGE_SIZE - offset);
}

static struct mp_batch *batch_alloc(struct mp_half *half, size_t charge)
{
	struct mp_batch *batch = mp_pool_get(&half->link->port->pool, MP_POOL_BATCH,
					     GFP_KERNEL_ACCOUNT);

	if (!batch)
		return NULL;
	memset(batch, 0, offsetof(struct mp_batch, parts));
	mp_link_get(half->link);
	batch->half = half;
	batch->charged = charge;
	batch->pending = 1;	/* its caller */
	INIT_WORK(&batch->orphan_work, orphan_work);
	return batch;
}

/* How many parts the next batch of READs should have: those behind a short one are in vain. */
static void learn_locked(struct mp_half *half, const struct mp_batch *batch)
{
	half->parts = batch->is_short ? (half->parts + 1) / 2 :
					min(2 * batch->count, MP_BATCH_MAX + 0U);
}

/* All parts are back: what moved without a gap. Returns what to wake. */
static __poll_t batch_settle_locked(struct mp_half *half, struct mp_batch *batch)
{
	bool gap = false;
	unsigned int i;
	__poll_t wake = 0;

	for (i = 0; i < batch->count; i++) {
		struct mp_part *part = &batch->parts[i];

		if (gap && part->count) {
			wake |= mp_link_break_locked(half->link, "bytes behind a gap");
			part->count = 0;
		}
		batch->total += part->count;
		gap |= part->count < part->pinned.len;
	}
	learn_locked(half, batch);
	half->offset += batch->total;
	half->bytes += batch->total;
	half->zero_copy += batch->total;
	if (batch->is_orphan)
		queue_work(mp_workqueue, &batch->orphan_work);
	else
		half->batch = NULL;
	return wake | EPOLLIN | EPOLLOUT;
}

/*
 * The answer to a READ or WRITE on the caller's pages. Alone among its kind this one leaves the
 * channel as it was until the last part is back: only then is known what moved without a gap.
 * Settling gives the batch away, and with it @req.
 */
static __poll_t part_taken(struct mp_req *req, int ret, const struct mp_result *answer)
{
	struct mp_part *part = container_of(req, struct mp_part, req);
	struct mp_batch *batch = part->batch;
	__poll_t wake = 0;
	u32 status;

	if (!ret && mp_half_judge_locked(batch->half, req, answer, batch->offset, &wake)) {
		status = le32_to_cpu(answer->status);
		batch->is_faulty |= status == MP_FAULT;	/* the caller copies what is left */
		if (status == MP_OK || status == MP_FAULT)
			part->count = le32_to_cpu(answer->count);
	}
	batch->is_given_up |= ret == -ENOMEM;
	batch->is_short |= part->count < part->pinned.len;
	/* Once it is settled its caller, who need not sleep, frees it, or a work item does. */
	if (!--batch->pending)
		wake |= batch_settle_locked(batch->half, batch);
	return wake;
}

/* May the first part go out now? The caller holds the half's mutex. */
static bool may_move_locked(const struct mp_half *half)
{
	return half->is_read ? mp_in_may_move_locked(container_of(half, struct mp_in, half)) :
			       mp_out_may_move_locked(container_of(half, struct mp_out, half));
}

static int part_send_locked(struct mp_half *half, struct mp_batch *batch, struct mp_part *part)
{
	if (!batch->count) {
		if (!may_move_locked(half))
			return -EAGAIN;
		batch->offset = half->offset;
		batch->next = half->offset;
	} else if (batch->is_short || half->link->error) {
		return -EAGAIN;
	}
	return mp_link_send_locked(half->link, half->link->port->tx, &part->req,
				   half->is_read ? MP_OP_READ : MP_OP_WRITE, 0, batch->next);
}

/* Sends the part behind those that were sent. Returns false when it cannot go out. */
static bool part_send(struct mp_half *half, struct mp_batch *batch, struct mp_part *part)
{
	bool sent;

	mp_req_init(&part->req, part_taken);
	part->req.payload_in = half->is_read;
	part->req.sg = part->pinned.sg;
	part->req.sg_count = part->pinned.count;
	part->req.header.length = cpu_to_le32(part->pinned.len);
	spin_lock_irq(&half->link->lock);
	sent = !part_send_locked(half, batch, part);
	if (sent) {
		batch->next += part->pinned.len;
		batch->count++;
		batch->pending++;
		half->batch = batch;
	}
	mp_link_unlock(half->link, 0);
	return sent;
}

/*
 * Pins and sends part after part, so that the device works on one while the next is
 * pinned. Returns 0 when at least one was sent, or -errno.
 */
static int batch_send(struct mp_half *half, struct mp_batch *batch, struct iov_iter at,
		      size_t left)
{
	const struct mp_port *port = half->link->port;
	unsigned int parts = half->is_read ? clamp_t(u8, half->parts, 1, MP_BATCH_MAX) :
					     MP_BATCH_MAX;
	/* A write's parts overlap; a read's first part takes what the service has. */
	size_t step = half->is_read ? MP_PART_MAX :
		      clamp_t(size_t, left / MP_BATCH_MAX, MP_PART_MIN, MP_PART_MAX);
	ssize_t ret = 0;

	step = round_up(step, PAGE_SIZE);
	while (left && batch->count < parts) {
		struct mp_part *part = &batch->parts[batch->count];
		size_t bytes = min3(left, step, part_limit(port, mp_pin_offset(&at)));

		part->batch = batch;
		part->count = 0;
		ret = mp_pin(&part->pinned, &at, bytes, half->is_read, port->max_entry);
		if (ret <= 0)
			break;
		if (!part_send(half, batch, part)) {
			mp_unpin(&part->pinned, false);
			ret = -EAGAIN;
			break;
		}
		iov_iter_advance(&at, ret);
		left -= ret;
		if (ret < bytes)
			break;
	}
	return batch->count ? 0 : ret;
}

static bool is_batch_done_locked(void *of, bool unused)
{
	const struct mp_half *half = of;

	return !half->batch || READ_ONCE(half->link->port->is_broken);
}

/*
 * Waits for the answers. Returns 0 (the batch is settled, and the caller's to free), or -EINTR
 * (the caller was killed first) or -EIO (the queue broke first: the pages stay with the device,
 * which may never answer); then the batch is not the caller's any more. While the caller
 * waits its batch is the one of that direction: a batch that is settled is in no slot.
 */
static int batch_wait(struct mp_half *half, struct mp_batch *batch)
{
	const struct mp_condition is_done = { is_batch_done_locked, half };
	struct mp_link *link = half->link;
	__poll_t wake = 0;
	int ret = 0;

	spin_lock_irq(&link->lock);
	if (!--batch->pending)
		wake = batch_settle_locked(half, batch) | mp_link_progress_locked(link);
	mp_link_unlock(link, wake);
	if (wake)
		return 0;
	mp_wait(link, &half->spin, &is_done, batch->count);
	spin_lock_irq(&link->lock);
	if (half->batch) {
		batch->is_orphan = true;
		ret = READ_ONCE(link->port->is_broken) ? -EIO : -EINTR;
	}
	spin_unlock_irq(&link->lock);
	if (ret)
		mp_debug_stretch();
	return ret;
}

/* What @bytes from @offset in a page pin at most: where parts meet in a page both have it. */
static size_t pinned_max(size_t offset, size_t bytes)
{
	return round_up(offset + bytes, PAGE_SIZE) + (offset ? (MP_BATCH_MAX - 1) * PAGE_SIZE : 0);
}

/*
 * Moves the head of @iter on its own pages. Returns bytes, -EAGAIN (nothing
 * moved: the state says what to wait for), -EINTR (killed), -EIO (a broken queue), or another
 * error (no memory, a bound is reached, pages that cannot be pinned or that the device cannot
 * reach): copy instead.
 */
ssize_t mp_batch_move(struct mp_half *half, struct iov_iter *iter)
{
	size_t bytes = min_t(size_t, piece_of(iter), MP_BATCH_MAX * MP_PART_MAX);
	size_t cost = pinned_max(mp_pin_offset(iter), bytes);
	struct mp_batch *batch;
	ssize_t ret;
	bool may;

	spin_lock_irq(&half->link->lock);
	may = may_move_locked(half);
	spin_unlock_irq(&half->link->lock);
	if (!may)
		return -EAGAIN;
	if (!mp_account_charge(half->link->account, cost, false))
		return -ENOBUFS;
	batch = batch_alloc(half, cost);
	if (!batch) {
		mp_account_uncharge(half->link->account, cost);
		return -ENOBUFS;
	}
	ret = batch_send(half, batch, *iter, bytes);
	if (!ret) {
		ret = batch_wait(half, batch);
		if (ret)
			return ret;	/* the batch was given away */
		ret = batch->total;
		if (!ret)
			ret = batch->is_faulty ? -EFAULT : batch->is_given_up ? -ENOBUFS : -EAGAIN;
	}
	batch_free(batch);
	if (ret > 0)
		iov_iter_advance(iter, ret);
	return ret;
}
