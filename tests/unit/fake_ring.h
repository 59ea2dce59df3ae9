/* SPDX-License-Identifier: MIT */
/*
 * A driver's memory and rings, for tests of the device: guest memory in two regions, real
 * virtqueues, chains made of blocks. What is asked of the device with them is in fake_driver.h.
 */
#ifndef TESTS_UNIT_FAKE_RING_H
#define TESTS_UNIT_FAKE_RING_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/virtio_console.h>
#include <linux/virtio_ring.h>

#include <manyport/wire_check.h>

#include "base/list.h"
#include "base/log.h"
#include "device/device.h"

/* Two regions that touch, so that a buffer may lie in both. */
#define RAM_BASE	0x100000UL
#define RAM_HALF	(24UL << 20)
#define RAM_SIZE	(2 * RAM_HALF)
#define RAM_USER	0x7f0000000000UL

#define FAKE_QUEUES	16
#define FAKE_MAX_SIZE	1024
#define FAKE_CLASSES	22
#define FAKE_EVENTS	65536

enum fake_kind { FAKE_REQUEST, FAKE_EVENT, FAKE_RAW };

/* One chain that the driver made: a request, an event buffer or just bytes. */
struct fake_request {
	enum fake_kind kind;
	unsigned int queue;
	uint16_t head, op;
	uint32_t slot, generation;
	uint64_t offset;
	uint32_t length;		/* of the payload */
	uint64_t readable, writable;	/* guest addresses, one block each */
	uint32_t readable_len, writable_len;
	uint64_t table;			/* indirect */
	bool is_small;			/* control: too small for a message */
	bool done;
	uint32_t used;
	struct mp_result result;	/* once done */
	unsigned int serial;		/* order of completion, all queues together */
};

struct fake_queue {
	struct ring ring;
	bool running;
	uint16_t size, free_count, free_head, last_used;
	uint16_t kicked_at;		/* avail index at the last look at avail_event */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint64_t where;			/* guest address of the parts */
	struct fake_request *by_head[FAKE_MAX_SIZE];
	unsigned int calls, kicks;
};

struct fake_event {
	unsigned int port;
	struct mp_event event;
};

struct fake_driver {
	struct mem mem;
	uint8_t *ram;
	struct device *device;
	struct device_env env;
	uint64_t now;
	uint64_t spent_us;		/* what calls took, beside what passed by itself */
	bool woken;
	bool manual;			/* fake_run() does nothing: the test polls and runs */
	bool event_idx;
	uint16_t version;		/* that it has */
	unsigned int cut;		/* bytes in a descriptor; 0: each part is one */
	bool indirect;			/* requests and bytes go through an indirect table */
	uint64_t next_free;
	uint64_t free_lists[FAKE_CLASSES];
	struct fake_queue queues[FAKE_QUEUES];
	unsigned int queue_count;
	unsigned int event_buffers;	/* kept posted on each port that has some */
	struct fake_event events[FAKE_EVENTS];
	unsigned int event_count, event_seen;
	unsigned int serial;
	struct {
		struct virtio_console_control header;
		uint8_t payload[256];
		uint32_t len;
	} control[256];
	unsigned int control_count, control_seen;
	void *world;			/* the test's */
};

static inline unsigned int rx_of(unsigned int port) { return port ? 2 * port + 2 : 0; }
static inline unsigned int tx_of(unsigned int port) { return rx_of(port) + 1; }

/* --- Memory --------------------------------------------------------------- */

static inline void *fake_at(struct fake_driver *d, uint64_t addr)
{
	return d->ram + (addr - RAM_BASE);
}

static inline unsigned int fake_class(uint32_t len)
{
	unsigned int class = 4;

	while ((1U << class) < len)
		class++;
	return class;
}

static inline uint64_t fake_alloc(struct fake_driver *d, uint32_t len)
{
	unsigned int class = fake_class(len);
	uint64_t addr = d->free_lists[class];

	if (addr) {
		memcpy(&d->free_lists[class], fake_at(d, addr), sizeof(addr));
		return addr;
	}
	addr = d->next_free;
	d->next_free += 1U << class;
	assert_true(d->next_free <= RAM_BASE + RAM_SIZE);
	return addr;
}

static inline void fake_free(struct fake_driver *d, uint64_t addr, uint32_t len)
{
	unsigned int class = fake_class(len);

	if (!addr)
		return;
	memcpy(fake_at(d, addr), &d->free_lists[class], sizeof(addr));
	d->free_lists[class] = addr;
}

static inline void fake_ram(struct fake_driver *d)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, RAM_SIZE), 0);
	d->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(d->ram, MAP_FAILED);
	mem_init(&d->mem);
	assert_int_equal(mem_add(&d->mem, RAM_BASE, RAM_BASE + RAM_USER, RAM_HALF, 0, fd), 0);
	assert_int_equal(mem_add(&d->mem, RAM_BASE + RAM_HALF, RAM_BASE + RAM_HALF + RAM_USER,
				 RAM_HALF, RAM_HALF, fd), 0);
	close(fd);
	d->next_free = RAM_BASE;
}

/* --- Rings ---------------------------------------------------------------- */

static inline void fake_queue_init(struct fake_driver *d, unsigned int index, uint16_t size)
{
	struct fake_queue *q = &d->queues[index];

	assert_true(size <= FAKE_MAX_SIZE);
	memset(q, 0, sizeof(*q));
	q->size = size;
	q->free_count = size;
	q->where = (d->next_free + 4095) & ~4095UL;
	d->next_free = q->where + 3 * 16384 + 8192;
	q->desc = fake_at(d, q->where);
	q->avail = fake_at(d, q->where + 16384);
	q->used = fake_at(d, q->where + 32768);
	for (unsigned int i = 0; i < size; i++)
		q->desc[i].next = i + 1;
	q->ring.size = size;
	q->ring.event_idx = d->event_idx;
	q->ring.desc_addr = q->where + RAM_USER;
	q->ring.avail_addr = q->where + 16384 + RAM_USER;
	q->ring.used_addr = q->where + 32768 + RAM_USER;
}

static inline void fake_start(struct fake_driver *d, unsigned int index)
{
	struct fake_queue *q = &d->queues[index];

	assert_int_equal(ring_start(&q->ring, &d->mem, q->ring.last_avail), 0);
	q->running = true;
	device_ring_start(d->device, index, &q->ring);
}

static inline void fake_stop(struct fake_driver *d, unsigned int index)
{
	struct fake_queue *q = &d->queues[index];

	device_ring_stop(d->device, index);
	ring_stop(&q->ring);
	q->running = false;
}

/* As a driver decides it [virtio-1.2 2.7.10, 2.7.13.4]. */
static inline bool fake_needs_kick(struct fake_driver *d, struct fake_queue *q)
{
	uint16_t old = q->kicked_at, new = q->avail->idx;
	uint16_t *avail_event = (uint16_t *)&q->used->ring[q->size];

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	q->kicked_at = new;
	if (d->event_idx)
		return vring_need_event(*avail_event, new, old);
	return !(q->used->flags & VRING_USED_F_NO_NOTIFY);
}

static inline void fake_kick(struct fake_driver *d, unsigned int index)
{
	struct fake_queue *q = &d->queues[index];

	if (!fake_needs_kick(d, q) || !q->running)
		return;
	q->kicks++;
	device_kick(d->device, index);
}

static inline unsigned int fake_desc(struct fake_queue *q, uint64_t addr, uint32_t len,
				     uint16_t flags)
{
	unsigned int idx = q->free_head;

	assert_true(q->free_count > 0);
	q->free_count--;
	q->free_head = q->desc[idx].next;
	q->desc[idx].addr = addr;
	q->desc[idx].len = len;
	q->desc[idx].flags = flags;
	return idx;
}

/* Appends the block, cut as the driver is told to cut. */
static inline void fake_block(struct fake_driver *d, struct fake_queue *q, int *head, int *last,
			      uint64_t addr, uint32_t len, uint16_t flags)
{
	while (len) {
		uint32_t part = d->cut && d->cut < len ? d->cut : len;
		int idx = fake_desc(q, addr, part, flags);

		if (*last >= 0) {
			q->desc[*last].flags |= VRING_DESC_F_NEXT;
			q->desc[*last].next = idx;
		} else {
			*head = idx;
		}
		*last = idx;
		addr += part;
		len -= part;
	}
}

static inline int fake_table(struct fake_driver *d, struct fake_queue *q, struct fake_request *r)
{
	struct vring_desc *table;

	if (!r->table)
		r->table = fake_alloc(d, 2 * sizeof(*table));
	table = fake_at(d, r->table);
	table[0] = (struct vring_desc){ r->readable, r->readable_len, VRING_DESC_F_NEXT, 1 };
	table[1] = (struct vring_desc){ r->writable, r->writable_len, VRING_DESC_F_WRITE, 0 };
	return fake_desc(q, r->table, 2 * sizeof(*table), VRING_DESC_F_INDIRECT);
}

/* Makes the chain of @r visible. Does not kick. */
static inline void fake_offer(struct fake_driver *d, struct fake_request *r)
{
	struct fake_queue *q = &d->queues[r->queue];
	int head = -1, last = -1;

	if (d->indirect && r->readable_len && r->writable_len) {
		head = fake_table(d, q, r);
	} else {
		fake_block(d, q, &head, &last, r->readable, r->readable_len, 0);
		fake_block(d, q, &head, &last, r->writable, r->writable_len, VRING_DESC_F_WRITE);
	}
	assert_true(head >= 0);
	assert_null(q->by_head[head]);
	r->head = head;
	r->done = false;
	q->by_head[head] = r;
	q->avail->ring[q->avail->idx & (q->size - 1)] = head;
	__atomic_store_n(&q->avail->idx, (uint16_t)(q->avail->idx + 1), __ATOMIC_RELEASE);
}

static inline void fake_release_chain(struct fake_queue *q, unsigned int head)
{
	unsigned int idx = head;

	for (;;) {
		bool more = q->desc[idx].flags & VRING_DESC_F_NEXT;
		unsigned int next = q->desc[idx].next;

		q->desc[idx].next = q->free_head;
		q->desc[idx].flags = 0;
		q->free_head = idx;
		q->free_count++;
		if (!more)
			return;
		idx = next;
	}
}

#endif
