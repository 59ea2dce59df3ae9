/* SPDX-License-Identifier: MIT */
/* A world whose driver does not know MULTI_OPEN, and the words of its tests [protocol.md 13]. */
#ifndef TESTS_UNIT_CLASSIC_RIG_H
#define TESTS_UNIT_CLASSIC_RIG_H

#include "device_world.h"

static inline int setup(void **state)
{
	(void)state;
	world_create(32, 4);
	fake_boot(driver, false);
	for (unsigned int id = 1; id <= 2; id++)
		fake_expect_control(driver, id, VIRTIO_CONSOLE_PORT_ADD, 1);
	assert_int_equal(driver->control_seen, driver->control_count);
	return 0;
}

static inline void port_ready(unsigned int id, const char *name)
{
	const uint8_t *payload;

	fake_control(driver, id, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	payload = fake_expect_control(driver, id, VIRTIO_CONSOLE_PORT_NAME, 1);
	/* Without a NUL. */
	assert_int_equal(driver->control[driver->control_seen - 1].len, strlen(name));
	assert_memory_equal(payload, name, strlen(name));
}

static inline int setup_ready(void **state)
{
	setup(state);
	port_ready(PORT, "multi");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_int_equal(driver->control_seen, driver->control_count);
	return 0;
}

static inline void guest_open(unsigned int id, bool is_open)
{
	fake_control(driver, id, VIRTIO_CONSOLE_PORT_OPEN, is_open, NULL, 0);
}

static inline void guest_lies_down(void)
{
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		fake_stop(driver, i);
		for (unsigned int j = 0; j < driver->queues[i].size; j++)
			free(driver->queues[i].by_head[j]);
		fake_queue_init(driver, i, 32);
	}
}

/* Its driver begins with empty queues, and without DEVICE_READY. */
static inline void guest_wakes(void)
{
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_start(driver, i);
	for (int i = 0; i < 8; i++)
		fake_room(driver, 2, 512);
}

static inline void guest_sleeps(void)
{
	guest_lies_down();
	guest_wakes();
}

static inline void expect_quiet(void)
{
	assert_int_equal(driver->control_seen, driver->control_count);
}

static inline struct fake_request *put(const char *bytes)
{
	struct fake_request *r = fake_bytes(driver, TX, bytes, strlen(bytes));

	fake_kick(driver, TX);
	fake_run(driver);
	return r;
}

static inline void put_done(const char *bytes)
{
	struct fake_request *r = put(bytes);

	assert_true(r->done);
	assert_int_equal(r->used, 0);
	fake_drop(driver, r);
}

static inline struct fake_request *room(uint32_t len)
{
	struct fake_request *r = fake_room(driver, RX, len);

	fake_kick(driver, RX);
	fake_run(driver);
	return r;
}

static inline void expect_bytes(struct fake_request *r, const char *bytes)
{
	assert_true(r->done);
	assert_int_equal(r->used, strlen(bytes));
	assert_memory_equal(fake_at(driver, r->writable), bytes, strlen(bytes));
	fake_drop(driver, r);
}

static inline void expect_out(const char *bytes)
{
	assert_int_equal(service->last->out_len, strlen(bytes));
	assert_memory_equal(service->last->out, bytes, strlen(bytes));
}

#endif
