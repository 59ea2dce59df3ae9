/* SPDX-License-Identifier: MIT */
/*
 * Which chains of a ring are out, in memory that outlives this process: what vhost-user calls the
 * inflight region of a split virtqueue [vhost-user "Inflight I/O tracking"].
 *
 * The process may end between any two stores. What a successor finds is never between two states:
 *
 *	taken		marked, from the one store of is_out on
 *	given		still marked; in the batch, a list through next
 *	visible		used.idx in the ring says so. used_idx here is behind until the marks of
 *			the batch are gone, and so tells how many of them are to go
 *
 * volatile keeps the compiler from changing the order of the stores. No barrier of the machine is
 * needed: a successor reads what the kernel has of a process that is no more.
 */
#ifndef HOST_RING_INFLIGHT_H
#define HOST_RING_INFLIGHT_H

#include <stddef.h>
#include <stdint.h>

struct inflight_chain {
	uint8_t is_out;
	uint8_t padding[5];
	uint16_t next;			/* in the batch */
	uint64_t counter;		/* in the order of taking */
};

struct inflight {
	uint64_t features;		/* none */
	uint16_t version;
	uint16_t size;			/* entries of the ring */
	uint16_t last_batch_head;	/* the first of the batch */
	uint16_t used_idx;
	struct inflight_chain chains[];	/* by head */
};

_Static_assert(sizeof(struct inflight_chain) == 16, "as vhost-user has it");
_Static_assert(sizeof(struct inflight) == 16, "as vhost-user has it");

#define INFLIGHT_BYTES(size) (sizeof(struct inflight) + (size) * sizeof(struct inflight_chain))

/* A ring of @size entries begins: nothing is out. */
void inflight_begin(struct inflight *area, uint16_t size, uint16_t used_idx);

/*
 * The ring goes on after the end of the process that had it, with @used_idx, which the driver may
 * have written. Unmarks what was visible. Returns how many chains are out, or -EPROTO: @area is
 * not one of a ring with @size entries, or does not fit @used_idx.
 */
int inflight_recover(struct inflight *area, uint16_t size, uint16_t used_idx);

/* The chain with @head is taken; @counter is higher than that of any before. */
static inline void inflight_take(struct inflight *area, uint16_t head, uint64_t counter)
{
	volatile struct inflight_chain *chain = &area->chains[head];

	chain->counter = counter;
	chain->is_out = 1;
}

static inline void inflight_untake(struct inflight *area, uint16_t head)
{
	*(volatile uint8_t *)&area->chains[head].is_out = 0;
}

static inline void inflight_give(struct inflight *area, uint16_t head)
{
	*(volatile uint16_t *)&area->chains[head].next = area->last_batch_head;
	*(volatile uint16_t *)&area->last_batch_head = head;
}

/* The driver can see what was given up to @used_idx. Each head in the batch is our own store. */
static inline void inflight_publish(struct inflight *area, uint16_t used_idx)
{
	volatile struct inflight_chain *chains = area->chains;
	uint16_t head = area->last_batch_head;

	for (uint16_t n = used_idx - area->used_idx; n; n--) {
		chains[head].is_out = 0;
		head = chains[head].next;
	}
	*(volatile uint16_t *)&area->used_idx = used_idx;
}

#endif
