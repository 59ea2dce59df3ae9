/* SPDX-License-Identifier: MIT */
/* A device world whose daemon gives way to the next one. */
#ifndef TESTS_UNIT_HANDOVER_WORLD_H
#define TESTS_UNIT_HANDOVER_WORLD_H

#include "base/record.h"
#include "device_world.h"

static bool world_ran[FAKE_QUEUES];	/* before the daemon gave way */

/* Stops all rings, and writes the device. */
static inline struct record *world_leave(void)
{
	struct record *record = record_create();

	assert_non_null(record);
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		world_ran[i] = driver->queues[i].running;
		fake_stop(driver, i);
	}
	fake_run(driver);
	device_hand_over(driver->device, record);
	assert_true(record_finish(record) >= 0);
	return record;
}

/* Another device, with world->config, reads it. Returns whether it can. */
static inline bool world_come_back(struct record *written)
{
	struct record *record = record_open(dup(record_finish(written)));
	const struct device_kept left = world->kept;
	bool is_good;

	assert_non_null(record);
	record_destroy(written);
	service->is_leaving = true;
	device_destroy(driver->device);
	service->is_leaving = false;
	driver->woken = false;
	world->kept = left;
	driver->device = device_create(&world->config, &driver->env);
	assert_non_null(driver->device);
	device_hand_over(driver->device, record);
	is_good = record_is_good(record);
	record_destroy(record);
	return is_good;
}

static inline void world_go_on(unsigned int events)
{
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		struct fake_queue *q = &driver->queues[i];

		if (!world_ran[i])
			continue;
		assert_int_equal(ring_start(&q->ring, &driver->mem, q->ring.last_avail), 0);
		q->running = true;
		device_ring_adopt(driver->device, i, &q->ring);
	}
	device_adopt(driver->device);
	core_run(device_core(driver->device));
	while (events--)
		fake_post_event(driver, PORT);
	fake_run(driver);
}

static inline void world_restart(unsigned int events)
{
	assert_true(world_come_back(world_leave()));
	world_go_on(events);
}

#endif
