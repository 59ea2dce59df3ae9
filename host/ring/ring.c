// SPDX-License-Identifier: MIT
/*
 * The device's side of a split virtqueue; see ring.h.
 *
 * Shared memory is read only by load_*() and copy_desc(), once for each
 * decision, and written only by store_*() and ring_give(). What is read is checked
 * as a local copy. Indices run freely and wrap at 65536; entries are taken
 * modulo the size, a power of two.
 *
 * Barriers, and what they pair with in the driver [virtio-1.2 2.7.13]:
 * - acquire on avail.idx <-> the driver's write barrier before it raises the
 *   index: entries and descriptors below it are complete.
 * - release on used.idx <-> the driver's read barrier after its load.
 * - the full barrier between our store (used.idx, avail_event or used.flags)
 *   and the load after it (used_event or avail.flags, avail.idx) <-> the
 *   driver's full barrier between the same two in the opposite order. Of the
 *   two sides at least one sees the other's store, so no call or kick is lost.
 */

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "ring/inflight.h"
#include "ring/ring.h"

/* As struct vring_desc, at any address: an indirect table need not be aligned. */
struct raw_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
} __attribute__((packed));

_Static_assert(sizeof(struct raw_desc) == sizeof(struct vring_desc), "16 bytes on the wire");

/* A table of descriptors: the ring's own or an indirect one. */
struct table {
	const volatile struct raw_desc *desc;
	unsigned int size;
	bool is_indirect;	/* the address does not tell: it may be the ring's own */
};

struct ring_order {
	uint64_t counter;
	uint16_t head;
};

/* --- Access to shared memory -------------------------------------------- */

static uint16_t load_16(const __virtio16 *field)
{
	return le16toh(__atomic_load_n(field, __ATOMIC_RELAXED));
}

static void store_16(__virtio16 *field, uint16_t value)
{
	__atomic_store_n(field, htole16(value), __ATOMIC_RELAXED);
}

static uint16_t load_avail_idx(const struct ring *ring)
{
	return le16toh(__atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE));
}

static void full_barrier(void)
{
#ifdef __SANITIZE_THREAD__
	static int any;	/* ThreadSanitizer knows no fences: a read-modify-write acts as one */

	__atomic_fetch_add(&any, 0, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* volatile: each field is read exactly once, even if the driver changes it during the copy. */
static struct raw_desc copy_desc(const struct table *table, unsigned int idx)
{
	const volatile struct raw_desc *d = &table->desc[idx];
	struct raw_desc copy = { .addr = d->addr, .len = d->len, .flags = d->flags,
				 .next = d->next };

	copy.addr = le64toh(copy.addr);
	copy.len = le32toh(copy.len);
	copy.flags = le16toh(copy.flags);
	copy.next = le16toh(copy.next);
	return copy;
}

/* After the last entry of avail: up to where does the driver want no call? */
static __virtio16 *used_event(const struct ring *ring)
{
	return &ring->avail->ring[ring->size];
}

/* After the last entry of used: up to where do we want no kick? */
static __virtio16 *avail_event(const struct ring *ring)
{
	return (__virtio16 *)&ring->used->ring[ring->size];
}

/* --- Start and stop ----------------------------------------------------- */

/* @align is checked on both sides: the pointer's is what atomic access needs. */
static void *translate(const struct ring *ring, uint64_t addr, size_t len, size_t align)
{
	void *ptr = mem_at_user(ring->mem, addr, len);

	return (addr | (uintptr_t)ptr) & (align - 1) ? NULL : ptr;
}

/* Sizes and alignments: [virtio-1.2 2.7]. */
static int map_parts(struct ring *ring)
{
	size_t event = ring->event_idx ? sizeof(__virtio16) : 0, n = ring->size;

	ring->desc = translate(ring, ring->desc_addr, n * sizeof(struct vring_desc), 16);
	ring->avail = translate(ring, ring->avail_addr,
				sizeof(struct vring_avail) + n * sizeof(__virtio16) + event, 2);
	ring->used = translate(ring, ring->used_addr,
			       sizeof(struct vring_used) + n * sizeof(struct vring_used_elem) +
			       event, 4);
	return ring->desc && ring->avail && ring->used ? 0 : -EFAULT;
}

static void unmap_parts(struct ring *ring)
{
	free(ring->own);
	ring->own = NULL;
	ring->desc = NULL;
	ring->avail = NULL;
	ring->used = NULL;
}

static void forget_left(struct ring *ring)
{
	free(ring->left);
	ring->left = NULL;
	ring->left_at = ring->left_count = 0;
}

/* All but what is out, and where the ring goes on. */
static int prepare(struct ring *ring, const struct mem *mem)
{
	int ret;

	ring->running = false;
	ring->mem = mem;
	if (!ring->size || ring->size > RING_MAX_SIZE || (ring->size & (ring->size - 1)))
		return -EINVAL;
	ret = map_parts(ring);
	if (ret < 0) {
		unmap_parts(ring);
		return ret;
	}
	forget_left(ring);
	/* Any value is safe: it only chooses the entry that is filled next. */
	ring->used_idx = load_16(&ring->used->idx);
	ring->signalled_valid = false;
	ring->unpublished = false;
	ring->quiet = false;
	ring->call_due = false;
	ring->broken = false;
	ring->has_missing = false;
	ring->goes_on = false;
	ring->taken = 0;
	memset(ring->out, 0, sizeof(ring->out));
	return 0;
}

int ring_start(struct ring *ring, const struct mem *mem, uint16_t base)
{
	int ret = prepare(ring, mem);

	if (ret < 0)
		return ret;
	ring->last_avail = base;
	if (ring->inflight)
		inflight_begin(ring->inflight, ring->size, ring->used_idx);
	ring->running = true;
	ring_want_kick(ring, true);
	return 0;
}

int ring_leave(struct ring *ring)
{
	if (!ring->running)
		return 0;
	ring->own = calloc(1, sizeof(struct vring_used) + sizeof(__virtio16) +
			   ring->size * sizeof(struct vring_used_elem));
	if (!ring->own)
		return -ENOMEM;
	ring->used = ring->own;
	ring->inflight = NULL;
	return 0;
}

uint16_t ring_stop(struct ring *ring)
{
	ring->running = false;
	unmap_parts(ring);
	forget_left(ring);
	return ring->last_avail;
}

/* --- Taking chains ------------------------------------------------------ */

static int broken(struct ring *ring)
{
	ring->broken = true;
	return -EPROTO;
}

static bool is_out(const struct ring *ring, uint16_t head)
{
	return ring->out[head / 64] >> (head % 64) & 1;
}

static void flip_out(struct ring *ring, uint16_t head)
{
	ring->out[head / 64] ^= UINT64_C(1) << (head % 64);
}

/*
 * Every chain that is visible or out holds at least one of the ring's
 * descriptors, so a driver that keeps the rules never has more than size.
 */
int ring_waiting(struct ring *ring)
{
	uint16_t waiting;

	if (ring->broken)
		return -EPROTO;
	if (!ring->running)
		return 0;
	waiting = load_avail_idx(ring) - ring->last_avail;
	if (waiting + ring->taken > ring->size)
		return broken(ring);
	return waiting;
}

/* [virtio-1.2 2.7.5.3]: the flag was negotiated, tables are not nested, nothing follows. */
static int enter_indirect(struct ring *ring, struct table *table,
			  const struct raw_desc *desc)
{
	unsigned int size = desc->len / sizeof(struct raw_desc);

	if (!ring->indirect || table->is_indirect || (desc->flags & VRING_DESC_F_NEXT))
		return -EPROTO;
	if (!size || desc->len % sizeof(struct raw_desc) || size > ring->size ||
	    size > RING_MAX_SEGMENTS)
		return -EPROTO;
	table->desc = mem_at(ring->mem, gpa(desc->addr), desc->len);
	table->size = size;
	table->is_indirect = true;
	if (table->desc)
		return 0;
	ring->missing = gpa(desc->addr + mem_reach(ring->mem, gpa(desc->addr), desc->len));
	ring->has_missing = true;
	return -EPROTO;
}

/* Checks one descriptor that carries data, and appends it. */
static int add_segment(const struct ring *ring, struct ring_chain *chain,
		       const struct raw_desc *desc)
{
	unsigned int n = chain->readable + chain->writable;

	/* Also what ends a loop. */
	if (n == ring->size || n == RING_MAX_SEGMENTS)
		return -EPROTO;
	if (!desc->len)
		return -EPROTO;
	if (desc->flags & VRING_DESC_F_WRITE) {
		chain->writable++;
		chain->writable_len += desc->len;
	} else {
		/* Readable ones come first [virtio-1.2 2.7.4.2]. */
		if (chain->writable)
			return -EPROTO;
		chain->readable++;
		chain->readable_len += desc->len;
	}
	chain->segments[n].addr = gpa(desc->addr);
	chain->segments[n].len = desc->len;
	return 0;
}

/*
 * Follows the chain from @head. Each step adds a segment or enters the only
 * indirect table, so there are at most size + 1 of them.
 */
static int walk(struct ring *ring, uint16_t head, struct ring_chain *chain)
{
	struct table table = { .desc = (void *)ring->desc, .size = ring->size };
	unsigned int idx = head;
	struct raw_desc desc;
	int ret;

	chain->head = head;
	chain->descriptors = 0;
	chain->readable = 0;
	chain->writable = 0;
	chain->readable_len = 0;
	chain->writable_len = 0;
	for (;;) {
		if (idx >= table.size)
			return -EPROTO;
		desc = copy_desc(&table, idx);
		if (!table.is_indirect)
			chain->descriptors++;
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			ret = enter_indirect(ring, &table, &desc);
			if (ret < 0)
				return ret;
			idx = 0;
			continue;
		}
		ret = add_segment(ring, chain, &desc);
		if (ret < 0)
			return ret;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		idx = desc.next;
	}
}

int ring_take(struct ring *ring, struct ring_chain *chain)
{
	int ret = ring_waiting(ring);
	uint16_t head;

	if (ret <= 0)
		return ret;
	head = load_16(&ring->avail->ring[ring->last_avail & (ring->size - 1)]);
	if (head >= ring->size || is_out(ring, head))
		return broken(ring);
	if (walk(ring, head, chain) < 0)
		return broken(ring);
	flip_out(ring, head);
	ring->counter++;
	if (ring->inflight)
		inflight_take(ring->inflight, head, ring->counter);
	ring->taken++;
	ring->last_avail++;
	return 1;
}

/* The next ring_take() reads the avail entry again. The driver may have changed it: no harm. */
void ring_untake(struct ring *ring, uint16_t head)
{
	if (ring->broken || !ring->running || head >= ring->size || !is_out(ring, head))
		return;
	flip_out(ring, head);
	if (ring->inflight)
		inflight_untake(ring->inflight, head);
	ring->taken--;
	ring->last_avail--;
}

/* --- Starting again ------------------------------------------------------- */

static int compare_order(const void *a, const void *b)
{
	const struct ring_order *x = a, *y = b;

	return x->counter < y->counter ? -1 : x->counter > y->counter;
}

/* @count chains are marked. */
static int list_left(struct ring *ring, unsigned int count)
{
	const struct inflight_chain *chains = ring->inflight->chains;

	if (!count)
		return 0;
	ring->left = calloc(count, sizeof(*ring->left));
	if (!ring->left)
		return -ENOMEM;
	for (unsigned int i = 0; i < ring->size; i++) {
		if (!chains[i].is_out)
			continue;
		ring->left[ring->left_count++] = (struct ring_order){ chains[i].counter, i };
		flip_out(ring, i);
	}
	qsort(ring->left, count, sizeof(*ring->left), compare_order);
	ring->counter = ring->left[count - 1].counter;
	return 0;
}

int ring_start_again(struct ring *ring, const struct mem *mem)
{
	int ret = prepare(ring, mem), count;

	if (ret < 0)
		return ret;
	count = inflight_recover(ring->inflight, ring->size, ring->used_idx);
	ret = list_left(ring, count < 0 ? 0 : count);
	if (ret < 0) {
		unmap_parts(ring);
		return ret;
	}
	ring->goes_on = true;
	ring->taken = ring->left_count;
	ring->last_avail = ring->used_idx + ring->taken;
	ring->running = true;
	if (count < 0)
		ring->broken = true;
	else
		ring_want_kick(ring, true);
	return 0;
}

int ring_next_out(struct ring *ring, struct ring_chain *chain)
{
	if (ring->broken)
		return -EPROTO;
	while (ring->running && ring->left_at < ring->left_count) {
		uint16_t head = ring->left[ring->left_at++].head;

		if (is_out(ring, head))
			return walk(ring, head, chain) < 0 ? broken(ring) : 1;
	}
	forget_left(ring);
	return 0;
}

/* --- Giving chains back ------------------------------------------------- */

void ring_give(struct ring *ring, uint16_t head, uint32_t written)
{
	volatile struct vring_used_elem *elem;

	if (ring->broken || !ring->running || head >= ring->size || !is_out(ring, head))
		return;
	elem = &ring->used->ring[ring->used_idx & (ring->size - 1)];
	elem->id = htole32(head);
	elem->len = htole32(written);
	flip_out(ring, head);
	if (ring->inflight)
		inflight_give(ring->inflight, head);
	ring->taken--;
	ring->used_idx++;
	ring->unpublished = true;
	ring->call_due |= !ring->quiet;
	ring->quiet = false;
}

void ring_be_quiet(struct ring *ring)
{
	ring->quiet = true;
}

void ring_call_late(struct ring *ring)
{
	ring->unpublished = true;
	ring->call_due = true;
}

/* Is the driver waiting for an index that lies between the last call and now? */
static bool wants_call(struct ring *ring)
{
	uint16_t old = ring->signalled_used;
	bool valid = ring->signalled_valid;

	if (!ring->event_idx)
		return !(load_16(&ring->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	ring->signalled_used = ring->used_idx;
	ring->signalled_valid = true;
	/* It is not known which calls the driver had before the start: better one too many. */
	return !valid || vring_need_event(load_16(used_event(ring)), ring->used_idx, old);
}

bool ring_publish(struct ring *ring)
{
	if (ring->broken || !ring->running || !ring->unpublished)
		return false;
	ring->unpublished = false;
	__atomic_store_n(&ring->used->idx, htole16(ring->used_idx), __ATOMIC_RELEASE);
	full_barrier();
	if (ring->inflight)
		inflight_publish(ring->inflight, ring->used_idx);
	/* What was given quietly counts when the next call is considered. */
	if (!ring->call_due)
		return false;
	ring->call_due = false;
	return wants_call(ring);
}

bool ring_want_kick(struct ring *ring, bool wanted)
{
	if (ring->broken || !ring->running)
		return false;
	/* With EVENT_IDX an avail_event far away asks for nothing [virtio-1.2 2.7.10]. */
	if (!ring->event_idx)
		store_16(&ring->used->flags, wanted ? 0 : VRING_USED_F_NO_NOTIFY);
	else
		store_16(avail_event(ring), ring->last_avail - !wanted);
	if (!wanted)
		return false;
	full_barrier();
	return load_avail_idx(ring) != ring->last_avail;
}
