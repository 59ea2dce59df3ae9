/* SPDX-License-Identifier: MIT */
/*
 * The driver's half for tests of the device core: real rings in guest memory, a
 * clock, the control conversation, requests and event buffers.
 *
 * Nothing here trusts the device: a chain that comes back twice, or was never
 * sent, a used length that does not fit, a state older than one that was
 * seen on the same queue: each fails the test. Kicks go out only when the
 * device asks for them, so a forgotten request for kicks shows as a hang.
 */
#ifndef TESTS_UNIT_FAKE_DRIVER_H
#define TESTS_UNIT_FAKE_DRIVER_H

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

/* --- What comes back ------------------------------------------------------ */

static inline void fake_repost_event(struct fake_driver *d, struct fake_request *r);

static inline void fake_take_result(struct fake_driver *d, struct fake_request *r)
{
	memcpy(&r->result, fake_at(d, r->writable), sizeof(r->result));
	assert_true(mp_result_is_valid(&r->result, r->length, r->used,
				       r->op == MP_OP_READ ? r->length : 0, d->version));
	assert_int_equal(r->used, sizeof(r->result) +
			 (r->op == MP_OP_READ ? le32toh(r->result.count) : 0));
}

static inline void fake_take_event(struct fake_driver *d, struct fake_request *r)
{
	struct fake_event *event = &d->events[d->event_count++ % FAKE_EVENTS];

	assert_int_equal(r->used, sizeof(struct mp_event));
	memcpy(&event->event, fake_at(d, r->writable), sizeof(event->event));
	event->port = r->queue < 2 ? 0 : (r->queue - 2) / 2;
	assert_true(mp_event_is_valid(&event->event, r->used, d->version));
}

static inline void fake_take_control(struct fake_driver *d, struct fake_request *r)
{
	unsigned int i = d->control_count++;

	assert_true(i < sizeof(d->control) / sizeof(*d->control));
	assert_true(r->used >= 8 && r->used <= 8 + 256);
	memcpy(&d->control[i].header, fake_at(d, r->writable), 8);
	memcpy(d->control[i].payload, (uint8_t *)fake_at(d, r->writable) + 8, r->used - 8);
	d->control[i].len = r->used - 8;
}

static inline void fake_done(struct fake_driver *d, struct fake_request *r, uint32_t used)
{
	r->done = true;
	r->used = used;
	r->serial = ++d->serial;
	assert_true(used <= r->writable_len);
	if (r->kind == FAKE_REQUEST)
		fake_take_result(d, r);
	else if (r->kind == FAKE_EVENT)
		fake_take_event(d, r);
	else if (r->queue == 2 && !r->is_small)
		fake_take_control(d, r);
	if (r->kind == FAKE_EVENT || (r->queue == 2 && !r->is_small))
		fake_repost_event(d, r);
}

static inline unsigned int fake_poll_queue(struct fake_driver *d, unsigned int index)
{
	struct fake_queue *q = &d->queues[index];
	unsigned int count = 0;

	while (q->size && q->last_used != __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE)) {
		struct vring_used_elem *elem = &q->used->ring[q->last_used & (q->size - 1)];
		struct fake_request *r;

		assert_true(elem->id < q->size);
		r = q->by_head[elem->id];
		assert_non_null(r);	/* exactly once */
		q->by_head[elem->id] = NULL;
		q->last_used++;
		fake_release_chain(q, elem->id);
		fake_done(d, r, elem->len);
		count++;
	}
	if (d->event_idx && q->size)
		q->avail->ring[q->size] = q->last_used;
	return count;
}

/* Lets everything happen that can: deferred work, used entries, their kicks. */
static inline void fake_run(struct fake_driver *d)
{
	unsigned int count;

	if (d->manual)
		return;
	do {
		count = 0;
		if (d->woken) {
			d->woken = false;
			count++;
			device_run(d->device);
		}
		for (unsigned int i = 0; i < d->queue_count; i++)
			count += fake_poll_queue(d, i);
	} while (count);
}

static inline void fake_pass_time(struct fake_driver *d, uint64_t ms)
{
	d->now += ms;
	if (device_deadline(d->device) <= d->now)
		device_tick(d->device);
	fake_run(d);
}

/* --- Chains --------------------------------------------------------------- */

static inline struct fake_request *fake_new(struct fake_driver *d, enum fake_kind kind,
					    unsigned int queue, uint32_t readable,
					    uint32_t writable)
{
	struct fake_request *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->kind = kind;
	r->queue = queue;
	r->readable_len = readable;
	r->writable_len = writable;
	r->readable = readable ? fake_alloc(d, readable) : 0;
	r->writable = writable ? fake_alloc(d, writable) : 0;
	return r;
}

/* It must have come back. */
static inline void fake_drop(struct fake_driver *d, struct fake_request *r)
{
	assert_true(r->done);
	fake_free(d, r->readable, r->readable_len);
	fake_free(d, r->writable, r->writable_len);
	fake_free(d, r->table, 2 * sizeof(struct vring_desc));
	free(r);
}

static inline struct fake_request *fake_bytes(struct fake_driver *d, unsigned int queue,
					      const void *bytes, uint32_t len)
{
	struct fake_request *r = fake_new(d, FAKE_RAW, queue, len, 0);

	memcpy(fake_at(d, r->readable), bytes, len);
	fake_offer(d, r);
	return r;
}

static inline struct fake_request *fake_room(struct fake_driver *d, unsigned int queue,
					     uint32_t len)
{
	struct fake_request *r = fake_new(d, FAKE_RAW, queue, 0, len);

	memset(fake_at(d, r->writable), 0xee, len);
	fake_offer(d, r);
	return r;
}

static inline void fake_post_event(struct fake_driver *d, unsigned int port)
{
	struct fake_request *r = fake_new(d, FAKE_EVENT, rx_of(port), 0, sizeof(struct mp_event));

	fake_offer(d, r);
	fake_kick(d, rx_of(port));
}

/* An event or control buffer goes back at once, as long as its queue runs. */
static inline void fake_repost_event(struct fake_driver *d, struct fake_request *r)
{
	unsigned int cut = d->cut;

	if (!d->queues[r->queue].running || (r->kind == FAKE_EVENT && !d->event_buffers)) {
		fake_drop(d, r);
		return;
	}
	d->cut = 0;
	fake_offer(d, r);
	d->cut = cut;
	fake_kick(d, r->queue);
}

/* A request that is well-formed; the caller may spoil it before fake_offer(). */
static inline struct fake_request *fake_make(struct fake_driver *d, unsigned int queue,
					     uint16_t op, uint32_t slot, uint32_t generation,
					     uint64_t offset, const void *payload, uint32_t length)
{
	bool in = op == MP_OP_READ;
	struct fake_request *r = fake_new(d, FAKE_REQUEST, queue,
					  sizeof(struct mp_request) + (in ? 0 : length),
					  sizeof(struct mp_result) + (in ? length : 0));
	struct mp_request header = {
		.op = htole16(op), .length = htole32(length), .channel = htole32(slot),
		.generation = htole32(generation), .offset = htole64(offset),
	};

	r->op = op;
	r->slot = slot;
	r->generation = generation;
	r->offset = offset;
	r->length = length;
	memcpy(fake_at(d, r->readable), &header, sizeof(header));
	if (!in && length)
		memcpy((uint8_t *)fake_at(d, r->readable) + sizeof(header), payload, length);
	memset(fake_at(d, r->writable), 0xee, r->writable_len);
	return r;
}

static inline struct mp_request *fake_header(struct fake_driver *d, struct fake_request *r)
{
	return fake_at(d, r->readable);
}

static inline const uint8_t *fake_payload(struct fake_driver *d, const struct fake_request *r)
{
	return (uint8_t *)fake_at(d, r->writable) + sizeof(struct mp_result);
}

/* --- Control -------------------------------------------------------------- */

static inline void fake_control(struct fake_driver *d, uint32_t id, uint16_t event, uint16_t value,
				const void *payload, uint32_t len)
{
	uint8_t bytes[8 + 256];
	struct virtio_console_control header = {
		.id = htole32(id), .event = htole16(event), .value = htole16(value),
	};
	struct fake_request *r;

	memcpy(bytes, &header, 8);
	if (len)
		memcpy(bytes + 8, payload, len);
	r = fake_bytes(d, 3, bytes, 8 + len);
	fake_kick(d, 3);
	fake_run(d);
	assert_true(r->done);		/* at once [protocol.md 3.6] */
	fake_drop(d, r);
}

/* The next message from the device must be this one. */
static inline const uint8_t *fake_expect_control(struct fake_driver *d, uint32_t id,
						 uint16_t event, uint16_t value)
{
	unsigned int i = d->control_seen++;

	assert_true(i < d->control_count);
	assert_int_equal(le32toh(d->control[i].header.id), id);
	assert_int_equal(le16toh(d->control[i].header.event), event);
	assert_int_equal(le16toh(d->control[i].header.value), value);
	return d->control[i].payload;
}

/* --- The device's surroundings -------------------------------------------- */

static inline uint64_t fake_now(void *context) { return ((struct fake_driver *)context)->now; }
static inline uint64_t fake_clock_us(void *context)
{
	struct fake_driver *d = context;

	return d->now * 1000 + d->spent_us;
}
static inline void fake_rearm(void *context) { (void)context; }
static inline void fake_wake(void *context) { ((struct fake_driver *)context)->woken = true; }

/* The driver is not called before it can see all that was given [protocol.md 6.8]. */
static inline void fake_call(void *context, unsigned int queue)
{
	struct fake_driver *d = context;

	for (unsigned int i = 0; i < d->queue_count; i++)
		assert_false(d->queues[i].ring.unpublished);
	d->queues[queue].calls++;
}

static inline void fake_setup(struct fake_driver *d, const struct device_config *config,
			      uint16_t size)
{
	fake_ram(d);
	d->env.core.context = d;
	d->env.core.now = fake_now;
	d->env.core.clock_us = fake_clock_us;
	d->env.core.rearm = fake_rearm;
	d->env.core.wake = fake_wake;
	d->env.call = fake_call;
	d->now = 1000;
	d->device = device_create(config, &d->env);
	assert_non_null(d->device);
	d->queue_count = device_queue_count(d->device);
	assert_true(d->queue_count <= FAKE_QUEUES);
	for (unsigned int i = 0; i < d->queue_count; i++)
		fake_queue_init(d, i, size);
}

static inline void fake_teardown(struct fake_driver *d)
{
	device_destroy(d->device);
	for (unsigned int i = 0; i < d->queue_count; i++)
		for (unsigned int j = 0; j < d->queues[i].size; j++)
			free(d->queues[i].by_head[j]);
	mem_clear(&d->mem);
	munmap(d->ram, RAM_SIZE);
}

/* Features, rings, DEVICE_READY; with the extension also HELLO and all ports. */
static inline void fake_boot(struct fake_driver *d, bool multi)
{
	struct mp_hello hello;
	uint64_t features = device_features(d->device);

	if (!multi)
		features &= ~(1ULL << MP_F_MULTI_OPEN);
	device_set_features(d->device, features);
	for (unsigned int i = 0; i < d->queue_count; i++)
		fake_start(d, i);
	for (int i = 0; i < 8; i++)
		fake_room(d, 2, 512);
	fake_kick(d, 2);
	fake_control(d, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	fake_run(d);
	if (!multi)
		return;
	memcpy(&hello, fake_expect_control(d, 0xffffffff, MP_CONTROL_HELLO, 0), sizeof(hello));
	assert_true(mp_hello_is_valid(&hello, d->control[d->control_seen - 1].len));
	assert_int_equal(d->control_count, d->control_seen);	/* no port before the answer */
	assert_true(d->version <= mp_hello_version(&hello));
	if (!d->version)
		d->version = mp_hello_version(&hello);
	hello.version = htole16(d->version);
	fake_control(d, 0xffffffff, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
	fake_run(d);
}

/* Answers PORT_MODE and PORT_ADD of one port, and posts event buffers. */
static inline void fake_add_port(struct fake_driver *d, unsigned int id, enum mp_port_kind kind,
				 unsigned int event_buffers)
{
	const uint8_t *payload = fake_expect_control(d, id, MP_CONTROL_PORT_MODE, kind);
	struct mp_port_mode mode;

	memcpy(&mode, payload, sizeof(mode));
	assert_true(mp_port_mode_is_valid(kind, &mode, sizeof(mode)));
	fake_expect_control(d, id, VIRTIO_CONSOLE_PORT_ADD, 1);
	fake_control(d, id, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	d->event_buffers = event_buffers;
	for (unsigned int i = 0; i < event_buffers; i++)
		fake_post_event(d, id);
	fake_run(d);
}

#endif
