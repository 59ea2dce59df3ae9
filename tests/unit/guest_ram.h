/* SPDX-License-Identifier: MIT */
/*
 * A small guest for tests: memory with holes, and the driver's side of a ring.
 *
 * Each region is shared memory with an inaccessible page on both sides, so one byte
 * too far is a fault. In guest addresses A and B touch, C lies behind a
 * hole, and TOP ends one page before the end of the address space. In the
 * front end's addresses everything is shifted by RAM_USER (modulo 2^64).
 */
#ifndef TESTS_UNIT_GUEST_RAM_H
#define TESTS_UNIT_GUEST_RAM_H

#include <linux/virtio_ring.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/ring.h"

#define RAM_PAGE	4096UL
#define RAM_A		0x10000UL
#define RAM_A_SIZE	0x10000UL
#define RAM_B		(RAM_A + RAM_A_SIZE)
#define RAM_B_SIZE	0x4000UL
#define RAM_HOLE	(RAM_B + RAM_B_SIZE)
#define RAM_C		0x40000UL
#define RAM_C_SIZE	0x1000UL
#define RAM_TOP		0xffffffffffff0000UL
#define RAM_TOP_SIZE	0xf000UL
#define RAM_USER	0x7f0000000000UL

static inline void ram_add(struct mem *mem, uint64_t guest, uint64_t size)
{
	struct mem_region *r = &mem->regions[mem->count++];
	int fd = memfd_create("ram", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, size) < 0)
		abort();
	r->map_size = size + 2 * RAM_PAGE;
	r->map = mmap(NULL, r->map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->map == MAP_FAILED)
		abort();
	r->host = mmap((uint8_t *)r->map + RAM_PAGE, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED, fd, 0);
	if (r->host == MAP_FAILED)
		abort();
	close(fd);
	r->guest = guest;
	r->user = guest + RAM_USER;
	r->size = size;
	r->fd_offset = 0;
}

static inline void ram_create(struct mem *mem)
{
	mem_init(mem);
	ram_add(mem, RAM_A, RAM_A_SIZE);
	ram_add(mem, RAM_B, RAM_B_SIZE);
	ram_add(mem, RAM_C, RAM_C_SIZE);
	ram_add(mem, RAM_TOP, RAM_TOP_SIZE);
}

static inline void ram_destroy(struct mem *mem)
{
	for (unsigned int i = 0; i < mem->count; i++)
		munmap(mem->regions[i].map, mem->regions[i].map_size);
	mem->count = 0;
}

/* The driver's side: plain stores, indices as they would be in a guest. */
struct driver {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t size;
};

/* Where driver_create() puts the parts: each begins a page of A. */
#define DRIVER_DESC	RAM_A
#define DRIVER_AVAIL	(RAM_A + 0x4000)
#define DRIVER_USED	(RAM_A + 0x6000)
#define DRIVER_DATA	(RAM_A + 0xa000)	/* free for buffers, to the end of A */

static inline void driver_create(struct driver *d, struct ring *ring, const struct mem *mem,
				 uint16_t size)
{
	memset(ring, 0, sizeof(*ring));
	ring->size = size;
	ring->desc_addr = DRIVER_DESC + RAM_USER;
	ring->avail_addr = DRIVER_AVAIL + RAM_USER;
	ring->used_addr = DRIVER_USED + RAM_USER;
	d->size = size;
	d->desc = mem_at(mem, gpa(DRIVER_DESC), size * sizeof(struct vring_desc));
	d->avail = mem_at(mem, gpa(DRIVER_AVAIL), 6 + size * 2);
	d->used = mem_at(mem, gpa(DRIVER_USED), 6 + size * 8);
	if (!d->desc || !d->avail || !d->used)
		abort();
}

static inline void desc_set(struct vring_desc *desc, uint64_t addr, uint32_t len, uint16_t flags,
			    uint16_t next)
{
	desc->addr = addr;
	desc->len = len;
	desc->flags = flags;
	desc->next = next;
}

static inline void driver_offer(struct driver *d, uint16_t head)
{
	d->avail->ring[d->avail->idx & (d->size - 1)] = head;
	__atomic_store_n(&d->avail->idx, (uint16_t)(d->avail->idx + 1), __ATOMIC_RELEASE);
}

static inline uint16_t *driver_used_event(struct driver *d)
{
	return &d->avail->ring[d->size];
}

static inline uint16_t *driver_avail_event(struct driver *d)
{
	return (uint16_t *)&d->used->ring[d->size];
}

#endif
