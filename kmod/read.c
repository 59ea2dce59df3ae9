// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the service to a process.
 *
 * Bytes come in one of two ways: by READs into driver memory (fetch.c), or, for a large
 * blocking read, into the caller's own pages (batch.c). Only one of the two is under way
 * at a time.
 *
 * What waits at the device belongs to the driver: a reader that leaves
 * loses nothing, late bytes are the head of what the next one gets.
 */
#include <linux/sched/signal.h>

#include "batch.h"
#include "calls.h"
#include "channel.h"
#include "fetch.h"
#include "in.h"
#include "reconnect.h"
#include "wait.h"

/* A large read sends a READ only when IN is set; in.retry concerns fetches only. */
static bool is_worth_waking_locked(void *of, bool large)
{
	const struct mp_channel *ch = of;

	return mp_in_is_ready_locked(&ch->in) ||
	       (mp_in_may_ask_locked(&ch->in) &&
		((ch->link.bits & MP_ST_IN) || (ch->in.retry && !large)));
}

/*
 * A reader has copied: what was to be dropped during the copy goes now, a polled channel asks for
 * more. A poller that takes a short read for "drained" gets an edge for an end after it. @rest: the
 * first fetch has unread bytes still, so none of that is due. Returns what to wake.
 */
static __poll_t copy_end_locked(struct mp_channel *ch, bool rest)
{
	__poll_t wake;

	ch->in.copying = false;
	ch->in.turn = true;
	if (rest && !ch->in.forget && !ch->in.spare)
		return 0;
	if (ch->in.forget)
		mp_in_forget_locked(&ch->in);
	ch->in.forget = false;
	wake = mp_link_progress_locked(&ch->link);
	/* Progress leaves the spare to a reader in its call, as this one is still. */
	mp_fetch_trim_locked(&ch->in);
	if (ch->in.is_polled && !ch->in.ready && mp_in_state_locked(&ch->in) <= 0)
		wake |= EPOLLIN;
	return wake;
}

/* From what was fetched: all of it that @to has room for. Drops the lock. */
static ssize_t copy_fetches_locked(struct mp_channel *ch, struct iov_iter *to, bool nonblock,
				   bool large)
	__releases(&ch->link.lock)
{
	struct mp_fetch *fetch;
	size_t bytes, copied, total = 0;
	bool fault = false, rest = false;

	ch->in.copying = true;
	while (iov_iter_count(to) && (fetch = mp_fetch_first_locked(&ch->in)) && !ch->in.forget) {
		/* We hold the read mutex, and in->copying keeps it: no other context touches it. */
		mp_link_unlock(&ch->link, 0);
		bytes = min_t(size_t, fetch->end - fetch->start, iov_iter_count(to));
		copied = copy_to_iter(mp_fetch_data(fetch) + fetch->start, bytes, to);
		total += copied;
		spin_lock_irq(&ch->link.lock);
		rest = copied < fetch->end - fetch->start;
		mp_fetch_consume_locked(&ch->in, fetch, copied);
		if (!large && !rest)
			mp_fetch_ahead_locked(&ch->in, !nonblock);
		fault = copied < bytes;
		if (fault)
			break;
	}
	mp_link_unlock(&ch->link, copy_end_locked(ch, rest));
	/* Else it was shut down during the copy: the caller looks again. */
	return total ? total : fault ? -EFAULT : nonblock ? 0 : -EAGAIN;
}

/*
 * A large read that begins with bytes that were fetched goes on in its own pages, so that
 * a channel that was polled once does not read by copy for ever. Drops the lock.
 */
static ssize_t copy_head_locked(struct mp_channel *ch, struct iov_iter *to, bool nonblock,
				bool large)
	__releases(&ch->link.lock)
{
	ssize_t head = copy_fetches_locked(ch, to, nonblock, large), rest;

	if (head < 0 || !large || !mp_batch_is_worth(to))
		return head;
	rest = mp_batch_move(&ch->in.half, to);
	return rest > 0 ? head + rest : head;
}

/*
 * With nothing there and bytes to come: asks for them as this call may. Returns true when they are
 * to come into the caller's pages, now.
 */
static bool read_ask_locked(struct mp_channel *ch, bool nonblock, bool large)
{
	if (!mp_in_may_ask_locked(&ch->in))
		return false;
	if (large)
		return ch->link.bits & MP_ST_IN;
	if (nonblock)
		mp_fetch_ahead_locked(&ch->in, false);
	else
		mp_fetch_park_locked(&ch->in, 0);
	return false;
}

/* May this read, which copies, do without a look for memory? */
static bool is_prepared_locked(const struct mp_in *in)
{
	return in->full ? !mp_fetch_may_grow_locked(in) :
			  in->busy && !(in->half.link->bits & MP_ST_IN);
}

/*
 * One attempt, under the read mutex. Returns bytes, 0 (the end), -EAGAIN
 * (something is under way or armed: wait), -errno.
 */
static ssize_t read_some(struct mp_channel *ch, struct iov_iter *to, bool nonblock, bool large)
{
	bool on_pages = false;
	__poll_t edge = 0;
	int state = 0;

	spin_lock_irq(&ch->link.lock);
	mp_end_looked_locked(ch);
	if (ch->in.end_owed && !ch->link.error) {
		ch->in.end_owed = false;
	} else {
		if (!large && !is_prepared_locked(&ch->in)) {
			spin_unlock_irq(&ch->link.lock);
			mp_fetch_prepare(&ch->in, nonblock);
			spin_lock_irq(&ch->link.lock);
		}
		if (ch->in.full)
			return copy_head_locked(ch, to, nonblock, large);
		state = mp_in_state_locked(&ch->in);
		if (state == -ENOMEM)
			ch->in.is_failed = false;	/* told: the next one asks again */
		on_pages = state == 1 && read_ask_locked(ch, nonblock, large);
	}
	if (!state && mp_end_is_met_locked(ch))
		edge = mp_end_read_locked(ch);
	mp_link_unlock(&ch->link, edge);
	if (on_pages)
		return mp_batch_move(&ch->in.half, to);
	return state == 1 ? -EAGAIN : state;
}

/*
 * Looks for a signal also when there is no need to sleep: a device that says "go on" and
 * gives nothing, again and again, must not hold the caller.
 */
static int wait_for_bytes(struct mp_channel *ch, bool large)
{
	const struct mp_condition is_worth = { is_worth_waking_locked, ch, large };
	int ret;

	spin_lock_irq(&ch->link.lock);
	ch->in.waiters++;
	spin_unlock_irq(&ch->link.lock);
	ret = mp_wait(&ch->link, &ch->in.half.spin, &is_worth, 0);
	if (!ret && signal_pending(current))
		ret = -ERESTARTSYS;
	spin_lock_irq(&ch->link.lock);
	ch->in.waiters--;
	if (ret)
		mp_fetch_cancel_locked(&ch->in);
	mp_fetch_trim_locked(&ch->in);
	mp_link_unlock(&ch->link, 0);
	return ret;
}

/*
 * Nothing is fetched for a polled channel while a call wants the bytes in its own pages, and
 * what is fetched for the rest of a message is no stream.
 */
static void large_begin(struct mp_channel *ch)
{
	spin_lock_irq(&ch->link.lock);
	ch->in.large++;
	ch->in.depth = 1;
	ch->in.size = 0;
	spin_unlock_irq(&ch->link.lock);
}

/* What was not fetched during the large read, and the edge that comes with it. */
static void large_end(struct mp_channel *ch)
{
	spin_lock_irq(&ch->link.lock);
	ch->in.large--;
	ch->in.turn = false;	/* the answer is for the caller's pages */
	mp_link_unlock(&ch->link, mp_link_progress_locked(&ch->link));
}

static ssize_t read_any(struct mp_channel *ch, struct iov_iter *to, bool nonblock, bool large)
{
	ssize_t ret;

	for (;;) {
		ret = mp_channel_lock(ch, &ch->read_mutex, EPOLLIN, nonblock);
		if (ret)
			return ret;
		ret = read_some(ch, to, nonblock, large);
		mp_channel_unlock(ch, &ch->read_mutex, EPOLLIN);
		if (ret < 0 && ret != -EAGAIN && large && !READ_ONCE(ch->link.error) &&
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

/*
 * Waits until a read would not, for the device as for another reader. Returns 0 or -ERESTARTSYS.
 */
int mp_read_wait(struct mp_channel *ch)
{
	int ret = mp_channel_lock(ch, &ch->read_mutex, EPOLLIN, false);
	bool ready;

	if (ret)
		return ret;
	mp_channel_unlock(ch, &ch->read_mutex, EPOLLIN);
	for (;;) {
		mp_fetch_prepare(&ch->in, false);
		spin_lock_irq(&ch->link.lock);
		ready = mp_in_is_ready_locked(&ch->in);
		if (!ready)
			read_ask_locked(ch, false, false);
		mp_link_unlock(&ch->link, 0);
		if (ready || ret)
			return ret;
		ret = wait_for_bytes(ch, false);
	}
}

/*
 * Reads at least one byte into @to. Returns bytes, 0 at the end, -EAGAIN
 * (@nonblock), -ENOTCONN, -ECONNRESET, -ENODEV, -EIO, -EFAULT, -ERESTARTSYS, or why a fixed
 * port refused.
 */
ssize_t mp_read(struct mp_channel *ch, struct iov_iter *to, bool nonblock)
{
	ssize_t ret;

	if (!iov_iter_count(to))
		return 0;
	if (READ_ONCE(ch->link.is_held))
		mp_wait_look(&ch->link);	/* what was written goes before the wait */
	if (nonblock || !mp_batch_is_worth(to))
		return read_any(ch, to, nonblock, false);
	large_begin(ch);
	ret = read_any(ch, to, false, true);
	large_end(ch);
	return ret;
}
