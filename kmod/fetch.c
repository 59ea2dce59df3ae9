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
#include <linux/highmem.h>
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "account.h"
#include "fetch.h"
#include "link.h"
#include "port.h"
#include "queue.h"
#include "urgent.h"
#include "wait.h"

static uint receive_buffer = 256 << 10;
module_param(receive_buffer, uint, 0644);
MODULE_PARM_DESC(receive_buffer, "bytes per channel that are fetched ahead (262144)");

#define MP_FETCH_MIN	MP_POOL_PAGE_BYTES	/* with its header */
#define MP_FETCH_MAX	MP_POOL_LARGE_BYTES	/* with its header */
#define MP_DEPTH_MAX	8U

/* The largest of at most @size bytes. */
static enum mp_pool_kind kind_for(u32 size)
{
	enum mp_pool_kind kind = MP_POOL_FETCH_LARGE;

	while (kind > MP_POOL_FETCH && mp_pool_bytes[kind] > size)
		kind--;
	return kind;
}

static void fetch_free(struct mp_in *in, struct mp_fetch *fetch)
{
	if (!fetch)
		return;
	mp_account_uncharge(in->half.link->account, fetch->size + MP_FETCH_HEAD);
	mp_pool_put(&in->half.link->port->pool, kind_for(fetch->size + MP_FETCH_HEAD), fetch);
}

/*
 * Zeroed, because a device that lies about what it wrote must not show a process what
 * this memory held before: for any but this channel, in this generation.
 * @size counts the header; the first page of a channel lies
 * outside every bound [protocol.md 9.3]. So do pages while a batch is there: they are for what its
 * own pages, which are charged, brought.
 */
static struct mp_fetch *fetch_alloc(struct mp_in *in, size_t size, gfp_t gfp)
{
	struct mp_link *link = in->half.link;
	bool force = size <= MP_FETCH_MIN && (list_empty(&in->fetches) || in->half.batch);
	u32 generation = READ_ONCE(link->generation);
	struct mp_fetch *fetch;
	bool is_others;

	if (!mp_account_charge(link->account, size, force))
		return NULL;
	fetch = mp_pool_get(&link->port->pool, kind_for(size),
			    gfp | __GFP_ZERO | __GFP_NOWARN | __GFP_NORETRY);
	if (!fetch) {
		mp_account_uncharge(link->account, size);
		return NULL;
	}
	is_others = fetch->generation && fetch->generation != generation;
	memset(fetch, 0, is_others ? size : MP_FETCH_HEAD);
	fetch->generation = generation;
	fetch->size = size - MP_FETCH_HEAD;
	return fetch;
}

static u32 buffer_max(void)
{
	return max(READ_ONCE(receive_buffer), MP_FETCH_MIN);
}

/* --- What is learned ------------------------------------------------------ */

static u32 size_wanted(const struct mp_in *in)
{
	return mp_pool_bytes[kind_for(min(READ_ONCE(in->size), buffer_max()))];
}

static u32 depth_wanted_locked(const struct mp_in *in)
{
	return clamp(buffer_max() / size_wanted(in), 1U, max_t(u32, in->depth, 1));
}

static void learn_full_locked(struct mp_in *in)
{
	if (in->size < MP_FETCH_MAX)
		in->size = min(max(in->size, MP_FETCH_MIN) * 4, MP_FETCH_MAX);
	else
		in->depth = min(max_t(u32, in->depth, 1) * 2, MP_DEPTH_MAX);
}

static void learn_short_locked(struct mp_in *in, u32 count)
{
	if (in->depth > 1)
		in->depth /= 2;
	else if (count < in->size / 8)
		in->size = max(in->size / 2, MP_FETCH_MIN);
}

/* --- Answers -------------------------------------------------------------- */

/*
 * What the fetches at the head of the list brought, as far as they are back. Bytes
 * behind a gap are the device's mistake. Returns what to wake.
 */
static __poll_t fetch_settle_locked(struct mp_in *in)
{
	struct mp_fetch *fetch, *next;

	list_for_each_entry_safe(fetch, next, &in->fetches, node) {
		if (fetch->is_busy)
			break;
		if (fetch->offset < in->half.offset)
			continue;	/* settled before */
		if (fetch->end && fetch->offset != in->half.offset)
			return mp_link_break_locked(in->half.link, "bytes behind a gap");
		if (!fetch->end) {
			list_del_init(&fetch->node);
			swap(in->spare, fetch);
			fetch_free(in, fetch);
			continue;
		}
		in->full++;
		in->ready += fetch->end;
		in->half.offset += fetch->end;
		in->half.bytes += fetch->end;
	}
	if (!in->busy)
		in->is_stopped = false;
	return 0;
}

/* Takes over what a READ brought. Returns what to wake. */
static __poll_t fetch_take_locked(struct mp_in *in, struct mp_fetch *fetch,
				  const struct mp_result *answer)
{
	u32 status = le32_to_cpu(answer->status), count = le32_to_cpu(answer->count);
	struct mp_link *link = in->half.link;
	__poll_t wake = 0;

	if (status == MP_FAULT)
		return mp_link_fault_locked(link);
	if (status == MP_CANCELLED)
		in->retry = true;
	else if (!mp_half_judge_locked(&in->half, &fetch->req, answer, in->half.offset, &wake))
		return wake;
	if (status == MP_OK) {
		if (!count && !(le16_to_cpu(answer->state.bits) & MP_ST_IN_END))
			return mp_link_break_locked(link, "empty read");
		fetch->end = count;
		if (count == le32_to_cpu(fetch->req.header.length))
			learn_full_locked(in);
		else
			learn_short_locked(in, count);
	}
	if (fetch->end < le32_to_cpu(fetch->req.header.length))
		in->is_stopped = true;
	return 0;
}

/*
 * A READ found no memory on its way to the device, and no byte is lost by that. The next one
 * asks for a page at most; a blocking reader who had no more from that hears of it.
 */
static void fetch_given_up_locked(struct mp_in *in)
{
	if (in->is_small && in->waiters)
		in->is_failed = true;
	else
		in->retry = true;
	in->is_small = true;
	in->is_stopped = true;
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
	struct mp_in *in = fetch->in;
	__poll_t wake = EPOLLIN;

	fetch->is_busy = false;
	if (!ret)
		in->is_small = false;
	if (list_empty(&fetch->node)) {
		fetch_free(in, fetch);	/* forgotten while it was at the device */
		return wake;
	}
	in->busy--;
	if (!ret)
		wake |= fetch_take_locked(in, fetch, answer);
	else if (ret == -ENOMEM)
		fetch_given_up_locked(in);
	return wake | fetch_settle_locked(in);
}

/* --- Asking --------------------------------------------------------------- */

/*
 * May a READ be sent now, behind those in flight? Not into a queue that broke, though the channel
 * has no error yet: a reader that is refused again and again would keep the processor from the
 * work item that ends the channel.
 */
bool mp_fetch_may_ask_locked(const struct mp_in *in)
{
	const struct mp_link *link = in->half.link;

	return mp_half_state_locked(&in->half) == MP_HALF_OPEN && !link->is_released &&
	       !in->half.batch && !in->is_stopped && !READ_ONCE(link->port->rx->is_broken);
}

static bool wants_more_locked(const struct mp_in *in)
{
	return (in->half.link->bits & MP_ST_IN) && mp_fetch_may_ask_locked(in) &&
	       in->busy + in->full < depth_wanted_locked(in);
}

/* Where the next READ begins, if those at the device come back full. */
static u64 asked_locked(const struct mp_in *in)
{
	const struct mp_fetch *last;

	if (!in->busy)
		return in->half.offset;
	last = list_last_entry(&in->fetches, struct mp_fetch, node);
	return last->offset + le32_to_cpu(last->req.header.length);
}

static bool fetch_send_locked(struct mp_in *in, struct mp_fetch *fetch, u16 flags)
{
	struct mp_link *link = in->half.link;
	u32 len = min(fetch->size, link->port->max_io);

	if (in->is_small)
		len = min_t(u32, len, MP_FETCH_MIN - MP_FETCH_HEAD);
	fetch->start = 0;
	fetch->end = 0;
	fetch->offset = asked_locked(in);
	fetch->in = in;
	mp_req_init(&fetch->req, fetch_taken);
	mp_req_payload(&fetch->req, mp_fetch_data(fetch), len, true, true);
	if (mp_link_send_locked(link, link->port->rx, &fetch->req, MP_OP_READ, flags,
				   fetch->offset)) {
		fetch_free(in, fetch);
		return false;
	}
	fetch->is_busy = true;
	list_add_tail(&fetch->node, &in->fetches);
	in->busy++;
	in->retry = false;
	in->is_failed = false;
	return true;
}

/* A page or less. In an interrupt or a work item, too, the opener's group pays. */
static struct mp_fetch *fetch_alloc_page(struct mp_in *in, gfp_t gfp)
{
	struct mem_cgroup *old = set_active_memcg(in->memcg);
	struct mp_fetch *fetch = fetch_alloc(in, MP_FETCH_MIN, gfp);

	set_active_memcg(old);
	return fetch;
}

/* A fetch for the next READ: the spare one, else a new one if there is memory. */
static struct mp_fetch *fetch_get_locked(struct mp_in *in)
{
	struct mp_fetch *fetch = in->spare;

	in->spare = NULL;
	if (!fetch)	/* not GFP_ATOMIC: that would take what interrupts need */
		fetch = fetch_alloc_page(in, GFP_NOWAIT | __GFP_ACCOUNT);
	in->fetch_failed = !fetch;
	return fetch;
}

/*
 * Asks for bytes that are there, as many as the channel's pace is worth. A blocking reader
 * that spins needs no interrupt for the answers; before the reader sleeps it asks for one
 * (mp_fetch_urge_locked()). A polled channel that gets no memory here shows IN, and
 * the read that follows tries again where it may wait for memory.
 */
void mp_fetch_ahead_locked(struct mp_in *in, bool is_reader)
{
	struct mp_fetch *fetch;
	bool lazy;

	lockdep_assert_held(&in->half.link->lock);
	while (wants_more_locked(in)) {
		/* Beyond the first only in memory that is there already. */
		if (!in->spare && (in->busy || in->full))
			return;
		fetch = fetch_get_locked(in);
		if (!fetch)
			return;
		lazy = is_reader && !in->is_polled && !in->waiters &&
		       mp_spin_is_on(&in->half.spin);
		if (!fetch_send_locked(in, fetch, MP_READ_NOW | (lazy ? MP_LAZY : 0)))
			return;
	}
}

/* One more may be asked for than there are, though none was read: a caller peeks behind them. */
void mp_fetch_deepen_locked(struct mp_in *in)
{
	lockdep_assert_held(&in->half.link->lock);
	in->depth = clamp_t(u32, in->busy + in->full + 1, in->depth, MP_DEPTH_MAX);
}

/* For a caller that waits: one READ may wait at the device as long as the caller does. */
void mp_fetch_park_locked(struct mp_in *in, u16 flags)
{
	struct mp_link *link = in->half.link;
	struct mp_fetch *fetch;

	lockdep_assert_held(&link->lock);
	if (in->busy || in->full || !mp_fetch_may_ask_locked(in))
		return;
	fetch = fetch_get_locked(in);
	if (fetch)
		fetch_send_locked(in, fetch, flags);
	else	/* without IN there is nothing to be readable for: an event comes */
		in->fetch_failed = link->bits & MP_ST_IN;
}

/*
 * Is more to come than what is here was asked for, and no memory there for it? A reader that finds
 * bytes each time it comes, as one that polls does, would have small READs for ever. Once for each
 * fetch, when it is first read from: a read of some bytes costs little more than this question.
 */
bool mp_fetch_may_grow_locked(const struct mp_in *in)
{
	const struct mp_fetch *fetch = mp_fetch_first_locked(in);

	return fetch && !fetch->start && !in->spare && (in->half.link->bits & MP_ST_IN) &&
	       (fetch->size + MP_FETCH_HEAD < size_wanted(in) || wants_more_locked(in));
}

/* A spare of @size bytes, or a page. Returns false: there is no memory. */
static bool spare_make(struct mp_in *in, u32 size)
{
	struct mp_fetch *fetch = fetch_alloc(in, size, GFP_KERNEL_ACCOUNT);

	if (!fetch)
		fetch = fetch_alloc(in, MP_FETCH_MIN, GFP_KERNEL_ACCOUNT);
	if (!fetch)
		return false;
	spin_lock_irq(&in->half.link->lock);
	swap(in->spare, fetch);
	spin_unlock_irq(&in->half.link->lock);
	fetch_free(in, fetch);
	return true;
}

/* Is there a READ to be sent for which there is no memory yet? */
static bool needs_spare(struct mp_in *in, bool nonblock, u32 *size)
{
	struct mp_link *link = in->half.link;
	bool ret;

	spin_lock_irq(&link->lock);
	mp_fetch_ahead_locked(in, !nonblock);
	ret = !in->spare &&
	      (wants_more_locked(in) || mp_fetch_may_grow_locked(in) ||
	       (!nonblock && !in->busy && !in->full && mp_fetch_may_ask_locked(in)));
	*size = size_wanted(in);
	mp_link_unlock(link, 0);
	return ret;
}

/*
 * Before a read, where memory may be waited for: sends what is worth sending, and has a spare for
 * a call that will wait. How large a READ is follows from what came before, not from the caller's
 * buffer: programs read messages of some bytes into 64 KiB, and all of a fetch is zeroed.
 */
void mp_fetch_prepare(struct mp_in *in, bool nonblock)
{
	u32 size;

	while (needs_spare(in, nonblock, &size) && spare_make(in, size))
		;
}

/*
 * Of a channel on which reads and writes take turns (in->turn) a write is about to begin: a READ
 * goes ahead of it, since a fast answer would come as an event before one that goes after it. A
 * reader that spins finds the answer in the ring, so no interrupt is made, unless a reader sleeps.
 */
void mp_fetch_expect(struct mp_in *in)
{
	struct mp_link *link = in->half.link;
	bool lazy = !READ_ONCE(in->is_polled);

	if (lazy && !mp_spin_is_on(&in->half.spin))
		return;
	if (!READ_ONCE(in->spare))
		spare_make(in, size_wanted(in));
	spin_lock_irq(&link->lock);
	in->turn = false;
	lazy = !in->is_polled;
	if (!(link->bits & MP_ST_IN) && !(lazy && in->waiters))
		mp_fetch_park_locked(in, lazy ? MP_LAZY : 0);
	mp_fetch_trim_locked(in);
	mp_link_unlock(link, 0);
}

/* No reader waits any more: the device need not keep the READ. */
void mp_fetch_cancel_locked(struct mp_in *in)
{
	if (!in->waiters && in->busy)
		mp_urgent_cancel_locked(in->half.link);
}

/*
 * A reader goes to sleep, and for its READs no interrupt will come: the answer to a
 * CANCEL makes one, and the device answers them before that [protocol.md 8.2]. One that still
 * waits for room or memory would be overtaken by the CANCEL and then be parked, lazy: it is
 * made to say what is so now.
 */
void mp_fetch_urge_locked(struct mp_in *in)
{
	struct mp_link *link = in->half.link;
	struct mp_fetch *fetch;
	bool cancel = false;

	if (!in->busy || link->error)
		return;
	list_for_each_entry(fetch, &in->fetches, node)
		if (fetch->is_busy && (fetch->req.header.flags & cpu_to_le16(MP_LAZY)))
			cancel |= !mp_queue_hurry(link->port->rx, &fetch->req);
	if (cancel)
		mp_urgent_cancel_locked(link);
}

/* A process polls: from here on the driver fetches for it, and each answer makes an interrupt. */
void mp_fetch_polled_locked(struct mp_in *in)
{
	if (in->is_polled)
		return;
	in->is_polled = true;
	mp_fetch_urge_locked(in);
}

/* --- What was fetched ------------------------------------------------------ */

/* @bytes of the first were read. */
void mp_fetch_consume_locked(struct mp_in *in, struct mp_fetch *fetch, u32 bytes)
{
	fetch->start += bytes;
	in->ready -= bytes;
	if (fetch->start < fetch->end)
		return;
	list_del_init(&fetch->node);
	in->full--;
	/* The size that the next should have decides which one is kept. */
	if (!in->spare || in->spare->size < fetch->size)
		swap(in->spare, fetch);
	fetch_free(in, fetch);
}

/* A channel that has nothing under way keeps no memory. */
void mp_fetch_trim_locked(struct mp_in *in)
{
	if (in->busy || in->waiters || in->copying || wants_more_locked(in))
		return;
	fetch_free(in, in->spare);
	in->spare = NULL;
}

/*
 * The next bytes of the channel, already counted, are in @page, which a killed reader had pinned:
 * up to @bytes at @offset are kept, and dropped when the half is shut or the channel ends. Returns
 * how many. It cannot fail, because there is no one to tell.
 */
size_t mp_fetch_keep(struct mp_in *in, struct page *page, size_t offset, size_t bytes)
{
	struct mp_link *link = in->half.link;
	struct mp_fetch *fetch = fetch_alloc_page(in, GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);

	fetch->end = min_t(size_t, bytes, fetch->size);
	bytes = fetch->end;
	memcpy_from_page(mp_fetch_data(fetch), page, offset, bytes);
	spin_lock_irq(&link->lock);
	if (in->half.is_shut || mp_link_is_ending_locked(link)) {
		fetch_free(in, fetch);
	} else {
		list_add_tail(&fetch->node, &in->fetches);
		in->full++;
		in->ready += bytes;
	}
	spin_unlock_irq(&link->lock);
	return bytes;
}

/* Drops everything; what the device still has is freed when it comes back. */
void mp_fetch_forget_locked(struct mp_in *in)
{
	struct mp_fetch *fetch, *next;

	list_for_each_entry_safe(fetch, next, &in->fetches, node) {
		list_del_init(&fetch->node);
		if (!fetch->is_busy)
			fetch_free(in, fetch);
	}
	in->busy = 0;
	in->full = 0;
	in->ready = 0;
	in->is_stopped = false;
	fetch_free(in, in->spare);
	in->spare = NULL;
}
