// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a process to the service.
 *
 * Small and non-blocking writes are copied into chunks of driver memory and sent without
 * waiting, within a bound per channel. Large blocking writes go on the caller's own
 * pages (pages.c), once all chunks are with the service. The write mutex keeps
 * writes of one channel apart.
 *
 * Chunks are sent in order, several in flight. When one comes back short the ones
 * behind it come back with ORDER; nothing more is sent until all are back, and
 * then they go out again from where the service is [protocol.md 6.2].
 */
#include <linux/slab.h>

#include "manyport.h"

#define MP_CHUNK_DATA_MAX  (65536 - sizeof(struct mp_chunk))	/* with its header: 64 KiB */
#define MP_CHUNK_MIN	   4096	/* with its header */
#define MP_CHUNKS_IN_FLIGHT 16
#define MP_MERGE_MAX	   512	/* bytes worth copying twice to save a chunk */

static size_t chunk_memory(const struct mp_chunk *chunk)
{
	return sizeof(*chunk) + chunk->size;
}

/* @chunk is on no list and not with the device. */
static void chunk_free(struct mp_channel *ch, struct mp_chunk *chunk)
{
	mp_port_uncharge(ch->port, ch->account, chunk_memory(chunk));
	kfree(chunk);
}

/*
 * Room for more: the channel's own bound, and the shared ones. One chunk is
 * always allowed, so a channel whose service takes bytes never starves.
 */
bool mp_write_has_room_locked(const struct mp_channel *ch)
{
	if (list_empty(&ch->out_chunks))
		return true;
	/* Room for one small chunk: what chunk_alloc() can have then. */
	return ch->out_memory < mp_send_buffer &&
	       atomic_long_read(&ch->port->bytes) + MP_CHUNK_MIN <= mp_max_bytes &&
	       atomic_long_read(&ch->account->bytes) + MP_CHUNK_MIN <= mp_max_bytes_per_user;
}

/* Drops all that was accepted; the device's own answers free what it still has. */
void mp_write_drop_locked(struct mp_channel *ch)
{
	struct mp_chunk *chunk, *next;

	if (ch->out_bytes && !ch->out_error)
		ch->out_error = ch->error || (ch->bits & MP_ST_FAILED) ? -ECONNRESET : -EPIPE;
	list_for_each_entry_safe(chunk, next, &ch->out_chunks, node) {
		list_del_init(&chunk->node);
		ch->out_memory -= chunk_memory(chunk);
		if (!chunk->is_sent)
			chunk_free(ch, chunk);
	}
	ch->out_bytes = 0;
}

/*
 * ORDER is for a chunk behind one that came back short: the device expects bytes before
 * it, none that it has taken. Any other would be sent and refused for ever.
 */
static bool order_is_possible_locked(const struct mp_channel *ch, const struct mp_chunk *chunk,
				     const struct mp_result *answer)
{
	u64 expected = le64_to_cpu(answer->offset);

	return expected < chunk->offset &&
	       expected >= list_first_entry(&ch->out_chunks, struct mp_chunk, node)->offset;
}

/* Takes over one chunk's answer. Returns what to wake. */
static __poll_t chunk_take_locked(struct mp_channel *ch, struct mp_chunk *chunk,
				  const struct mp_result *answer)
{
	u32 count = le32_to_cpu(answer->count);

	switch (le32_to_cpu(answer->status)) {
	case MP_OK:
		if (le64_to_cpu(answer->offset) != chunk->offset + count)
			return mp_channel_protocol_error_locked(ch, "write offset");
		chunk->offset += count;
		chunk->start += count;
		ch->out_bytes -= count;
		ch->bytes_out += count;
		break;
	case MP_ORDER:
		if (!order_is_possible_locked(ch, chunk, answer))
			return mp_channel_protocol_error_locked(ch, "write order");
		break;
	case MP_AGAIN:
		break;
	case MP_ENDED:
	case MP_BAD_STATE:
		mp_write_drop_locked(ch);
		return EPOLLOUT | EPOLLERR;
	default:
		return mp_channel_protocol_error_locked(ch, "write status");
	}
	if (chunk->start < chunk->end)
		ch->out_stopped = true;
	return 0;
}

/* Wakes who found no room, when there is some, or when all is with the service. */
static __poll_t wake_writers_locked(struct mp_channel *ch)
{
	if (!ch->out_wanted || !mp_write_has_room_locked(ch))
		return 0;
	/* Half of the room, so that a writer finds enough to be worth it. */
	if (ch->out_memory > mp_send_buffer / 2)
		return 0;
	ch->out_wanted = !list_empty(&ch->out_chunks);	/* fsync waits for the last */
	return EPOLLOUT;
}

static void chunk_done(struct mp_req *req)
{
	struct mp_chunk *chunk = container_of(req, struct mp_chunk, req);
	struct mp_channel *ch = req->channel;
	struct mp_chunk *over = NULL;
	struct mp_result answer;
	unsigned long flags;
	__poll_t wake = 0;
	int ret = mp_req_answer(req, &answer);

	spin_lock_irqsave(&ch->lock, flags);
	ch->out_sent--;
	/* It stays marked as sent meanwhile, so that dropping all does not free it. */
	if (!list_empty(&chunk->node) && !ret)
		wake |= chunk_take_locked(ch, chunk, &answer);
	else if (!list_empty(&chunk->node) && ret == -EPROTO)
		wake |= mp_channel_protocol_error_locked(ch, "write result");
	chunk->is_sent = false;
	if (!list_empty(&chunk->node) && chunk->start == chunk->end) {
		list_del_init(&chunk->node);
		ch->out_memory -= chunk_memory(chunk);
	}
	if (list_empty(&chunk->node))
		over = chunk;
	if (!ret)
		wake |= mp_channel_apply_answer_locked(ch, req, &answer);
	wake |= mp_channel_progress_locked(ch) | wake_writers_locked(ch);
	spin_unlock_irqrestore(&ch->lock, flags);
	if (over)
		chunk_free(ch, over);
	mp_channel_settle(ch, wake);
	mp_channel_put(ch);
}

static bool chunk_send_locked(struct mp_channel *ch, struct mp_chunk *chunk)
{
	mp_req_init(&chunk->req, ch, MP_OP_WRITE, chunk_done);
	mp_req_payload(&chunk->req, chunk->data + chunk->start,
		       min(chunk->end - chunk->start, ch->port->max_io), false);
	chunk->req.header.offset = cpu_to_le64(chunk->offset);
	if (mp_channel_submit_locked(ch, ch->port->tx, &chunk->req))
		return false;
	chunk->is_sent = true;
	ch->out_sent++;
	return true;
}

/* Sends what may be sent. Returns what to wake. */
__poll_t mp_write_pump_locked(struct mp_channel *ch)
{
	struct mp_chunk *chunk;

	lockdep_assert_held(&ch->lock);
	if (list_empty(&ch->out_chunks) || ch->phase != MP_PHASE_CONNECTED || ch->error)
		return 0;
	if (ch->bits & (MP_ST_OUT_END | MP_ST_FAILED | MP_ST_CLOSED)) {
		/*
		 * This state may have overtaken, on the other queue, the answers
		 * that say that the service has these bytes.
		 */
		if (ch->out_sent)
			return 0;
		mp_write_drop_locked(ch);
		return EPOLLOUT | EPOLLERR;
	}
	if (!ch->out_sent)
		ch->out_stopped = false;
	if (ch->out_stopped || !(ch->bits & MP_ST_OUT))
		return 0;
	list_for_each_entry(chunk, &ch->out_chunks, node) {
		if (chunk->is_sent)
			continue;
		if (ch->out_sent >= MP_CHUNKS_IN_FLIGHT || !chunk_send_locked(ch, chunk))
			break;
	}
	return 0;
}

/* Puts @chunk, filled, at the end: into the last one where that saves memory. */
static struct mp_chunk *chunk_append_locked(struct mp_channel *ch, struct mp_chunk *chunk)
{
	u32 len = chunk->end;
	struct mp_chunk *last;

	chunk->offset = ch->out_offset;
	ch->out_offset += len;
	ch->out_bytes += len;
	if (!list_empty(&ch->out_chunks)) {
		last = list_last_entry(&ch->out_chunks, struct mp_chunk, node);
		if (!last->is_sent && len <= MP_MERGE_MAX && last->size - last->end >= len) {
			memcpy(last->data + last->end, chunk->data, len);
			last->end += len;
			return chunk;
		}
	}
	list_add_tail(&chunk->node, &ch->out_chunks);
	ch->out_memory += chunk_memory(chunk);
	return NULL;
}

/*
 * Room for @want bytes. A small one behind others is made larger than needed, so that
 * those that follow can be merged into it.
 */
static struct mp_chunk *chunk_alloc(struct mp_channel *ch, size_t want, bool is_first)
{
	size_t size = min_t(size_t, want, MP_CHUNK_DATA_MAX);
	struct mp_chunk *chunk;

	if (!is_first)
		size = max_t(size_t, size, MP_CHUNK_MIN - sizeof(*chunk));
	if (!mp_port_charge(ch->port, ch->account, size + sizeof(*chunk), is_first))
		return ERR_PTR(-EAGAIN);
	chunk = kmalloc(size + sizeof(*chunk), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!chunk) {
		mp_port_uncharge(ch->port, ch->account, size + sizeof(*chunk));
		return ERR_PTR(-ENOMEM);
	}
	INIT_LIST_HEAD(&chunk->node);
	chunk->size = size;
	chunk->start = 0;
	chunk->end = 0;
	chunk->is_sent = false;
	return chunk;
}

/*
 * Copies the head of @from and sends it. Returns bytes, -EAGAIN (no
 * room), -EFAULT, -ENOMEM, or what the channel has come to.
 */
static ssize_t write_copy(struct mp_channel *ch, struct iov_iter *from)
{
	struct mp_chunk *chunk;
	bool room, is_first;
	ssize_t ret;
	__poll_t wake;

	spin_lock_irq(&ch->lock);
	is_first = list_empty(&ch->out_chunks);
	room = mp_write_has_room_locked(ch);
	ch->out_wanted |= !room;
	spin_unlock_irq(&ch->lock);
	if (!room)
		return -EAGAIN;
	/* The one chunk outside the bounds is a page [protocol.md 9.3]. */
	chunk = chunk_alloc(ch, iov_iter_count(from), false);
	if (IS_ERR(chunk))
		chunk = chunk_alloc(ch, min_t(size_t, iov_iter_count(from),
					      MP_CHUNK_MIN - sizeof(*chunk)), is_first);
	if (IS_ERR(chunk)) {
		spin_lock_irq(&ch->lock);
		ch->out_wanted = true;
		spin_unlock_irq(&ch->lock);
		return PTR_ERR(chunk);
	}
	chunk->end = copy_from_iter(chunk->data, min_t(size_t, chunk->size, iov_iter_count(from)),
				    from);
	ret = chunk->end;
	if (!ret) {
		chunk_free(ch, chunk);
		return -EFAULT;
	}
	spin_lock_irq(&ch->lock);
	if (ch->error || ch->phase != MP_PHASE_CONNECTED ||
	    (ch->bits & (MP_ST_OUT_END | MP_ST_FAILED)) || ch->shut_out)
		ret = -EAGAIN;	/* it ended meanwhile: the caller looks again */
	else
		chunk = chunk_append_locked(ch, chunk);
	wake = mp_channel_progress_locked(ch);
	spin_unlock_irq(&ch->lock);
	if (ret < 0)
		iov_iter_revert(from, chunk->end);
	if (chunk)
		chunk_free(ch, chunk);
	mp_channel_settle(ch, wake);
	return ret;
}

/*
 * What a write gets before it moves anything: 0 (go on), -EAGAIN (a fixed port
 * whose service is away), or the error, one that was owed first.
 */
static int write_state_locked(struct mp_channel *ch)
{
	int owed = ch->out_error;

	ch->out_error = 0;
	if (ch->error == -ENODEV)
		return -ENODEV;
	if (owed)
		return owed;
	if (ch->error)
		return ch->error;
	if (ch->shut_out)
		return -EPIPE;
	if (ch->phase != MP_PHASE_CONNECTED)
		return ch->port->is_fixed ? -EAGAIN : -ENOTCONN;
	if (!(ch->bits & (MP_ST_OUT_END | MP_ST_FAILED)))
		return 0;
	if (!ch->port->is_fixed)
		return ch->bits & MP_ST_FAILED ? -ECONNRESET : -EPIPE;
	ch->end_seen = true;
	mp_connect_again_locked(ch);
	return -EAGAIN;
}

static bool can_go_on(struct mp_channel *ch, bool large)
{
	bool ret;

	spin_lock_irq(&ch->lock);
	if (ch->error || ch->out_error || ch->shut_out)
		ret = true;
	else if (ch->phase != MP_PHASE_CONNECTED)
		ret = false;
	else if (ch->bits & (MP_ST_OUT_END | MP_ST_FAILED))
		ret = !ch->end_seen;
	else if (large)
		ret = list_empty(&ch->out_chunks) && !ch->out_sent && !ch->out_batch &&
		      (ch->bits & MP_ST_OUT);
	else
		ret = mp_write_has_room_locked(ch) && !ch->out_batch;
	ch->out_wanted |= !ret;
	spin_unlock_irq(&ch->lock);
	return ret;
}

/*
 * Looks for a signal also when there is no need to sleep: a device that says "go on" and
 * takes nothing, again and again, must not hold the caller.
 */
static int wait_for_room(struct mp_channel *ch, bool large)
{
	int ret;

	spin_lock_irq(&ch->lock);
	ch->waits++;
	spin_unlock_irq(&ch->lock);
	ret = wait_event_interruptible(ch->wait, can_go_on(ch, large));
	if (!ret && signal_pending(current))
		ret = -ERESTARTSYS;
	cond_resched();
	return ret;
}

/* One step, under the write mutex. Returns bytes, -EAGAIN (wait), -errno. */
static ssize_t write_some(struct mp_channel *ch, struct iov_iter *from, bool large)
{
	bool busy;
	int ret;

	spin_lock_irq(&ch->lock);
	ret = write_state_locked(ch);
	busy = ch->out_batch;	/* of a killed writer: where it ended is not known yet */
	ch->out_wanted |= ret == -EAGAIN || busy;
	spin_unlock_irq(&ch->lock);
	if (ret)
		return ret;
	if (busy)
		return -EAGAIN;
	return large ? mp_pages_move(ch, from, false) : write_copy(ch, from);
}

/* All of @from, or as much as can be without waiting. Returns bytes or -errno. */
static ssize_t write_all(struct mp_channel *ch, struct iov_iter *from, bool nonblock)
{
	bool can_pin = !nonblock, large;
	ssize_t done = 0, ret = 0;

	while (iov_iter_count(from)) {
		large = can_pin && mp_pages_want(from);
		ret = write_some(ch, from, large);
		if (ret > 0) {
			done += ret;
			continue;
		}
		if (ret == -EAGAIN && !nonblock) {
			ret = wait_for_room(ch, large);
			if (!ret)
				continue;
		} else if (large && ret != -EAGAIN && !READ_ONCE(ch->error) &&
			   !fatal_signal_pending(current) && ret != -EPIPE && ret != -ECONNRESET) {
			can_pin = false;	/* those pages cannot be used: copy */
			continue;
		}
		break;
	}
	return done ? done : ret;
}

static bool is_naming(struct mp_channel *ch)
{
	bool ret;

	spin_lock_irq(&ch->lock);
	ret = !ch->port->is_fixed && !ch->error &&
	      (ch->phase != MP_PHASE_CONNECTED || !ch->is_collected);
	spin_unlock_irq(&ch->lock);
	return ret;
}

/*
 * Names the service if none is, then writes all of @from. Returns bytes (less than
 * asked after a signal, or with @nonblock), -EAGAIN, -EPIPE, -ECONNRESET,
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
	if (is_naming(ch))
		named = mp_connect_first_write(ch, from, nonblock);
	ret = named < 0 ? named : write_all(ch, from, nonblock);
	mp_channel_unlock(ch, &ch->write_mutex, EPOLLOUT);
	if (named <= 0)
		return ret;
	return ret > 0 ? named + ret : named;
}

static bool is_flushed(struct mp_channel *ch)
{
	bool ret;

	spin_lock_irq(&ch->lock);
	ret = ch->error || ch->out_error || (list_empty(&ch->out_chunks) && !ch->out_batch);
	ch->out_wanted |= !ret;
	spin_unlock_irq(&ch->lock);
	return ret;
}

/* Waits until the service has all that was written. Returns 0 or the error owed. */
int mp_write_flush(struct mp_channel *ch)
{
	int ret = wait_event_interruptible(ch->wait, is_flushed(ch));

	if (ret)
		return ret;
	spin_lock_irq(&ch->lock);
	ret = ch->error == -ENODEV ? -ENODEV : ch->out_error ? ch->out_error : ch->error;
	ch->out_error = 0;
	spin_unlock_irq(&ch->lock);
	return ret;
}
