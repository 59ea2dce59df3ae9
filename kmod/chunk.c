// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes by copy: chunks of driver memory, sent in order, several in flight.
 *
 * With nothing in flight a write is sent at once. Behind that the last chunk is filled by
 * further writes until an answer comes or it is full: so a busy channel sends few large
 * requests, and one that is not busy does not wait.
 *
 * WRITEs are lazy [protocol.md 6.8]: no interrupt is made for an answer that no caller
 * waits for. The channel asks for interrupts while a caller found no room. What waits behind
 * others goes when a call on the channel looks, or soon after (mp_queue_demand()).
 *
 * When one comes back short the ones behind it come back with ORDER; nothing more is
 * sent until all are back, and then they go out again from where the service
 * is [protocol.md 6.2].
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "account.h"
#include "chunk.h"
#include "link.h"
#include "port.h"

uint mp_send_buffer = 256 << 10;
module_param_named(send_buffer, mp_send_buffer, uint, 0644);
MODULE_PARM_DESC(send_buffer, "bytes per channel that a write may leave behind (262144)");

#define MP_CHUNK_MAX	    MP_POOL_LARGE_BYTES	/* bytes of data */
#define MP_CHUNK_MIN	    MP_POOL_PAGE_BYTES	/* with its head, which larger ones have apart */
#define MP_CHUNK_HEAD	    (sizeof(struct mp_chunk) + sizeof(struct mp_request))

static_assert(MP_CHUNK_HEAD + 128 <= MP_POOL_SMALL_BYTES);

/* Bytes of data that a chunk has: it is as large as its memory allows. */
static u32 room_of(enum mp_pool_kind kind)
{
	return kind > MP_POOL_PAGE ? mp_pool_bytes[kind] : mp_pool_bytes[kind] - MP_CHUNK_HEAD;
}

static enum mp_pool_kind kind_for(size_t size)
{
	enum mp_pool_kind kind = MP_POOL_SMALL;

	while (kind < MP_POOL_LARGE && room_of(kind) < size)
		kind++;
	return kind;
}

static size_t chunk_memory(const struct mp_chunk *chunk)
{
	return MP_CHUNK_HEAD + chunk->size;
}

/* Where the bytes of a small one are: behind room for a header, so that both are one entry. */
static u8 *inlined_data(struct mp_chunk *chunk)
{
	return (u8 *)chunk + MP_CHUNK_HEAD;
}

/* @chunk is on no list and not with the device. */
static void chunk_free(struct mp_out *out, struct mp_chunk *chunk)
{
	enum mp_pool_kind kind = kind_for(chunk->size);
	struct mp_link *link = out->half.link;

	mp_account_uncharge(link->account, chunk_memory(chunk));
	if (chunk->data != inlined_data(chunk)) {
		mp_pool_put(&link->port->pool, kind, chunk->data);
		kind = MP_POOL_SMALL;
	}
	mp_pool_put(&link->port->pool, kind, chunk);
}

/* Room for one small chunk: what chunk_alloc() can have then. */
static bool has_shared_room(const struct mp_out *out)
{
	return mp_account_has_room(out->half.link->account, MP_CHUNK_MIN);
}

/*
 * Room for more: the channel's own bound, and the shared ones. One chunk is
 * always allowed, so a channel whose service takes bytes never starves.
 */
bool mp_chunks_have_room_locked(const struct mp_out *out)
{
	if (list_empty(&out->chunks))
		return true;
	return out->memory < mp_send_buffer && has_shared_room(out);
}

/* Drops all that was accepted; the device's own answers free what it still has. */
void mp_chunks_drop_locked(struct mp_out *out)
{
	struct mp_link *link = out->half.link;
	struct mp_chunk *chunk, *next;

	if (out->bytes && !out->error && link->error == -EIO)
		out->error = -EIO;
	if (out->bytes && !out->error && !out->is_told)
		out->error = link->error ? link->error :
				link->bits & MP_ST_FAILED ? -ECONNRESET : -EPIPE;
	list_for_each_entry_safe(chunk, next, &out->chunks, node) {
		list_del_init(&chunk->node);
		out->memory -= chunk_memory(chunk);
		if (!chunk->is_sent && !chunk->is_filling)
			chunk_free(out, chunk);
	}
	out->bytes = 0;
}

/*
 * A channel that waits for answers to WRITEs is counted in the queue, which sees to it that they
 * come: its own, or those of others that have the memory. With the service full there are none.
 */
static void count_locked(struct mp_out *out)
{
	struct mp_link *link = out->half.link;
	bool unsent = !list_empty(&out->chunks) &&
		      !list_last_entry(&out->chunks, struct mp_chunk, node)->is_sent;
	/* Something goes on when those under way are back: more bytes, or CLOSE. */
	bool held = out->sent &&
		    (unsent || out->is_stopped || mp_link_is_ending_locked(link));
	bool wanted = out->wanted && (out->sent || !has_shared_room(out));

	mp_link_demand_locked(link, wanted, held);
}

void mp_chunks_want_locked(struct mp_out *out, bool wanted)
{
	lockdep_assert_held(&out->half.link->lock);
	out->wanted = wanted;
	count_locked(out);
}

/* Takes over one chunk's answer. Returns what to wake. */
static __poll_t chunk_take_locked(struct mp_out *out, struct mp_chunk *chunk,
				  const struct mp_result *answer)
{
	u64 first = list_first_entry(&out->chunks, struct mp_chunk, node)->offset;
	u32 status = le32_to_cpu(answer->status);
	__poll_t wake = 0;

	if (status == MP_FAULT)
		return mp_link_fault_locked(out->half.link);
	if (!mp_half_judge_locked(&out->half, &chunk->req, answer, first, &wake))
		return wake;
	if (status == MP_ENDED || status == MP_BAD_STATE) {
		mp_chunks_drop_locked(out);
		return EPOLLOUT | EPOLLERR;
	}
	if (status == MP_OK) {
		u32 count = le32_to_cpu(answer->count);

		chunk->offset += count;
		chunk->start += count;
		out->bytes -= count;
		out->half.bytes += count;
	}
	if (chunk->start < chunk->end)
		out->is_stopped = true;
	return 0;
}

/*
 * A chunk found no memory on its way to the device: again, in pieces of a page. If there is
 * none for such a piece either the channel is over, as what follows would leave a hole.
 */
static __poll_t chunk_given_up_locked(struct mp_out *out, struct mp_chunk *chunk)
{
	if (le32_to_cpu(chunk->req.header.length) <= MP_CHUNK_MIN)
		return mp_link_fail_locked(out->half.link, -ENOMEM);
	chunk->piece = MP_CHUNK_MIN;
	out->is_stopped = true;
	return 0;
}

/* Wakes who found no room, when there is some, or when all is with the service. */
static __poll_t wake_writers_locked(struct mp_out *out)
{
	if (!out->wanted || !mp_chunks_have_room_locked(out))
		return 0;
	/* Half of the room, so that a writer finds enough to be worth it. */
	if (out->memory > mp_send_buffer / 2)
		return 0;
	mp_chunks_want_locked(out, !list_empty(&out->chunks));	/* fsync waits for the last */
	return EPOLLOUT;
}

/*
 * The answer to a WRITE from driver memory. The chunk stays marked as sent while its answer is
 * taken: an answer that ends the channel drops all chunks, and would free this one under our
 * hands.
 */
static __poll_t chunk_taken(struct mp_req *req, int ret, const struct mp_result *answer)
{
	struct mp_chunk *chunk = container_of(req, struct mp_chunk, req);
	struct mp_out *out = chunk->out;
	__poll_t wake = 0;

	out->sent--;
	if (!ret && !list_empty(&chunk->node))
		wake |= chunk_take_locked(out, chunk, answer);
	else if (ret == -ENOMEM && !list_empty(&chunk->node))
		wake |= chunk_given_up_locked(out, chunk);
	chunk->is_sent = false;
	if (!list_empty(&chunk->node) && chunk->start == chunk->end) {
		list_del_init(&chunk->node);
		out->memory -= chunk_memory(chunk);
	}
	if (list_empty(&chunk->node))
		chunk_free(out, chunk);
	return wake | wake_writers_locked(out);
}

static bool chunk_send_locked(struct mp_out *out, struct mp_chunk *chunk)
{
	struct mp_link *link = out->half.link;

	mp_req_init(&chunk->req, chunk_taken);
	mp_req_payload(&chunk->req, chunk->data + chunk->start,
		       min3(chunk->end - chunk->start, chunk->piece, link->port->max_io), false,
		       chunk->data == inlined_data(chunk));
	if (mp_link_send_locked(link, link->port->tx, &chunk->req, MP_OP_WRITE, MP_LAZY,
				   chunk->offset))
		return false;
	chunk->is_sent = true;
	out->sent++;
	/* Of what follows the rest is first: nothing goes before, and it waits for this answer. */
	if (le32_to_cpu(chunk->req.header.length) < chunk->end - chunk->start)
		out->is_stopped = true;
	return true;
}

/* What may be filled further goes out only with nothing before it. */
static bool may_send_locked(const struct mp_out *out, const struct mp_chunk *chunk)
{
	bool may_grow = chunk->end < chunk->size && list_is_last(&chunk->node, &out->chunks);

	return !chunk->is_filling && out->sent < (may_grow ? 1 : MP_CHUNKS_IN_FLIGHT);
}

static void send_chunks_locked(struct mp_out *out)
{
	struct mp_chunk *chunk;

	list_for_each_entry(chunk, &out->chunks, node) {
		if (chunk->is_sent)
			continue;
		if (!may_send_locked(out, chunk) || !chunk_send_locked(out, chunk) ||
		    out->is_stopped)
			break;
	}
}

/* The service takes no more: what was not taken is dropped. Returns what to wake. */
static __poll_t end_chunks_locked(struct mp_out *out)
{
	/*
	 * This state may have overtaken, on the other queue, the answers that say that
	 * the service has these bytes.
	 */
	if (out->sent) {
		mp_chunks_want_locked(out, true);
		return 0;
	}
	mp_chunks_drop_locked(out);
	out->wanted = false;		/* nothing is waited for any more */
	return EPOLLOUT | EPOLLERR;
}

/* Sends what may be sent. Returns what to wake. */
__poll_t mp_chunks_pump_locked(struct mp_out *out)
{
	struct mp_link *link = out->half.link;
	__poll_t wake = 0;

	lockdep_assert_held(&link->lock);
	if (link->error) {
		mp_chunks_drop_locked(out);
		count_locked(out);
		return 0;
	}
	if (link->phase != MP_PHASE_CONNECTED)
		return 0;
	if (!out->sent)
		out->is_stopped = false;
	if (list_empty(&out->chunks))
		;
	else if (link->bits & (MP_ST_OUT_END | MP_ST_FAILED | MP_ST_CLOSED))
		wake = end_chunks_locked(out);
	else if (!out->is_stopped && (link->bits & MP_ST_OUT))
		send_chunks_locked(out);
	count_locked(out);
	return wake;
}

/* A chunk with room for @size bytes; @force: outside every bound. NULL: none to be had. */
static struct mp_chunk *chunk_alloc(struct mp_out *out, size_t size, bool force)
{
	struct mp_link *link = out->half.link;
	struct mp_pool *pool = &link->port->pool;
	enum mp_pool_kind kind = kind_for(size);
	size_t memory = MP_CHUNK_HEAD + room_of(kind);
	bool is_apart = kind > MP_POOL_PAGE;
	struct mp_chunk *chunk;

	if (!mp_account_charge(link->account, memory, force))
		return NULL;
	chunk = mp_pool_get(pool, is_apart ? MP_POOL_SMALL : kind, GFP_KERNEL_ACCOUNT);
	if (!chunk)
		goto err_charge;
	chunk->data = inlined_data(chunk);
	if (is_apart)
		chunk->data = mp_pool_get(pool, kind,
					  GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_NORETRY);
	if (!chunk->data)
		goto err_chunk;
	INIT_LIST_HEAD(&chunk->node);
	chunk->out = out;
	chunk->size = room_of(kind);
	chunk->piece = room_of(kind);
	chunk->start = 0;
	chunk->end = 0;
	chunk->is_sent = false;
	chunk->is_filling = true;
	return chunk;

err_chunk:
	mp_pool_put(pool, MP_POOL_SMALL, chunk);
err_charge:
	mp_account_uncharge(link->account, memory);
	return NULL;
}

/*
 * For @want bytes more, and at least @least; larger than that where it will wait for others and be
 * filled further. The one chunk outside the bounds is a page [protocol.md 9.3].
 */
static struct mp_chunk *chunk_make(struct mp_out *out, size_t want, size_t least, bool is_first,
				   bool waits)
{
	size_t size = clamp_t(size_t, want, least, MP_CHUNK_MAX);
	struct mp_chunk *chunk;

	if (size > mp_pool_bytes[MP_POOL_BYTES])
		waits = true;
	chunk = chunk_alloc(out, waits ? MP_CHUNK_MAX : size, false);
	if (!chunk && size < MP_CHUNK_MAX && waits)
		chunk = chunk_alloc(out, size, false);
	if (!chunk)
		chunk = chunk_alloc(out, MP_CHUNK_MIN - MP_CHUNK_HEAD, is_first);
	return chunk;
}

/* The last chunk, if more fits in; it is not sent while it is being filled. */
static struct mp_chunk *chunk_reopen_locked(struct mp_out *out)
{
	struct mp_chunk *chunk;

	if (list_empty(&out->chunks))
		return NULL;
	chunk = list_last_entry(&out->chunks, struct mp_chunk, node);
	if (chunk->is_sent || chunk->end == chunk->size)
		return NULL;
	chunk->is_filling = true;
	return chunk;
}

/* It ended while the lock was free: the caller looks again. */
static bool is_over_locked(const struct mp_out *out)
{
	return mp_half_state_locked(&out->half) != MP_HALF_OPEN ||
	       out->generation != out->half.link->generation;
}

/*
 * Copies into @chunk, which is on the list (@is_old) or new, and sends it when it is its
 * turn. Returns bytes, -EFAULT, -EAGAIN (over).
 */
static ssize_t chunk_fill(struct mp_out *out, struct mp_chunk *chunk, bool is_old,
			  struct iov_iter *from)
{
	struct mp_link *link = out->half.link;
	size_t copied = copy_from_iter(chunk->data + chunk->end,
				       min_t(size_t, chunk->size - chunk->end,
					     iov_iter_count(from)), from);
	ssize_t ret = copied ? copied : -EFAULT;
	__poll_t wake = 0;
	bool dropped;

	spin_lock_irq(&link->lock);
	chunk->is_filling = false;
	dropped = is_old && list_empty(&chunk->node);
	if (copied && (dropped || is_over_locked(out))) {
		iov_iter_revert(from, copied);
		ret = -EAGAIN;
	}
	if (ret > 0) {
		if (!is_old) {
			chunk->offset = out->half.offset;
			list_add_tail(&chunk->node, &out->chunks);
			out->memory += chunk_memory(chunk);
		}
		chunk->end += copied;
		out->half.offset += copied;
		out->bytes += copied;
	}
	/* What may grow further goes when that which is under way has been answered. */
	if (ret < 0 || !is_old || !out->sent || chunk->end == chunk->size)
		wake = mp_link_progress_locked(link);
	mp_link_unlock(link, wake);
	if (dropped || (!is_old && ret < 0))
		chunk_free(out, chunk);
	return ret;
}

/*
 * Copies the head of @from and sends it, under the write mutex; drops the lock. Returns
 * bytes, -EAGAIN (no room), -EFAULT, -ENOMEM.
 */
ssize_t mp_chunks_copy_locked(struct mp_out *out, struct iov_iter *from)
	__releases(&out->half.link->lock)
{
	struct mp_link *link = out->half.link;
	struct mp_chunk *chunk;
	size_t least = MP_CHUNK_MIN - MP_CHUNK_HEAD;
	bool is_first, room, waits;

	chunk = chunk_reopen_locked(out);
	is_first = list_empty(&out->chunks);
	waits = out->sent;
	/* One that goes at once is not filled further. */
	if (is_first && !waits && (link->bits & MP_ST_OUT))
		least = 1;
	room = chunk || mp_chunks_have_room_locked(out);
	if (!room)
		mp_chunks_want_locked(out, true);
	spin_unlock_irq(&link->lock);
	if (!room)
		return -EAGAIN;
	if (chunk)
		return chunk_fill(out, chunk, true, from);
	chunk = chunk_make(out, iov_iter_count(from), least, is_first, waits);
	if (chunk)
		return chunk_fill(out, chunk, false, from);
	spin_lock_irq(&link->lock);
	mp_chunks_want_locked(out, true);
	spin_unlock_irq(&link->lock);
	return is_first ? -ENOMEM : -EAGAIN;
}
