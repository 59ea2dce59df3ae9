// SPDX-License-Identifier: GPL-2.0-only
/*
 * READs into driver memory, on the receive queue.
 *
 * The list holds filled fetches first, in order of offset, then those at the device, each
 * at the offset where the one before it ends if that comes back full. The device serves them
 * in order: behind one that came back short the others come back with ORDER, and nothing
 * more is asked for until all are back.
 *
 * One may wait at the device: while a caller waits for bytes (mp_fetch_park_locked()), or for the
 * answer to a write where reads and writes take turns (mp_fetch_expect()). All others say
 * MP_READ_NOW: they are for bytes that the state says are there. How large they
 * are and how many are in flight is learned: a full one makes the next larger, then makes
 * more of them; a short one the other way round. So a channel of small messages has a page or
 * less, and only while it has bytes, and a stream keeps the device busy while its reader
 * copies.
 */
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "manyport.h"
#include "urgent.h"

static uint receive_buffer = 256 << 10;
module_param(receive_buffer, uint, 0644);
MODULE_PARM_DESC(receive_buffer, "bytes per channel that are fetched ahead (262144)");

#define MP_FETCH_MIN	4096U	/* with its header */
#define MP_FETCH_MAX	65536U	/* likewise */
#define MP_DEPTH_MAX	8U

static void fetch_free(struct mp_channel *ch, struct mp_fetch *fetch)
{
	if (!fetch)
		return;
	mp_account_uncharge(ch->link.account, fetch->size + sizeof(*fetch));
	kfree(fetch);
}

/*
 * Zeroed, because a device that lies about what it wrote must not show a process what
 * this memory held before. @size counts the header; the first page of a channel lies
 * outside every bound [protocol.md 9.3].
 */
static struct mp_fetch *fetch_alloc(struct mp_channel *ch, size_t size, gfp_t gfp)
{
	bool force = size <= MP_FETCH_MIN && list_empty(&ch->in_fetches);
	struct mp_fetch *fetch;

	if (!mp_account_charge(ch->link.account, size, force))
		return NULL;
	fetch = kzalloc(size, gfp | __GFP_NOWARN | __GFP_NORETRY);
	if (!fetch) {
		mp_account_uncharge(ch->link.account, size);
		return NULL;
	}
	fetch->size = size - sizeof(*fetch);
	return fetch;
}

static u32 buffer_max(void)
{
	return max(READ_ONCE(receive_buffer), MP_FETCH_MIN);
}

/* --- What is learned ------------------------------------------------------ */

static u32 size_wanted_locked(const struct mp_channel *ch)
{
	return clamp(ch->in_size, MP_FETCH_MIN, min(buffer_max(), MP_FETCH_MAX));
}

static u32 depth_wanted_locked(const struct mp_channel *ch)
{
	return clamp(buffer_max() / size_wanted_locked(ch), 1U, max_t(u32, ch->in_depth, 1));
}

static void learn_full_locked(struct mp_channel *ch)
{
	if (ch->in_size < MP_FETCH_MAX)
		ch->in_size = min(max(ch->in_size, MP_FETCH_MIN) * 4, MP_FETCH_MAX);
	else
		ch->in_depth = min(max_t(u32, ch->in_depth, 1) * 2, MP_DEPTH_MAX);
}

static void learn_short_locked(struct mp_channel *ch, u32 count)
{
	if (ch->in_depth > 1)
		ch->in_depth /= 2;
	else if (count < ch->in_size / 8)
		ch->in_size = max(ch->in_size / 2, MP_FETCH_MIN);
}

/* --- Answers -------------------------------------------------------------- */

/*
 * What the fetches at the head of the list brought, as far as they are back. Bytes
 * behind a gap are the device's mistake. Returns what to wake.
 */
static __poll_t fetch_settle_locked(struct mp_channel *ch)
{
	struct mp_fetch *fetch, *next;

	list_for_each_entry_safe(fetch, next, &ch->in_fetches, node) {
		if (fetch->is_busy)
			break;
		if (fetch->offset < ch->in_offset)
			continue;	/* settled before */
		if (fetch->end && fetch->offset != ch->in_offset)
			return mp_link_break_locked(&ch->link, "bytes behind a gap");
		if (!fetch->end) {
			list_del_init(&fetch->node);
			swap(ch->in_spare, fetch);
			fetch_free(ch, fetch);
			continue;
		}
		ch->in_full++;
		ch->in_ready += fetch->end;
		ch->in_offset += fetch->end;
		ch->bytes_in += fetch->end;
	}
	if (!ch->in_busy) {
		ch->in_asked = ch->in_offset;
		ch->in_stopped = false;
	}
	return 0;
}

/* Takes over what a READ brought. Returns what to wake. */
static __poll_t fetch_take_locked(struct mp_channel *ch, struct mp_fetch *fetch,
				  const struct mp_result *answer)
{
	u64 expected = le64_to_cpu(answer->offset);
	u32 count = le32_to_cpu(answer->count);

	switch (le32_to_cpu(answer->status)) {
	case MP_OK:
		if (expected != fetch->offset + count)
			return mp_link_break_locked(&ch->link, "read offset");
		if (!count && !(le16_to_cpu(answer->state.bits) & MP_ST_IN_END))
			return mp_link_break_locked(&ch->link, "empty read");
		fetch->end = count;
		if (count == le32_to_cpu(fetch->req.header.length))
			learn_full_locked(ch);
		else
			learn_short_locked(ch, count);
		break;
	case MP_ORDER:
		/* Only behind one that came back short: else it would be so for ever. */
		if (expected >= fetch->offset || expected < ch->in_offset)
			return mp_link_break_locked(&ch->link, "read order");
		break;
	case MP_CANCELLED:
		ch->in_retry = true;
		break;
	case MP_AGAIN:
		/*
		 * An event follows, or the state that it would carry has come already,
		 * on the other queue.
		 */
		if (!mp_again_is_valid(answer, MP_ST_IN))
			return mp_link_break_locked(&ch->link, "read again");
		break;
	case MP_ENDED:
	case MP_BAD_STATE:
		break;	/* the state says why */
	case MP_FAULT:
		return mp_link_fault_locked(&ch->link);
	default:
		return mp_link_break_locked(&ch->link, "read status");
	}
	if (fetch->end < le32_to_cpu(fetch->req.header.length))
		ch->in_stopped = true;
	return 0;
}

/*
 * A READ found no memory on its way to the device, and no byte is lost by that. The next one
 * asks for a page at most; a blocking reader who had no more from that hears of it.
 */
static void fetch_given_up_locked(struct mp_channel *ch)
{
	if (ch->in_small && ch->in_waiters)
		ch->in_failed = true;
	else
		ch->in_retry = true;
	ch->in_small = true;
	ch->in_stopped = true;
}

/*
 * The answer to a READ into driver memory. Readers are woken always, also for a READ that brought
 * nothing: a reader may wait for the READ to be back rather than for bytes. One that was
 * forgotten (on no list) only gives its memory back. What came is settled before the state is
 * looked at, since progress asks for more behind it. Settling may free this very fetch, when the
 * one behind it came back before.
 */
static __poll_t fetch_taken(struct mp_req *req, int ret, const struct mp_result *answer)
{
	struct mp_fetch *fetch = container_of(req, struct mp_fetch, req);
	struct mp_channel *ch = mp_channel_of(req->link);
	__poll_t wake = EPOLLIN;

	fetch->is_busy = false;
	if (!ret)
		ch->in_small = false;
	if (list_empty(&fetch->node)) {
		fetch_free(ch, fetch);	/* forgotten meanwhile */
		return wake;
	}
	ch->in_busy--;
	if (!ret)
		wake |= fetch_take_locked(ch, fetch, answer);
	else if (ret == -ENOMEM)
		fetch_given_up_locked(ch);
	return wake | fetch_settle_locked(ch);
}

/* --- Asking --------------------------------------------------------------- */

/*
 * May a READ be sent now, behind those in flight? Not into a queue that broke, though the channel
 * has no error yet: a reader that is refused again and again would keep the processor from the
 * work item that ends the channel.
 */
bool mp_fetch_may_ask_locked(const struct mp_channel *ch)
{
	return ch->link.phase == MP_PHASE_CONNECTED && !ch->link.error && !ch->shut_in &&
	       !ch->link.is_released && !ch->in_batch && !ch->in_stopped &&
	       !READ_ONCE(ch->link.port->rx->is_broken) &&
	       !(ch->link.bits & (MP_ST_IN_END | MP_ST_FAILED));
}

static bool wants_more_locked(const struct mp_channel *ch)
{
	return (ch->link.bits & MP_ST_IN) && mp_fetch_may_ask_locked(ch) &&
	       ch->in_busy + ch->in_full < depth_wanted_locked(ch);
}

static bool fetch_send_locked(struct mp_channel *ch, struct mp_fetch *fetch, u16 flags)
{
	u32 len = min(fetch->size, ch->link.port->max_io);

	if (ch->in_small)
		len = min_t(u32, len, MP_FETCH_MIN - sizeof(*fetch));
	fetch->start = 0;
	fetch->end = 0;
	fetch->offset = ch->in_asked;
	mp_req_init(&fetch->req, fetch_taken);
	mp_req_payload(&fetch->req, fetch->data, len, true);
	if (mp_link_send_locked(&ch->link, ch->link.port->rx, &fetch->req, MP_OP_READ, flags,
				   fetch->offset)) {
		fetch_free(ch, fetch);
		return false;
	}
	fetch->is_busy = true;
	list_add_tail(&fetch->node, &ch->in_fetches);
	ch->in_busy++;
	ch->in_asked += len;
	ch->in_retry = false;
	ch->in_failed = false;
	return true;
}

/* A page or less, from where we may not wait. In an interrupt, too, the opener's group pays. */
static struct mp_fetch *fetch_alloc_page_locked(struct mp_channel *ch)
{
	struct mem_cgroup *old = set_active_memcg(ch->memcg);
	/* Not GFP_ATOMIC: that would pass the group's limit, and take what interrupts need. */
	struct mp_fetch *fetch = fetch_alloc(ch, MP_FETCH_MIN, GFP_NOWAIT | __GFP_ACCOUNT);

	set_active_memcg(old);
	return fetch;
}

/* A fetch for the next READ: the spare one, else a new one if there is memory. */
static struct mp_fetch *fetch_get_locked(struct mp_channel *ch)
{
	struct mp_fetch *fetch = ch->in_spare;

	ch->in_spare = NULL;
	if (!fetch)
		fetch = fetch_alloc_page_locked(ch);
	ch->fetch_failed = !fetch;
	return fetch;
}

/*
 * Asks for bytes that are there, as many as the channel's pace is worth. A blocking reader
 * that polls needs no interrupt for the answers; before he sleeps he asks for one
 * (mp_fetch_urge_locked()). A polled channel that gets no memory here shows IN, and
 * the read that follows tries again where it may wait for memory.
 */
void mp_fetch_ahead_locked(struct mp_channel *ch, bool is_reader)
{
	struct mp_fetch *fetch;
	bool lazy;

	lockdep_assert_held(&ch->link.lock);
	while (wants_more_locked(ch)) {
		/* Beyond the first only in memory that is there already. */
		if (!ch->in_spare && (ch->in_busy || ch->in_full))
			return;
		fetch = fetch_get_locked(ch);
		if (!fetch)
			return;
		lazy = is_reader && !ch->is_polled && !ch->in_waiters &&
		       mp_spin_is_on(&ch->in_spin);
		if (!fetch_send_locked(ch, fetch, MP_READ_NOW | (lazy ? MP_LAZY : 0)))
			return;
	}
}

static void park_locked(struct mp_channel *ch, u16 flags)
{
	struct mp_fetch *fetch;

	lockdep_assert_held(&ch->link.lock);
	if (ch->in_busy || ch->in_full || !mp_fetch_may_ask_locked(ch))
		return;
	fetch = fetch_get_locked(ch);
	if (fetch)
		fetch_send_locked(ch, fetch, flags);
	else	/* without IN there is nothing to be readable for: an event comes */
		ch->fetch_failed = ch->link.bits & MP_ST_IN;
}

/* For a caller that waits: one READ may wait at the device with him. */
void mp_fetch_park_locked(struct mp_channel *ch)
{
	park_locked(ch, 0);
}

/* Enough for a read of @want bytes, and no more than one READ may bring. */
static u32 size_for(size_t want)
{
	return roundup_pow_of_two(clamp_t(size_t, want + sizeof(struct mp_fetch), MP_FETCH_MIN,
					  min(buffer_max(), MP_FETCH_MAX)));
}

/* Is there a READ to be sent for which there is no memory yet? */
static bool needs_spare(struct mp_channel *ch, size_t want, bool nonblock, u32 *size)
{
	bool ret;

	spin_lock_irq(&ch->link.lock);
	mp_fetch_ahead_locked(ch, !nonblock);
	ret = !ch->in_spare &&
	      (wants_more_locked(ch) || (!nonblock && !ch->in_busy && !ch->in_full &&
					 mp_fetch_may_ask_locked(ch)));
	*size = max(size_wanted_locked(ch), size_for(want));
	spin_unlock_irq(&ch->link.lock);
	return ret;
}

/*
 * Before a read of @want bytes, where memory may be waited for: sends what is worth
 * sending, and has a spare for a call that will wait.
 */
void mp_fetch_prepare(struct mp_channel *ch, size_t want, bool nonblock)
{
	struct mp_fetch *fetch;
	u32 size;

	while (needs_spare(ch, want, nonblock, &size)) {
		fetch = fetch_alloc(ch, size, GFP_KERNEL_ACCOUNT);
		if (!fetch)
			fetch = fetch_alloc(ch, MP_FETCH_MIN, GFP_KERNEL_ACCOUNT);
		if (!fetch)
			return;
		spin_lock_irq(&ch->link.lock);
		swap(ch->in_spare, fetch);
		spin_unlock_irq(&ch->link.lock);
		fetch_free(ch, fetch);
	}
}

/*
 * Of a channel on which reads and writes take turns a write is about to begin: a READ goes ahead
 * of it, since a fast answer would come as an event before one that goes behind it. A reader who
 * polls finds the answer in the ring, so no interrupt is made, unless somebody sleeps.
 */
void mp_fetch_expect(struct mp_channel *ch)
{
	struct mp_fetch *fetch = NULL;
	bool lazy = !READ_ONCE(ch->is_polled);

	if (!READ_ONCE(ch->in_turn) || (lazy && !mp_spin_is_on(&ch->in_spin)))
		return;
	if (!READ_ONCE(ch->in_spare))
		fetch = fetch_alloc(ch, size_for(READ_ONCE(ch->in_want)), GFP_KERNEL_ACCOUNT);
	spin_lock_irq(&ch->link.lock);
	ch->in_turn = false;
	if (!ch->in_spare)
		swap(ch->in_spare, fetch);
	lazy = !ch->is_polled;
	if (!(ch->link.bits & MP_ST_IN) && !(lazy && ch->in_waiters))
		park_locked(ch, lazy ? MP_LAZY : 0);
	mp_fetch_trim_locked(ch);
	spin_unlock_irq(&ch->link.lock);
	fetch_free(ch, fetch);
}

/* Nobody waits any more: the device need not keep the READ. */
void mp_fetch_cancel_locked(struct mp_channel *ch)
{
	if (!ch->in_waiters && ch->in_busy)
		mp_urgent_cancel_locked(&ch->link);
}

/*
 * A reader goes to sleep, and for READs of his no interrupt will come: the answer to a
 * CANCEL makes one, and the device answers them before that [protocol.md 8.2]. One that still
 * waits for room or memory would be overtaken by the CANCEL and then be parked, lazy: it is
 * made to say what is so now.
 */
void mp_fetch_urge_locked(struct mp_channel *ch)
{
	struct mp_fetch *fetch;
	bool cancel = false;

	if (!ch->in_busy || ch->link.error)
		return;
	list_for_each_entry(fetch, &ch->in_fetches, node)
		if (fetch->is_busy && (fetch->req.header.flags & cpu_to_le16(MP_LAZY)))
			cancel |= !mp_queue_hurry(ch->link.port->rx, &fetch->req);
	if (cancel)
		mp_urgent_cancel_locked(&ch->link);
}

/* --- What was fetched ------------------------------------------------------ */

/* @bytes of the first were read. */
void mp_fetch_consume_locked(struct mp_channel *ch, struct mp_fetch *fetch, u32 bytes)
{
	fetch->start += bytes;
	ch->in_ready -= bytes;
	if (fetch->start < fetch->end)
		return;
	list_del_init(&fetch->node);
	ch->in_full--;
	/* The size that the next should have decides which one is kept. */
	if (!ch->in_spare || ch->in_spare->size < fetch->size)
		swap(ch->in_spare, fetch);
	fetch_free(ch, fetch);
}

/* A channel that has nothing under way keeps no memory. */
void mp_fetch_trim_locked(struct mp_channel *ch)
{
	if (ch->in_busy || ch->in_waiters || ch->in_copying || wants_more_locked(ch))
		return;
	fetch_free(ch, ch->in_spare);
	ch->in_spare = NULL;
}

/* Drops everything; what the device still has is freed when it comes back. */
void mp_fetch_forget_locked(struct mp_channel *ch)
{
	struct mp_fetch *fetch, *next;

	list_for_each_entry_safe(fetch, next, &ch->in_fetches, node) {
		list_del_init(&fetch->node);
		if (!fetch->is_busy)
			fetch_free(ch, fetch);
	}
	ch->in_busy = 0;
	ch->in_full = 0;
	ch->in_ready = 0;
	ch->in_stopped = false;
	fetch_free(ch, ch->in_spare);
	ch->in_spare = NULL;
}
