// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a read would get, left where it is: recv() with MSG_PEEK.
 *
 * The read mutex keeps readers away, and in.copying keeps what is looked at, as while a read
 * copies. Only what is in driver memory can be looked at. A caller that wants more than there is
 * has the driver fetch more behind it, so a caller that peeks until a whole message is there
 * comes to its end.
 */
#include "calls.h"
#include "channel.h"
#include "fetch.h"
#include "in.h"

/* Of the fetches only those that are filled: none of these leaves the list during the copy. */
static size_t peek_fetches_locked(struct mp_in *in, struct iov_iter *to)
	__must_hold(&in->half.link->lock)
{
	struct mp_fetch *fetch;
	size_t bytes, done, total = 0;
	u32 left = in->full;

	list_for_each_entry(fetch, &in->fetches, node) {
		if (!left-- || !iov_iter_count(to))
			break;
		bytes = min_t(size_t, fetch->end - fetch->start, iov_iter_count(to));
		spin_unlock_irq(&in->half.link->lock);
		done = copy_to_iter(mp_fetch_data(fetch) + fetch->start, bytes, to);
		spin_lock_irq(&in->half.link->lock);
		total += done;
		if (done < bytes)
			break;
	}
	return total;
}

/* One look, under the read mutex. Returns bytes, 0 (the end), -EAGAIN (none yet), -errno. */
static ssize_t peek_some(struct mp_channel *ch, struct iov_iter *to)
{
	struct mp_in *in = &ch->in;
	ssize_t ret;

	spin_lock_irq(&ch->link.lock);
	if (in->end_owed || !in->ready) {
		ret = mp_in_state_locked(in);
		spin_unlock_irq(&ch->link.lock);
		return ret == 1 ? -EAGAIN : ret;
	}
	in->copying = true;
	ret = peek_fetches_locked(in, to);
	in->copying = false;
	if (in->forget)
		mp_in_forget_locked(in);
	in->forget = false;
	if (iov_iter_count(to))
		mp_fetch_deepen_locked(in);
	/* What the copy was in the way of comes now: a fixed port's next generation, for one. */
	mp_link_unlock(&ch->link, mp_link_progress_locked(&ch->link));
	return ret ? ret : -EFAULT;
}

/*
 * Copies at least one byte into @to and takes none from the channel. Returns as mp_read(); it tells
 * no end of a fixed port, which the next read does.
 */
ssize_t mp_peek(struct mp_channel *ch, struct iov_iter *to, bool nonblock)
{
	ssize_t ret;

	if (!iov_iter_count(to))
		return 0;
	for (;;) {
		ret = mp_channel_lock(ch, &ch->read_mutex, EPOLLIN, nonblock);
		if (ret)
			return ret;
		ret = peek_some(ch, to);
		/* Sends for what is there and not here, if there is room behind what is here. */
		if (ret == -EAGAIN || iov_iter_count(to))
			mp_fetch_prepare(&ch->in, true);
		mp_channel_unlock(ch, &ch->read_mutex, EPOLLIN);
		if (ret != -EAGAIN || nonblock)
			return ret;
		ret = mp_read_wait(ch);
		if (ret)
			return ret;
	}
}
