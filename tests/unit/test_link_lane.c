// SPDX-License-Identifier: MIT
/* Lanes: grants, windows, turns, memory [protocol.md 15.4 to 15.6]. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "link_rig.h"

static struct rig *rig_up(void)
{
	struct rig *rig = rig_create();

	link_start(rig->driver.link, rig->now);
	link_start(rig->device.link, rig->now);
	rig_come_up(rig);
	return rig;
}

/* Every byte of each arrives, whatever the cuts. */
static void thousand_lanes(void **unused)
{
	struct rig *rig = rig_up();

	(void)unused;
	rig->to_send = 9000;
	rig->to_get = 17000;
	rig->small = 30000;
	for (uint32_t slot = 0; slot < RIG_SLOTS; slot++)
		rig_open(rig, slot);
	rig_run(rig);
	assert_int_equal(rig->driver.closed, RIG_SLOTS);
	assert_int_equal(rig->device.closed, RIG_SLOTS);
	rig_destroy(rig);
}

/* Consumers that take nothing: what is held is bounded by the sum, and other lanes go on. */
static void deaf_consumers(void **unused)
{
	struct rig *rig = rig_up();
	uint64_t held = 0;

	(void)unused;
	rig->to_send = 1 << 20;
	rig->to_get = 0;
	for (uint32_t slot = 0; slot < 100; slot++)
		rig_open(rig, slot);
	for (int i = 0; i < 100; i++) {
		rig_step(&rig->driver, &rig->device);
		rig_step(&rig->device, &rig->driver);
	}
	for (uint32_t slot = 0; slot < 100; slot++)
		rig->device.channels[slot].is_deaf = true;
	rig_run(rig);
	for (uint32_t slot = 0; slot < 100; slot++)
		held += rig->device.channels[slot].lane.held_len;
	assert_true(held > 100 * 1024);
	assert_true(held <= (1 << 20) + 100 * 4096);
	rig_open(rig, 500);
	rig_run(rig);
	assert_int_equal(rig->driver.closed, 1);
	for (uint32_t slot = 0; slot < 100; slot++)
		rig->device.channels[slot].is_deaf = false;
	rig_run(rig);
	assert_int_equal(rig->driver.closed, 101);
	rig_destroy(rig);
}

/* A bulk lane has one frame for each of a small one's. */
static void takes_turns(void **unused)
{
	struct rig *rig = rig_up();
	uint32_t before;

	(void)unused;
	rig->to_send = 64 << 20;
	rig->to_get = 0;
	rig_open(rig, 0);
	for (int i = 0; i < 200; i++) {
		rig_step(&rig->driver, &rig->device);
		rig_step(&rig->device, &rig->driver);
	}
	rig->to_send = 1;
	rig_open(rig, 1);
	before = rig->driver.data_frames;
	while (rig->device.channels[1].got != 1) {
		rig_step(&rig->driver, &rig->device);
		rig_step(&rig->device, &rig->driver);
	}
	assert_true(rig->driver.data_frames - before < 16);
	rig_destroy(rig);
}

/* What an idle channel costs here. */
static void is_small(void **unused)
{
	(void)unused;
	assert_true(sizeof(struct lane) <= 112);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousand_lanes),
		cmocka_unit_test(deaf_consumers),
		cmocka_unit_test(takes_turns),
		cmocka_unit_test(is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
