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

#include "fake_ring.h"

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
			core_run(device_core(d->device));
		}
		for (unsigned int i = 0; i < d->queue_count; i++)
			count += fake_poll_queue(d, i);
	} while (count);
}

static inline void fake_pass_time(struct fake_driver *d, uint64_t ms)
{
	d->now += ms;
	if (core_deadline(device_core(d->device)) <= d->now)
		core_tick(device_core(d->device));
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
