// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the service to a process.
 *
 * Bytes come in one of two ways. A *fetch* is a READ into driver memory on the receive
 * queue, where it may be parked: for small reads, and ahead for polled channels.
 * A large blocking read takes the caller's own pages (pages.c). Only one of the two is
 * under way at a time, so in_offset is always settled when a READ is made.
 *
 * What waits at the device belongs to the driver: a reader that leaves
 * loses nothing, late bytes are the head of what the next one gets.
 */
#include <linux/slab.h>

#include "manyport.h"

#define MP_FETCH_MIN 8192	/* with its header: a power of two */

static void cancel_done(struct mp_req *req)
{
	struct mp_channel *ch = req->channel;
	struct mp_result answer;
	unsigned long flags;
	__poll_t wake = 0;

	spin_lock_irqsave(&ch->lock, flags);
	ch->cancel_busy = false;
	if (!mp_req_answer(req, &answer))
		wake = mp_channel_apply_answer_locked(ch, req, &answer);
	spin_unlock_irqrestore(&ch->lock, flags);
	mp_channel_settle(ch, wake);
	mp_channel_put(ch);
}

/* Nobody waits any more: the device need not keep the READ. */
static void cancel_fetch_locked(struct mp_channel *ch)
{
	if (!ch->fetch_busy || ch->cancel_busy || ch->is_polled || ch->in_waiters || ch->error)
		return;
	mp_req_init(&ch->cancel_req, ch, MP_OP_CANCEL, cancel_done);
	ch->cancel_busy = !mp_channel_submit_locked(ch, ch->port->tx, &ch->cancel_req);
}

static void fetch_free(struct mp_channel *ch, struct mp_fetch *fetch)
{
	if (!fetch)
		return;
	mp_port_uncharge(ch->port, ch->account, fetch->size + sizeof(*fetch));
	kfree(fetch);
}

/*
 * Zeroed, because a device that lies about what it wrote must not show a process what
 * this memory held before. @size counts the header.
 */
static struct mp_fetch *fetch_alloc(struct mp_channel *ch, size_t size, gfp_t gfp)
{
	struct mp_fetch *fetch;

	if (!mp_port_charge(ch->port, ch->account, size, size <= MP_FETCH_MIN))
		return NULL;
	fetch = kzalloc(size, gfp | __GFP_NOWARN);
	if (!fetch) {
		mp_port_uncharge(ch->port, ch->account, size);
		return NULL;
	}
	fetch->size = size - sizeof(*fetch);
	return fetch;
}

static bool batch_has_bytes_locked(const struct mp_channel *ch)
{
	return ch->in_batch && ch->in_batch->is_done;
}

/* Bytes that a read would get without the device. */
u32 mp_read_buffered_locked(const struct mp_channel *ch)
{
	u32 bytes = 0;

	if (batch_has_bytes_locked(ch))
		bytes += ch->in_batch->total - ch->in_batch->eaten;
	if (ch->fetch && !ch->fetch_busy)
		bytes += ch->fetch->end - ch->fetch->start;
	return bytes;
}

/*
 * Drops what was received. What the device still fills is freed when it comes back, what
 * a reader copies at the moment when it has done so.
 */
void mp_read_forget_locked(struct mp_channel *ch)
{
	if (ch->in_copying) {
		ch->in_forget = true;
		return;
	}
	if (batch_has_bytes_locked(ch)) {
		mp_pages_free_later(ch->in_batch);
		ch->in_batch = NULL;
	}
	if (ch->fetch && !ch->fetch_busy) {
		fetch_free(ch, ch->fetch);
		ch->fetch = NULL;
	}
}

/* Takes over what a READ brought. Returns what to wake. */
static __poll_t fetch_take_locked(struct mp_channel *ch, const struct mp_result *answer)
{
	struct mp_fetch *fetch = ch->fetch;
	u32 count = le32_to_cpu(answer->count);
	__poll_t wake = EPOLLIN;

	switch (le32_to_cpu(answer->status)) {
	case MP_OK:
		if (le64_to_cpu(answer->offset) != ch->in_offset + count)
			return mp_channel_protocol_error_locked(ch, "read offset");
		fetch->start = 0;
		fetch->end = count;
		ch->in_offset += count;
		ch->bytes_in += count;
		if (!count && !(le16_to_cpu(answer->state.bits) & MP_ST_IN_END))
			return mp_channel_protocol_error_locked(ch, "empty read");
		return wake;
	case MP_CANCELLED:
		ch->in_retry = true;
		return ch->in_waiters ? wake : 0;
	case MP_AGAIN:
		/*
		 * The device parks no more: an event follows, or the state that it would
		 * carry has come already, on the other queue.
		 */
		return wake;
	case MP_ENDED:
	case MP_BAD_STATE:
		return wake;	/* the state says why */
	default:
		return mp_channel_protocol_error_locked(ch, "read");
	}
}

static void fetch_done(struct mp_req *req)
{
	struct mp_channel *ch = req->channel;
	struct mp_result answer;
	unsigned long flags;
	/* Also for one of an older generation: who waits for it to be back looks again. */
	__poll_t wake = EPOLLIN;
	int ret = mp_req_answer(req, &answer);

	spin_lock_irqsave(&ch->lock, flags);
	ch->fetch_busy = false;
	ch->fetch->start = 0;
	ch->fetch->end = 0;
	if (mp_channel_is_current_locked(ch, req)) {
		if (!ret) {
			wake |= fetch_take_locked(ch, &answer);
			wake |= mp_channel_apply_answer_locked(ch, req, &answer);
		} else if (ret == -EPROTO) {
			wake |= mp_channel_protocol_error_locked(ch, "read result");
		}
	}
	if (ch->is_released || ch->shut_in)
		mp_read_forget_locked(ch);
	wake |= mp_channel_progress_locked(ch);
	spin_unlock_irqrestore(&ch->lock, flags);
	mp_channel_settle(ch, wake);
	mp_channel_put(ch);
}

/* May a READ be made, and is there nothing to be read before it? */
static bool may_ask_locked(const struct mp_channel *ch)
{
	return ch->phase == MP_PHASE_CONNECTED && !ch->error && !ch->shut_in &&
	       !ch->is_released && !ch->fetch_busy && !ch->in_batch &&
	       !(ch->bits & (MP_ST_IN_END | MP_ST_FAILED)) && !mp_read_buffered_locked(ch);
}

/*
 * Sends a READ into driver memory, if one is wanted and there is memory. A polled
 * channel that gets no memory here shows IN, and the read that follows tries
 * again where it may wait for memory.
 */
void mp_read_fetch_locked(struct mp_channel *ch, gfp_t gfp)
{
	struct mp_fetch *fetch = ch->fetch;

	lockdep_assert_held(&ch->lock);
	if (!may_ask_locked(ch))
		return;
	if (!fetch)
		fetch = fetch_alloc(ch, MP_FETCH_MIN, gfp);
	ch->fetch_failed = !fetch;
	if (!fetch)
		return;
	ch->fetch = fetch;
	ch->in_retry = false;
	mp_req_init(&fetch->req, ch, MP_OP_READ, fetch_done);
	mp_req_payload(&fetch->req, fetch->data, min(fetch->size, ch->port->max_io), true);
	fetch->req.header.offset = cpu_to_le64(ch->in_offset);
	ch->fetch_busy = !mp_channel_submit_locked(ch, ch->port->rx, &fetch->req);
}

/* Makes room for a fetch of about @want bytes, where memory may be waited for. */
static void fetch_prepare(struct mp_channel *ch, size_t want)
{
	size_t size = clamp_t(size_t, roundup_pow_of_two(want + sizeof(struct mp_fetch)),
			      MP_FETCH_MIN, max_t(size_t, mp_receive_buffer, MP_FETCH_MIN));
	struct mp_fetch *fetch = NULL;
	bool wanted;

	spin_lock_irq(&ch->lock);
	wanted = may_ask_locked(ch) && (!ch->fetch || ch->fetch->size + sizeof(*fetch) < size);
	spin_unlock_irq(&ch->lock);
	if (!wanted)
		return;
	fetch = fetch_alloc(ch, size, GFP_KERNEL_ACCOUNT);
	if (!fetch && size > MP_FETCH_MIN)
		fetch = fetch_alloc(ch, MP_FETCH_MIN, GFP_KERNEL_ACCOUNT);
	spin_lock_irq(&ch->lock);
	if (fetch && may_ask_locked(ch) && (!ch->fetch || ch->fetch->size < fetch->size))
		swap(ch->fetch, fetch);
	spin_unlock_irq(&ch->lock);
	fetch_free(ch, fetch);
}

/*
 * With nothing buffered: 1 (bytes may come), 0 (the end), -errno. On a fixed
 * port the end is met again and again until the service is back.
 */
static int read_state_locked(struct mp_channel *ch)
{
	if (ch->error)
		return ch->error;
	if (ch->phase == MP_PHASE_NAMING)
		return !ch->was_connected;
	if (ch->phase != MP_PHASE_CONNECTED)
		return -ENOTCONN;
	if (ch->shut_in)
		return 0;
	if (ch->fetch_busy || ch->in_batch)
		return 1;
	if (!(ch->bits & (MP_ST_IN_END | MP_ST_FAILED)))
		return 1;
	if (ch->port->is_fixed)
		return 0;
	return ch->bits & MP_ST_FAILED ? -ECONNRESET : 0;
}

/* Would a read now do something other than wait? */
bool mp_read_is_ready_locked(const struct mp_channel *ch)
{
	if (mp_read_buffered_locked(ch))
		return true;
	if (ch->fetch_busy || ch->in_batch)
		return ch->error;
	return read_state_locked((struct mp_channel *)ch) <= 0;
}

/* A READ into a call's own pages is made only with IN; to be asked again is for a fetch. */
static bool is_worth_waking(struct mp_channel *ch, bool large)
{
	bool ret;

	spin_lock_irq(&ch->lock);
	ret = mp_read_is_ready_locked(ch) ||
	      (may_ask_locked(ch) && ((ch->bits & MP_ST_IN) || (ch->in_retry && !large)));
	spin_unlock_irq(&ch->lock);
	return ret;
}

/*
 * A reader has copied: what was to be dropped meanwhile goes now, a polled channel asks for
 * more. Who takes a short read for "drained" gets an edge for an end behind it. Returns
 * what to wake.
 */
static __poll_t copy_end_locked(struct mp_channel *ch)
{
	__poll_t wake;

	ch->in_copying = false;
	if (ch->in_forget)
		mp_read_forget_locked(ch);
	ch->in_forget = false;
	wake = mp_channel_progress_locked(ch);
	if (ch->is_polled && !mp_read_buffered_locked(ch) && read_state_locked(ch) <= 0)
		wake |= EPOLLIN;
	return wake;
}

static ssize_t copy_fetch(struct mp_channel *ch, struct iov_iter *to)
{
	struct mp_fetch *fetch = ch->fetch;
	__poll_t wake;
	size_t bytes;

	/* Not busy, we hold the read mutex, and in_copying keeps it: nobody else touches it. */
	bytes = copy_to_iter(fetch->data + fetch->start, fetch->end - fetch->start, to);
	spin_lock_irq(&ch->lock);
	fetch->start += bytes;
	wake = copy_end_locked(ch);
	spin_unlock_irq(&ch->lock);
	mp_channel_settle(ch, wake);
	return bytes ? bytes : -EFAULT;
}

static ssize_t copy_orphan(struct mp_channel *ch, struct iov_iter *to)
{
	struct mp_batch *batch = ch->in_batch;
	size_t bytes = mp_pages_copy_orphan(batch, to);
	__poll_t wake;

	spin_lock_irq(&ch->lock);
	if (batch->eaten == batch->total) {
		ch->in_batch = NULL;
		mp_pages_free_later(batch);
	}
	wake = copy_end_locked(ch);
	spin_unlock_irq(&ch->lock);
	mp_channel_settle(ch, wake);
	return bytes ? bytes : -EFAULT;
}

/* What read_some() found: the copies are made with the lock dropped. */
enum read_source { FROM_NOWHERE, FROM_ORPHAN, FROM_FETCH, FROM_PAGES };

/*
 * One attempt, under the read mutex. Returns bytes, 0 (the end), -EAGAIN
 * (something is under way or armed: wait), -errno.
 */
static ssize_t read_some(struct mp_channel *ch, struct iov_iter *to, bool nonblock, bool large)
{
	enum read_source source = FROM_NOWHERE;
	int state;

	if (!large)
		fetch_prepare(ch, iov_iter_count(to));
	spin_lock_irq(&ch->lock);
	state = 1;
	if (batch_has_bytes_locked(ch))
		source = FROM_ORPHAN;
	else if (mp_read_buffered_locked(ch))
		source = FROM_FETCH;
	else
		state = read_state_locked(ch);
	ch->in_copying = source != FROM_NOWHERE;
	if (source == FROM_NOWHERE && state == 1 && may_ask_locked(ch)) {
		if (large && (ch->bits & MP_ST_IN))
			source = FROM_PAGES;
		else if (!large && (!nonblock || (ch->bits & MP_ST_IN)))
			mp_read_fetch_locked(ch, GFP_ATOMIC);
	}
	if (source == FROM_NOWHERE && !state && ch->port->is_fixed &&
	    ch->phase == MP_PHASE_CONNECTED) {
		ch->end_seen = true;
		mp_connect_again_locked(ch);
	}
	spin_unlock_irq(&ch->lock);

	switch (source) {
	case FROM_ORPHAN:
		return copy_orphan(ch, to);
	case FROM_FETCH:
		return copy_fetch(ch, to);
	case FROM_PAGES:
		return mp_pages_move(ch, to, true);
	default:
		return state == 1 ? -EAGAIN : state;
	}
}

/*
 * Looks for a signal also when there is no need to sleep: a device that says "go on" and
 * gives nothing, again and again, must not hold the caller.
 */
static int wait_for_bytes(struct mp_channel *ch, bool large)
{
	int ret;

	spin_lock_irq(&ch->lock);
	ch->in_waiters++;
	ch->waits++;
	spin_unlock_irq(&ch->lock);
	ret = wait_event_interruptible(ch->wait, is_worth_waking(ch, large));
	if (!ret && signal_pending(current))
		ret = -ERESTARTSYS;
	spin_lock_irq(&ch->lock);
	ch->in_waiters--;
	if (ret)
		cancel_fetch_locked(ch);
	spin_unlock_irq(&ch->lock);
	return ret;
}

/*
 * Reads at least one byte into @to. Returns bytes, 0 at the end, -EAGAIN
 * (@nonblock), -ENOTCONN, -ECONNRESET, -ENODEV, -EFAULT, -ERESTARTSYS.
 */
ssize_t mp_read(struct mp_channel *ch, struct iov_iter *to, bool nonblock)
{
	bool large = !nonblock && mp_pages_want(to);
	ssize_t ret;

	if (!iov_iter_count(to))
		return 0;
	for (;;) {
		ret = mp_channel_lock(ch, &ch->read_mutex, EPOLLIN, nonblock);
		if (ret)
			return ret;
		ret = read_some(ch, to, nonblock, large);
		mp_channel_unlock(ch, &ch->read_mutex, EPOLLIN);
		if (ret < 0 && ret != -EAGAIN && large && !READ_ONCE(ch->error) &&
		    !fatal_signal_pending(current)) {
			large = false;	/* those pages cannot be used: copy */
			continue;
		}
		if (ret != -EAGAIN || nonblock)
			return ret;
		ret = wait_for_bytes(ch, large);
		if (ret)
			return ret;
		cond_resched();
	}
}
