// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a process to the service.
 *
 * Small and non-blocking writes are copied (chunk.c) and sent without waiting, within
 * a bound per channel. Large blocking writes go on the caller's own pages (pages.c),
 * once all that was copied is with the service. The write mutex keeps writes of one
 * channel apart.
 */
#include "manyport.h"

/*
 * What a write gets before it moves anything: 0 (go on), -EAGAIN (a fixed port whose
 * service is away), or the error, one that was owed first. To a fixed port fsync alone
 * reports bytes that were lost with their client: its processes meet the end.
 */
static int write_state_locked(struct mp_channel *ch)
{
	if (ch->link.error == -ENODEV)
		return -ENODEV;
	if (ch->out_error && !ch->link.port->is_fixed)
		return ch->out_error;
	if (ch->link.error)
		return ch->link.error;
	if (ch->shut_out)
		return -EPIPE;
	if (ch->link.phase == MP_PHASE_REFUSED)
		return mp_reason_to_errno(ch->link.reason);
	if (ch->link.phase != MP_PHASE_CONNECTED)
		return ch->link.port->is_fixed ? -EAGAIN : -ENOTCONN;
	if (!(ch->link.bits & (MP_ST_OUT_END | MP_ST_FAILED)))
		return 0;
	if (ch->link.port->is_fixed)
		return -EAGAIN;
	return ch->link.bits & MP_ST_FAILED ? -ECONNRESET : -EPIPE;
}

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
	ch->end.lost += bytes;
	ch->out_error = -EPIPE;
	iov_iter_advance(from, bytes);
	return bytes;
}

static bool can_go_on(struct mp_channel *ch, bool large)
{
	bool ret;

	spin_lock_irq(&ch->link.lock);
	if (ch->link.error || ch->shut_out || ch->write_generation != ch->link.generation ||
	    (ch->out_error && !ch->link.port->is_fixed))
		ret = true;
	else if (ch->link.phase != MP_PHASE_CONNECTED)
		ret = ch->link.phase == MP_PHASE_REFUSED;
	else if (is_ended_locked(ch))
		ret = !ch->link.port->is_fixed || mp_end_may_lose_locked(ch) ||
		      (mp_end_is_over_locked(ch) && !ch->end.asked);
	else if (large)
		ret = list_empty(&ch->out_chunks) && !ch->out_sent && !ch->out_batch &&
		      (ch->link.bits & MP_ST_OUT);
	else
		ret = mp_write_has_room_locked(ch) && !ch->out_batch;
	if (!ret)
		mp_write_want_locked(ch, true);
	spin_unlock_irq(&ch->link.lock);
	return ret;
}

/*
 * Looks for a signal also when there is no need to sleep: a device that says "go on" and
 * takes nothing, again and again, must not hold the caller.
 */
static int wait_for_room(struct mp_channel *ch, bool large)
{
	int ret = mp_wait(ch, &ch->out_spin, can_go_on, large);

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
		ch->write_generation = ch->link.generation;
	ret = write_state_locked(ch);
	if (begun && ch->write_generation != ch->link.generation)
		ret = -EPIPE;
	else if (ret == -EAGAIN && is_ended_locked(ch))
		ret = write_ended_locked(ch, from, nonblock, begun, &edge);
	if (!ret && ch->out_batch)
		ret = -EAGAIN;	/* of a killed writer: where it ended is not known yet */
	if (!ret && !large)
		return mp_chunk_copy_locked(ch, from);
	if (ret == -EAGAIN)
		mp_write_want_locked(ch, true);
	spin_unlock_irq(&ch->link.lock);
	if (edge)
		mp_link_settle(&ch->link, edge);
	return ret ? ret : mp_pages_move(ch, from, false);
}

/* All of @from, or as much as can be without waiting. Returns bytes or -errno. */
static ssize_t write_all(struct mp_channel *ch, struct iov_iter *from, bool nonblock)
{
	bool can_pin = !nonblock, large;
	ssize_t done = 0, ret = 0;

	while (iov_iter_count(from)) {
		large = can_pin && mp_pages_want(from);
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

/* An error that was owed is paid when a call returns it, not one that returns a count. */
static ssize_t pay_error(struct mp_channel *ch, ssize_t ret)
{
	if (ret != -EPIPE && ret != -ECONNRESET && ret != -EIO)
		return ret;
	spin_lock_irq(&ch->link.lock);
	ch->out_error = 0;
	spin_unlock_irq(&ch->link.lock);
	return ret;
}

static bool is_naming(struct mp_channel *ch)
{
	bool ret;

	/* Once collected it is so for ever; a fixed port has no names. */
	if (READ_ONCE(ch->link.phase) == MP_PHASE_CONNECTED && READ_ONCE(ch->is_collected))
		return false;

	spin_lock_irq(&ch->link.lock);
	ret = !ch->link.port->is_fixed && !ch->link.error &&
	      (ch->link.phase != MP_PHASE_CONNECTED || !ch->is_collected);
	spin_unlock_irq(&ch->link.lock);
	return ret;
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
	if (READ_ONCE(ch->out_sent) >= MP_CHUNKS_IN_FLIGHT)
		mp_wait_look(ch);	/* answers may lie in the ring */
	if (is_naming(ch))
		named = mp_connect_first_write(ch, from, nonblock);
	ret = named;
	if (named >= 0) {
		mp_fetch_expect(ch);
		ret = write_all(ch, from, nonblock);
	}
	mp_channel_unlock(ch, &ch->write_mutex, EPOLLOUT);
	if (named <= 0)
		return pay_error(ch, ret);
	return ret > 0 ? named + ret : named;
}

static bool is_flushed(struct mp_channel *ch, bool unused)
{
	bool ret;

	spin_lock_irq(&ch->link.lock);
	ret = ch->link.error || ch->out_error || (list_empty(&ch->out_chunks) && !ch->out_batch);
	if (!ret)
		mp_write_want_locked(ch, true);
	spin_unlock_irq(&ch->link.lock);
	return ret;
}

/* Waits until the service has all that was written. Returns 0 or the error owed. */
int mp_write_flush(struct mp_channel *ch)
{
	int ret = mp_wait(ch, &ch->out_spin, is_flushed, false);

	if (ret)
		return ret;
	spin_lock_irq(&ch->link.lock);
	ret = ch->link.error == -ENODEV ? -ENODEV : ch->out_error ? ch->out_error : ch->link.error;
	ch->out_error = 0;
	spin_unlock_irq(&ch->link.lock);
	return ret;
}
