// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a process to the service.
 *
 * Small and non-blocking writes are copied (chunk.c) and sent without waiting, within
 * a bound per channel. Large blocking writes go on the caller's own pages (batch.c),
 * once all that was copied is with the service. The write mutex keeps writes of one
 * channel apart.
 */
#include <linux/sched/signal.h>

#include "batch.h"
#include "calls.h"
#include "channel.h"
#include "chunk.h"
#include "fetch.h"
#include "naming.h"
#include "out.h"
#include "reconnect.h"
#include "wait.h"

static bool is_ended_locked(const struct mp_channel *ch)
{
	return ch->link.phase == MP_PHASE_CONNECTED &&
	       (ch->link.bits & (MP_ST_OUT_END | MP_ST_FAILED));
}

/*
 * The service of a fixed port takes no more. Returns how many bytes of the write are lost
 * with it, -EAGAIN (@edge: what to wake), or -EPIPE: a write of which bytes were
 * taken (@begun) is over with these, since it never goes on from one client to the next.
 */
static ssize_t write_ended_locked(struct mp_channel *ch, struct iov_iter *from, bool nonblock,
				  bool begun, __poll_t *edge)
{
	size_t bytes = iov_iter_count(from);

	if (!mp_end_may_lose_locked(ch)) {
		if (begun)
			return -EPIPE;
		*edge = mp_end_write_locked(ch, nonblock);
		return -EAGAIN;
	}
	bytes = min_t(size_t, bytes, max(mp_send_buffer, 1U));
	mp_end_lose_locked(ch, bytes);
	ch->out.error = -EPIPE;
	iov_iter_advance(from, bytes);
	return bytes;
}

static bool can_go_on_locked(void *of, bool large)
{
	struct mp_channel *ch = of;
	bool ret;

	if (ch->link.error || ch->out.half.is_shut || ch->out.generation != ch->link.generation ||
	    (ch->out.error && !ch->link.port->is_fixed))
		ret = true;
	else if (ch->link.phase != MP_PHASE_CONNECTED)
		ret = ch->link.phase == MP_PHASE_REFUSED;
	else if (is_ended_locked(ch))
		ret = !ch->link.port->is_fixed || mp_end_may_lose_locked(ch) ||
		      (mp_end_is_over_locked(ch) && !ch->end.asked);
	else if (large)
		ret = mp_out_is_empty_locked(&ch->out) && (ch->link.bits & MP_ST_OUT);
	else
		ret = mp_chunks_have_room_locked(&ch->out) && !ch->out.half.batch;
	if (!ret)
		mp_chunks_want_locked(&ch->out, true);
	return ret;
}

/*
 * Looks for a signal also when there is no need to sleep: a device that says "go on" and
 * takes nothing, again and again, must not hold the caller.
 */
static int wait_for_room(struct mp_channel *ch, bool large)
{
	const struct mp_condition goes_on = { can_go_on_locked, ch, large };
	int ret = mp_wait(&ch->link, &ch->out.half.spin, &goes_on, 0);

	if (!ret && signal_pending(current))
		ret = -ERESTARTSYS;
	cond_resched();
	return ret;
}

/*
 * One step, under the write mutex; @begun: not the first of its write. Returns bytes,
 * -EAGAIN (wait), -errno.
 */
static ssize_t write_some(struct mp_channel *ch, struct iov_iter *from, bool large,
			  bool nonblock, bool begun)
{
	__poll_t edge = 0;
	ssize_t ret;

	spin_lock_irq(&ch->link.lock);
	if (!begun)
		ch->out.generation = ch->link.generation;
	ret = mp_out_state_locked(&ch->out);
	if (begun && ch->out.generation != ch->link.generation)
		ret = -EPIPE;
	else if (ret == -EAGAIN && is_ended_locked(ch))
		ret = write_ended_locked(ch, from, nonblock, begun, &edge);
	if (!ret && ch->out.half.batch)
		ret = -EAGAIN;	/* of a killed writer: where it ended is not known yet */
	if (!ret && !large)
		return mp_chunks_copy_locked(&ch->out, from);
	if (ret == -EAGAIN)
		mp_chunks_want_locked(&ch->out, true);
	mp_link_unlock(&ch->link, edge);
	return ret ? ret : mp_batch_move(&ch->out.half, from);
}

/* All of @from, or as much as can be without waiting. Returns bytes or -errno. */
static ssize_t write_all(struct mp_channel *ch, struct iov_iter *from, bool nonblock)
{
	bool can_pin = !nonblock, large;
	ssize_t done = 0, ret = 0;

	while (iov_iter_count(from)) {
		large = can_pin && mp_batch_is_worth(from);
		ret = write_some(ch, from, large, nonblock, done);
		if (ret > 0) {
			done += ret;
			continue;
		}
		if (ret == -EAGAIN && !nonblock) {
			ret = wait_for_room(ch, large);
			if (!ret)
				continue;
		} else if (large && ret != -EAGAIN && !READ_ONCE(ch->link.error) &&
			   !fatal_signal_pending(current) && ret != -EPIPE && ret != -ECONNRESET) {
			can_pin = false;	/* those pages cannot be used: copy */
			continue;
		}
		break;
	}
	return done ? done : ret;
}

/*
 * An error that was owed is paid when a call returns it, not one that returns a count. The
 * service's end may be known before the answers to what it did not take: they owe nothing more. To
 * a fixed port fsync reports them.
 */
static ssize_t pay_error(struct mp_channel *ch, ssize_t ret)
{
	if (ret != -EPIPE && ret != -ECONNRESET && ret != -EIO)
		return ret;
	spin_lock_irq(&ch->link.lock);
	ch->out.error = 0;
	ch->out.is_told = is_ended_locked(ch) && !ch->out.half.is_shut && !ch->link.port->is_fixed;
	spin_unlock_irq(&ch->link.lock);
	return ret;
}

/* Without the lock: once collected it is so for ever; a fixed port has no names. */
static bool is_naming(const struct mp_channel *ch)
{
	return !ch->link.port->is_fixed && !READ_ONCE(ch->link.error) &&
	       (READ_ONCE(ch->link.phase) != MP_PHASE_CONNECTED ||
		!READ_ONCE(ch->naming.is_collected));
}

/*
 * Names the service if none is, then writes all of @from. Returns bytes (less than
 * asked after a signal, or with @nonblock), -EAGAIN, -EPIPE, -ECONNRESET, -EIO,
 * -ENODEV, -EFAULT, -ERESTARTSYS, or what naming says.
 */
ssize_t mp_write(struct mp_channel *ch, struct iov_iter *from, bool nonblock)
{
	ssize_t named = 0, ret;

	if (!iov_iter_count(from))
		return 0;
	ret = mp_channel_lock(ch, &ch->write_mutex, EPOLLOUT, nonblock);
	if (ret)
		return ret;
	if (READ_ONCE(ch->out.sent) >= MP_CHUNKS_IN_FLIGHT)
		mp_wait_look(&ch->link);	/* answers may lie in the ring */
	if (is_naming(ch))
		named = mp_naming_first_write(&ch->naming, from, nonblock);
	ret = named;
	if (named >= 0) {
		if (READ_ONCE(ch->in.turn))
			mp_fetch_expect(&ch->in);
		ret = write_all(ch, from, nonblock);
	}
	mp_channel_unlock(ch, &ch->write_mutex, EPOLLOUT);
	if (named <= 0)
		return pay_error(ch, ret);
	return ret > 0 ? named + ret : named;
}

static bool is_flushed_locked(void *of, bool unused)
{
	struct mp_channel *ch = of;
	bool ret = ch->link.error || ch->out.error ||
		   (list_empty(&ch->out.chunks) && !ch->out.half.batch);

	if (!ret)
		mp_chunks_want_locked(&ch->out, true);
	return ret;
}

/* Waits until the service has all that was written. Returns 0 or the error owed. */
int mp_write_flush(struct mp_channel *ch)
{
	const struct mp_condition flushed = { is_flushed_locked, ch };
	int ret = mp_wait(&ch->link, &ch->out.half.spin, &flushed, 0);

	if (ret)
		return ret;
	spin_lock_irq(&ch->link.lock);
	ret = ch->link.error == -ENODEV ? -ENODEV : ch->out.error ? ch->out.error : ch->link.error;
	ch->out.error = 0;
	spin_unlock_irq(&ch->link.lock);
	return ret;
}
