// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large transfers on the caller's own pages: no copy between the process and
 * the service's socket.
 *
 * A batch is up to MP_BATCH_MAX requests in flight together, in order by offset; each is
 * sent as soon as its pages are pinned. The device
 * answers each at once (all, part or nothing), so pages are pinned for a
 * moment only. The caller waits for all answers, and only SIGKILL ends that wait: then
 * the batch is an orphan, and what it brought stays as the head of the
 * channel's data for its other holders. Pages are unpinned when every request has come
 * back or the virtqueue is deleted, never before.
 *
 * Who may touch what, and until when:
 *
 * - A part and its pages are the caller's while the caller pins them. part_submit() gives the
 *   part to the queue and the device; part_taken() gets the part back and returns it to the
 *   batch. When channel->lock is dropped behind the last part, somebody else may free the batch
 *   at once, so nothing behind part_taken() touches part or batch.
 * - A batch is the caller's, who frees it (batch_free()) once it is settled. Until then
 *   channel->in_batch or ->out_batch points at it, and channel->lock guards what part_taken()
 *   writes. A killed caller sets is_orphan under the lock, and so gives the batch to the
 *   channel: from that unlock on the caller touches nothing of the batch, and returns. An orphan
 *   that brought bytes is then the reader's who holds the read mutex and has set
 *   channel->in_copying, or whoever finds in_copying clear under the lock; every other orphan
 *   goes from batch_settle_locked() to the work item.
 * - The channel outlives all of this: the caller has the file's reference, each part in flight
 *   its request's, and the batch its own, which batch_free() drops last.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "compat.h"
#include "debug.h"
#include "manyport.h"

static uint zero_copy_min = 65536;
module_param(zero_copy_min, uint, 0644);
MODULE_PARM_DESC(zero_copy_min, "bytes from which a blocking call's own pages are used (65536)");

/* Bytes of one request: enough to be worth its cost, little enough that several overlap. */
#define MP_PART_MIN	(64U << 10)
#define MP_PART_MAX	(256U << 10)

/* Is the next piece of @iter user memory and large enough? */
bool mp_pages_want(const struct iov_iter *iter)
{
	return user_backed_iter(iter) && zero_copy_min &&
	       iov_iter_single_seg_count(iter) >= zero_copy_min;
}

static void part_unpin(struct mp_batch_req *part, bool is_dirty)
{
	unpin_user_pages_dirty_lock(part->pages, part->page_count, is_dirty);
	kfree(part->sg);
}

static void batch_free(struct mp_batch *batch)
{
	struct mp_channel *ch = batch->channel;
	unsigned int i;

	for (i = 0; i < batch->count; i++)
		part_unpin(&batch->reqs[i], batch->is_read && batch->reqs[i].count);
	mp_account_uncharge(ch->link.account, batch->charged);
	kfree(batch);
	mp_link_put(&ch->link);
}

static void batch_free_work(struct work_struct *work)
{
	batch_free(container_of(work, struct mp_batch, free_work));
}

/* From where pages may not be unpinned. */
void mp_pages_free_later(struct mp_batch *batch)
{
	queue_work(mp_workqueue, &batch->free_work);
}

/*
 * Neighbouring pages share one entry, up to @max bytes: fewer descriptors, and none that is more
 * than the DMA layer maps in one piece.
 */
static void build_sg(struct mp_batch_req *part, size_t offset, size_t max)
{
	struct scatterlist *sg = part->sg;
	size_t left = part->len;
	unsigned int i, used = 0;

	sg_init_table(sg, part->page_count);
	for (i = 0; i < part->page_count; i++) {
		size_t bytes = min_t(size_t, left, PAGE_SIZE - offset);

		if (used && page_to_pfn(part->pages[i]) == page_to_pfn(part->pages[i - 1]) + 1 &&
		    sg[used - 1].length + bytes <= max)
			sg[used - 1].length += bytes;
		else
			sg_set_page(&sg[used++], part->pages[i], bytes, offset);
		left -= bytes;
		offset = 0;
	}
	sg_mark_end(&sg[used - 1]);
	part->req.sg = sg;
	part->req.sg_count = used;
}

/* Pins up to @bytes at @addr. Returns bytes pinned or -errno. */
static ssize_t part_pin(struct mp_batch_req *part, unsigned long addr, size_t bytes, bool is_read,
			size_t max_entry)
{
	size_t offset = offset_in_page(addr);
	unsigned int count = DIV_ROUND_UP(offset + bytes, PAGE_SIZE);
	int pinned;

	part->sg = kmalloc_array(count, sizeof(*part->sg) + sizeof(*part->pages), GFP_KERNEL);
	if (!part->sg)
		return -ENOMEM;
	part->pages = (struct page **)(part->sg + count);
	pinned = pin_user_pages_fast(addr - offset, count, is_read ? FOLL_WRITE : 0, part->pages);
	if (pinned <= 0) {
		kfree(part->sg);
		return pinned ? pinned : -EFAULT;
	}
	part->page_count = pinned;
	part->len = min_t(size_t, bytes, (size_t)pinned * PAGE_SIZE - offset);
	build_sg(part, offset, max_entry);
	return part->len;
}

/*
 * How many pages one request may carry, beside its header and result [protocol.md 9.2]. Also
 * without indirect descriptors they fit in when the queue is empty.
 */
static unsigned int part_pages(const struct mp_port *port)
{
	unsigned int entries = virtqueue_get_vring_size(port->tx->vq);

	return min(port->max_segments, entries - MP_RESERVED_DESCS) - 2;
}

/*
 * The most bytes at @addr that one request of at most @pages pages may carry: of each part of
 * its own, since max_io need not be a multiple of a page, nor @addr.
 */
static size_t part_limit(const struct mp_port *port, unsigned int pages, unsigned long addr)
{
	size_t bytes = port->max_io;

	if (bytes > PAGE_SIZE)
		bytes = round_down(bytes, PAGE_SIZE);
	return min(bytes, pages * PAGE_SIZE - offset_in_page(addr));
}

static struct mp_batch *batch_alloc(struct mp_channel *ch, bool is_read, size_t charge)
{
	struct mp_batch *batch = kzalloc(sizeof(*batch), GFP_KERNEL_ACCOUNT);

	if (!batch)
		return NULL;
	mp_link_get(&ch->link);
	batch->channel = ch;
	batch->is_read = is_read;
	batch->charged = charge;
	batch->is_sending = true;
	INIT_WORK(&batch->free_work, batch_free_work);
	return batch;
}

/* All parts are back: what moved without a gap. Returns what to wake. */
static __poll_t batch_settle_locked(struct mp_channel *ch, struct mp_batch *batch)
{
	struct mp_batch **slot = batch->is_read ? &ch->in_batch : &ch->out_batch;
	bool gap = false;
	unsigned int i;
	__poll_t wake = 0;

	for (i = 0; i < batch->count; i++) {
		if (gap && batch->reqs[i].count)
			wake |= mp_link_break_locked(&ch->link, "bytes behind a gap");
		if (!gap)
			batch->total += batch->reqs[i].count;
		gap |= batch->reqs[i].count < batch->reqs[i].len;
	}
	if (batch->is_read) {
		/* Parts behind a short one were pinned in vain. */
		ch->in_parts = batch->is_short ? (ch->in_parts + 1) / 2 :
						 min(2 * batch->count, MP_BATCH_MAX + 0U);
		ch->in_offset += batch->total;
		ch->in_asked = ch->in_offset;
		ch->bytes_in += batch->total;
		ch->zero_copy_in += batch->total;
	} else {
		ch->out_offset += batch->total;
		ch->bytes_out += batch->total;
		ch->zero_copy_out += batch->total;
	}
	batch->is_done = true;
	if (!batch->is_orphan) {
		*slot = NULL;
	} else if (!batch->is_read || !batch->total || mp_link_is_ending_locked(&ch->link) ||
		   ch->shut_in) {
		*slot = NULL;
		mp_pages_free_later(batch);
	}
	return wake | EPOLLIN | EPOLLOUT;
}

/* Looks at one answer. Returns what to wake. */
static __poll_t part_answer_locked(struct mp_channel *ch, struct mp_batch_req *part,
				   const struct mp_result *answer)
{
	u64 offset = le64_to_cpu(part->req.header.offset);
	u32 count = le32_to_cpu(answer->count);

	switch (le32_to_cpu(answer->status)) {
	case MP_FAULT:
		part->batch->is_faulty = true;	/* the caller copies what is left */
		fallthrough;
	case MP_OK:
		if (le64_to_cpu(answer->offset) != offset + count)
			return mp_link_break_locked(&ch->link, "offset");
		part->count = count;
		return 0;
	case MP_ORDER:
		/* Only behind a part that came back short: else it would be so for ever. */
		if (le64_to_cpu(answer->offset) >= offset ||
		    le64_to_cpu(answer->offset) < part->batch->offset)
			return mp_link_break_locked(&ch->link, "order");
		return 0;
	case MP_AGAIN:
		if (!mp_again_is_valid(answer, part->batch->is_read ? MP_ST_IN : MP_ST_OUT))
			return mp_link_break_locked(&ch->link, "again");
		return 0;
	case MP_ENDED:
		return 0;	/* nothing moved; the state says what next */
	default:
		return mp_link_break_locked(&ch->link, "status");
	}
}

/*
 * The answer to a READ or WRITE on the caller's pages. Alone among the handlers this one leaves
 * the channel as it was until the last part is back: only then is known what moved without a
 * gap. Settling gives the batch away, and with it @req.
 */
static __poll_t part_taken(struct mp_req *req, int ret, const struct mp_result *answer)
{
	struct mp_batch_req *part = container_of(req, struct mp_batch_req, req);
	struct mp_batch *batch = part->batch;
	struct mp_channel *ch = mp_channel_of(req->link);
	__poll_t wake = 0;

	if (!ret)
		wake = part_answer_locked(ch, part, answer);
	batch->is_given_up |= ret == -ENOMEM;
	batch->is_short |= part->count < part->len;
	/* Once it is settled its caller, who need not sleep, frees it, or a work item does. */
	if (!--batch->pending && !batch->is_sending)
		wake |= batch_settle_locked(ch, batch);
	return wake;
}

/* May a batch go out in that direction now? The callers hold the direction's mutex. */
static bool may_move_locked(const struct mp_channel *ch, bool is_read)
{
	if (ch->link.phase != MP_PHASE_CONNECTED || ch->link.error ||
	    (ch->link.bits & MP_ST_FAILED))
		return false;
	if (is_read)
		return !ch->in_batch && !ch->in_busy && !mp_read_buffered_locked(ch) &&
		       !ch->shut_in && !ch->end_owed && (ch->link.bits & MP_ST_IN);
	return ch->write_generation == ch->link.generation && !ch->out_batch && !ch->out_sent &&
	       list_empty(&ch->out_chunks) && !ch->shut_out && (ch->link.bits & MP_ST_OUT);
}

/* Sends the part behind those that were sent. Returns false when it cannot go out. */
static bool part_submit(struct mp_channel *ch, struct mp_batch *batch, struct mp_batch_req *part)
{
	struct mp_batch **slot = batch->is_read ? &ch->in_batch : &ch->out_batch;
	bool sent = false;

	spin_lock_irq(&ch->link.lock);
	if (!batch->count) {
		if (!may_move_locked(ch, batch->is_read))
			goto out;
		batch->offset = batch->is_read ? ch->in_offset : ch->out_offset;
		batch->next = batch->offset;
	} else if (batch->is_short || ch->link.error) {
		goto out;
	}
	if (mp_link_send_locked(&ch->link, ch->link.port->tx, &part->req,
				   batch->is_read ? MP_OP_READ : MP_OP_WRITE, 0, batch->next))
		goto out;
	batch->next += part->len;
	batch->count++;
	batch->pending++;
	*slot = batch;
	sent = true;
out:
	spin_unlock_irq(&ch->link.lock);
	return sent;
}

/*
 * Pins and sends part after part, so that the device works on one while the next is
 * pinned. Returns 0 when at least one was sent, or -errno.
 */
static int batch_send(struct mp_channel *ch, struct mp_batch *batch, unsigned long addr,
		      size_t left, unsigned int pages)
{
	unsigned int parts = batch->is_read ? clamp_t(u8, ch->in_parts, 1, MP_BATCH_MAX) :
					      MP_BATCH_MAX;
	/* A write's parts overlap; a read's first part takes what the service has. */
	size_t step = batch->is_read ? MP_PART_MAX :
		      clamp_t(size_t, left / MP_BATCH_MAX, MP_PART_MIN, MP_PART_MAX);
	ssize_t ret = 0;

	step = round_up(step, PAGE_SIZE);
	while (left && batch->count < parts) {
		struct mp_batch_req *part = &batch->reqs[batch->count];
		size_t bytes = min3(left, step, part_limit(ch->link.port, pages, addr));

		mp_req_init(&part->req, part_taken);
		part->batch = batch;
		ret = part_pin(part, addr, bytes, batch->is_read, ch->link.port->max_entry);
		if (ret <= 0)
			break;
		part->req.payload_in = batch->is_read;
		part->req.header.length = cpu_to_le32(part->len);
		if (!part_submit(ch, batch, part)) {
			part_unpin(part, false);
			ret = -EAGAIN;
			break;
		}
		addr += ret;
		left -= ret;
		if (ret < bytes)
			break;
	}
	return batch->count ? 0 : ret;
}

static bool is_batch_done(struct mp_channel *ch, bool is_read)
{
	struct mp_batch **slot = is_read ? &ch->in_batch : &ch->out_batch, *batch;
	bool ret;

	/* The caller's own, or none: nobody else frees it before this says so. */
	batch = READ_ONCE(*slot);
	if (batch && !READ_ONCE(batch->is_done) && !READ_ONCE(ch->link.port->is_broken))
		return false;
	spin_lock_irq(&ch->link.lock);
	ret = !*slot || (*slot)->is_done || READ_ONCE(ch->link.port->is_broken);
	spin_unlock_irq(&ch->link.lock);
	return ret;
}

/*
 * Waits for the answers. Returns 0 (the batch is settled, and the caller's to free), or -EINTR
 * (the caller was killed first) or -EIO (the queue broke first: the pages stay with the device,
 * which may never answer); then the batch is not the caller's any more. While the caller
 * waits its batch is the one of that direction: a batch that is settled is in no slot.
 */
static int batch_wait(struct mp_channel *ch, struct mp_batch *batch)
{
	struct mp_spin *spin = batch->is_read ? &ch->in_spin : &ch->out_spin;
	__poll_t wake = 0;
	int ret = 0;

	spin_lock_irq(&ch->link.lock);
	batch->is_sending = false;
	if (!batch->pending)
		wake = batch_settle_locked(ch, batch) | mp_link_progress_locked(&ch->link);
	spin_unlock_irq(&ch->link.lock);
	if (wake) {
		mp_link_settle(&ch->link, wake);
		return 0;
	}
	mp_wait_pages(ch, spin, is_batch_done, batch->is_read, batch->count);
	spin_lock_irq(&ch->link.lock);
	if (!batch->is_done) {
		batch->is_orphan = true;
		ret = READ_ONCE(ch->link.port->is_broken) ? -EIO : -EINTR;
	}
	spin_unlock_irq(&ch->link.lock);
	if (ret)
		mp_debug_stretch();
	return ret;
}

/* What pins @bytes at @addr at most: where parts meet in the middle of a page both have it. */
static size_t pinned_max(unsigned long addr, size_t bytes)
{
	size_t offset = offset_in_page(addr);

	return round_up(offset + bytes, PAGE_SIZE) + (offset ? (MP_BATCH_MAX - 1) * PAGE_SIZE : 0);
}

/*
 * Moves the head of @iter on its own pages. Returns bytes, -EAGAIN (nothing
 * moved: the state says what to wait for), -EINTR (killed), -EIO (a broken queue), or another
 * error (no memory, a bound is reached, pages that cannot be pinned or that the device cannot
 * reach): copy instead.
 */
ssize_t mp_pages_move(struct mp_channel *ch, struct iov_iter *iter, bool is_read)
{
	unsigned long addr = (unsigned long)mp_iter_address(iter);
	size_t bytes = iov_iter_single_seg_count(iter);
	unsigned int pages = 0;
	struct mp_batch *batch;
	size_t cost;
	bool may_move;
	ssize_t ret;

	bytes = min_t(size_t, bytes, MP_BATCH_MAX * MP_PART_MAX);
	cost = pinned_max(addr, bytes);
	if (!mp_account_charge(ch->link.account, cost, false))
		return -ENOBUFS;
	spin_lock_irq(&ch->link.lock);
	may_move = may_move_locked(ch, is_read);
	if (may_move)
		pages = part_pages(ch->link.port);
	spin_unlock_irq(&ch->link.lock);
	batch = may_move ? batch_alloc(ch, is_read, cost) : NULL;
	if (!batch) {
		mp_account_uncharge(ch->link.account, cost);
		return may_move ? -ENOBUFS : -EAGAIN;
	}
	ret = batch_send(ch, batch, addr, bytes, pages);
	if (!ret) {
		ret = batch_wait(ch, batch);
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

/* Copies up to @bytes at @offset of one entry. Returns bytes. */
static size_t copy_entry(struct scatterlist *sg, size_t offset, size_t bytes, struct iov_iter *to)
{
	unsigned long pfn = page_to_pfn(sg_page(sg));
	size_t done = 0, step, at, copied;

	while (done < bytes && iov_iter_count(to)) {
		at = sg->offset + offset + done;
		step = min_t(size_t, bytes - done, PAGE_SIZE - offset_in_page(at));
		copied = copy_page_to_iter(pfn_to_page(pfn + (at >> PAGE_SHIFT)),
					   offset_in_page(at), step, to);
		done += copied;
		if (copied < step)
			break;
	}
	return done;
}

/*
 * Gives what a killed reader's pages hold to another reader, from where the last one
 * stopped. Returns bytes.
 */
size_t mp_pages_copy_orphan(struct mp_batch *batch, struct iov_iter *to)
{
	size_t skip = batch->eaten, copied = 0, have, bytes, done;
	struct scatterlist *sg;
	unsigned int i, n;

	for (i = 0; i < batch->count; i++) {
		size_t left = batch->reqs[i].count;

		for_each_sg(batch->reqs[i].sg, sg, batch->reqs[i].req.sg_count, n) {
			have = min_t(size_t, sg->length, left);
			left -= have;
			if (skip >= have) {
				skip -= have;
				continue;
			}
			bytes = min_t(size_t, have - skip, batch->total - batch->eaten - copied);
			done = copy_entry(sg, skip, bytes, to);
			skip = 0;
			copied += done;
			if (done < bytes)
				goto out;
		}
	}
out:
	batch->eaten += copied;
	return copied;
}
