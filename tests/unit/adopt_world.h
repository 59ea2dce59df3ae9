/* SPDX-License-Identifier: MIT */
/*
 * A device world that another daemon takes over, at any time [protocol.md 3.7, 10.9]. What is not
 * taken from the rings, is out, or was written down stays; the device itself is made again.
 */
#ifndef TESTS_UNIT_ADOPT_WORLD_H
#define TESTS_UNIT_ADOPT_WORLD_H

#include "classic_rig.h"
#include "device/kept.h"
#include "ring/inflight.h"

static struct device_kept kept;
static struct inflight *areas[FAKE_QUEUES];

static inline int boot(uint16_t version)
{
	world_create(64, 8);
	memset(&kept, 0, sizeof(kept));
	device_destroy(driver->device);
	driver->env.kept = &kept;
	driver->device = device_create(&world->config, &driver->env);
	assert_non_null(driver->device);
	driver->version = version;
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		areas[i] = calloc(1, INFLIGHT_BYTES(64));
		assert_non_null(areas[i]);
		driver->queues[i].ring.inflight = areas[i];
	}
	return 0;
}

static inline int setup_ready_port(void **state)
{
	(void)state;
	boot(MP_VERSION);
	world_boot(4);
	return 0;
}

static inline int setup_version_2(void **state)
{
	(void)state;
	boot(2);
	world_boot(4);
	return 0;
}

static inline int setup_new(void **state)
{
	(void)state;
	return boot(MP_VERSION);
}

static inline int setup_classic(void **state)
{
	boot(MP_VERSION);
	fake_boot(driver, false);
	for (unsigned int id = 1; id <= 2; id++)
		fake_expect_control(driver, id, VIRTIO_CONSOLE_PORT_ADD, 1);
	(void)state;
	return 0;
}

/* The daemon dies. */
static inline void die(void)
{
	struct device_kept last = kept;

	device_destroy(driver->device);
	driver->device = NULL;
	kept = last;
	for (unsigned int i = 0; i < driver->queue_count; i++)
		ring_stop(&driver->queues[i].ring);
}

/* Another one takes over. */
static inline void take_over(bool multi)
{
	uint64_t features;

	driver->woken = false;
	driver->device = device_create(&world->config, &driver->env);
	assert_non_null(driver->device);
	features = device_features(driver->device);
	if (!multi)
		features &= ~(1ULL << MP_F_MULTI_OPEN);
	device_set_features(driver->device, features);
	for (unsigned int i = 0; i < driver->queue_count; i++)
		if (driver->queues[i].running) {
			struct ring *ring = &driver->queues[i].ring;

			assert_int_equal(ring_start_again(ring, &driver->mem), 0);
			device_ring_adopt(driver->device, i, ring);
		}
	device_adopt(driver->device);
	fake_run(driver);
}

static inline void crash(bool multi)
{
	die();
	take_over(multi);
}

static inline int tear_down(void **state)
{
	if (!driver->device)
		take_over(true);
	for (unsigned int i = 0; i < driver->queue_count; i++)
		ring_stop(&driver->queues[i].ring);
	world_destroy(state);
	for (unsigned int i = 0; i < FAKE_QUEUES; i++) {
		free(areas[i]);
		areas[i] = NULL;
	}
	return 0;
}

/* BYE with a number, and what is said beside it to a driver that has one port ready. */
static inline uint16_t expect_bye(void)
{
	uint16_t number = le16toh(driver->control[driver->control_seen].header.value);

	assert_true(number);
	fake_expect_control(driver, 0xffffffff, MP_CONTROL_BYE, number);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
	fake_expect_control(driver, FIXED, MP_CONTROL_PORT_MODE, MP_PORT_FIXED);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_ADD, 1);
	expect_quiet();
	return number;
}

static inline void answer(uint16_t number)
{
	fake_control(driver, 0xffffffff, MP_CONTROL_BYE, number, NULL, 0);
}

/* The chain on top of @index is taken, and not given back when the daemon dies. */
static inline void take(unsigned int index)
{
	static struct ring_chain chain;

	assert_int_equal(ring_take(&driver->queues[index].ring, &chain), 1);
}

static inline void expect_none(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		expect_event(MP_CHANNEL_NONE, 0, 0, 0);
	expect_no_event();
}

static inline struct fake_request *say(uint32_t id, uint16_t event, uint16_t value,
				       const void *payload, uint32_t len)
{
	uint8_t bytes[300];
	struct virtio_console_control header = {
		.id = htole32(id), .event = htole16(event), .value = htole16(value),
	};
	struct fake_request *r;

	memcpy(bytes, &header, 8);
	if (len)
		memcpy(bytes + 8, payload, len);
	r = fake_bytes(driver, 3, bytes, 8 + len);
	return r;
}

/* A test of the device that setup_@how() has made. */
#define TEST(name, how) cmocka_unit_test_setup_teardown(name, setup_##how, tear_down)

#endif
