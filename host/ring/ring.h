/* SPDX-License-Identifier: MIT */
/*
 * The device's side of one split virtqueue [virtio-1.2 2.7], with EVENT_IDX
 * and INDIRECT_DESC.
 *
 * The driver is hostile: every descriptor is copied once, the copy is
 * checked, and only the copy is used. A ring that breaks a rule is broken for
 * good: every later call returns -EPROTO until ring_start().
 *
 * One thread owns a ring. The ring does not touch file descriptors: its owner
 * kicks and calls.
 */
#ifndef HOST_RING_RING_H
#define HOST_RING_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/mem.h"

#define RING_MAX_SIZE	  32768
#define RING_MAX_SEGMENTS 1024

struct inflight;
struct ring_order;
struct vring_desc;
struct vring_avail;
struct vring_used;

struct ring {
	const struct mem *mem;
	/* Where the parts lie, as guest addresses; translated at each start. */
	uint64_t desc_addr, avail_addr, used_addr;	/* of the front end's space */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t size;			/* entries, a power of two */
	uint16_t last_avail;		/* next entry of avail to take */
	uint16_t used_idx;		/* next entry of used to fill */
	uint16_t signalled_used;	/* used index at the last call */
	bool signalled_valid;
	bool event_idx, indirect;
	bool running, broken;
	bool has_missing;		/* broken by an indirect table that is not in memory, ... */
	gpa_t missing;			/* ... here */
	bool unpublished;		/* something was given since ring_publish() */
	bool quiet;			/* the next ring_give() is no reason for a call */
	bool call_due;			/* something else was given since the last call */
	bool goes_on;			/* started by ring_start_again() */
	unsigned int taken;		/* chains taken and not yet given back */
	uint64_t out[RING_MAX_SIZE / 64]; /* one bit per head: taken, not given back */
	struct inflight *inflight;	/* where the same is marked for a successor, or NULL */
	uint64_t counter;		/* of the last chain taken */
	struct ring_order *left;	/* chains that ring_next_out() has not had, or NULL */
	unsigned int left_at, left_count;
	void *own;			/* used, after ring_leave(); or NULL */
};

struct ring_segment {
	gpa_t addr;
	uint32_t len;
};

/*
 * One descriptor chain, checked: readable segments first, then writable, at
 * least one in all, none empty. A head is never out twice. The code that uses a segment checks
 * whether it lies in guest memory (mem.h), since the cheapest check depends on what it holds.
 */
struct ring_chain {
	uint16_t head;
	uint16_t descriptors;		/* of the ring itself: an indirect table is one */
	uint16_t readable, writable;	/* numbers of segments */
	uint64_t readable_len, writable_len;	/* bytes */
	struct ring_segment segments[RING_MAX_SEGMENTS];
};

/*
 * Translates the parts and begins to serve at @base (the index of the next
 * avail entry). The used index continues from the one in the used ring: 0 where the
 * driver has just set the ring up, else the last that was published. Kicks are wanted, and
 * the first ring_publish() calls. The owner has set the addresses, size,
 * event_idx and indirect. Returns 0, -EINVAL (size), -EFAULT (a part is not
 * in one region of guest memory or not aligned).
 */
int ring_start(struct ring *ring, const struct mem *mem, uint16_t base);

/*
 * As ring_start(), for a ring that another process served until it ended: inflight says what is
 * out.
 * The index of the next avail entry is the used index and the number of chains that are out. They
 * count as taken: ring_next_out() says which they are, ring_give() gives them back. Where inflight
 * and the used index, which the driver may have written, do not fit the ring is broken. Returns
 * -ENOMEM too.
 */
int ring_start_again(struct ring *ring, const struct mem *mem);

/*
 * The next chain that was out at ring_start_again(), in the order in which they were taken; one
 * that was given back since is left out. Returns 1, 0 (there are no more), -EPROTO as
 * ring_take(): the driver may have written over its descriptors since.
 */
int ring_next_out(struct ring *ring, struct ring_chain *chain);

/*
 * For a successor: what is out stays out. Neither that nor the driver sees what is done with the
 * ring from now on. Returns 0 or -ENOMEM.
 */
int ring_leave(struct ring *ring);

/* Serves no more. Returns the index to continue from. */
uint16_t ring_stop(struct ring *ring);

/*
 * Takes the next chain. Returns 1, 0 (none, or the ring does not run), -EPROTO (the
 * ring is broken: a descriptor out of range, a loop, a
 * chain longer than the ring or RING_MAX_SEGMENTS, a readable
 * descriptor after a writable, a zero length, an indirect table that is not
 * negotiated, nested, odd, empty, longer than the ring or not in one region, an
 * avail index too far ahead, a head that is out already).
 */
int ring_take(struct ring *ring, struct ring_chain *chain);

/* How many chains the driver has made visible and were not taken; -EPROTO. */
int ring_waiting(struct ring *ring);

/*
 * Gives the chain with @head back; @written bytes were put into its writable
 * part. Ignored for a head that is not out, and when the ring is stopped or broken.
 */
void ring_give(struct ring *ring, uint16_t head, uint32_t written);

/* What the next ring_give() gives is no reason for a call by itself. */
void ring_be_quiet(struct ring *ring);

/* What was given quietly is a reason for a call now, unless it was considered since. */
void ring_call_late(struct ring *ring);

/*
 * Undoes the last ring_take(): the chain with @head, taken by it and not given
 * back, is the next to be taken again. So a caller need not hold a chain only because
 * there is nothing to put into it yet. Ignored for a head that is not out.
 */
void ring_untake(struct ring *ring, uint16_t head);

/*
 * Makes what was given visible (one store for all) and says whether the
 * driver wants a call; false when nothing was given.
 */
bool ring_publish(struct ring *ring);

/*
 * Asks for kicks (@wanted) or says that none are needed. Returns true when
 * chains arrived before the driver could see the request: the caller must look again.
 */
bool ring_want_kick(struct ring *ring, bool wanted);

#endif
