// SPDX-License-Identifier: MIT
/* Twenty thousand channels: memory, and the cost of one among them. */
#include <malloc.h>
#include <time.h>

#include "device_world.h"

#define MANY 20000

static struct fake_stream **streams;

static int setup(void **state)
{
	(void)state;
	world_create(1024, MANY);
	world_boot(64);
	streams = calloc(MANY, sizeof(*streams));
	assert_non_null(streams);
	return 0;
}

static int teardown(void **state)
{
	free(streams);
	return world_destroy(state);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

static double round_trips(uint32_t slot, uint64_t offset, unsigned int count)
{
	double start = now_us();

	service->last = streams[slot];
	for (unsigned int i = 0; i < count; i++) {
		struct fake_request *r = fetch(slot, 1, offset + i);

		expect_result(write_to(slot, 1, offset + i, "x", 1), MP_OK, 1);
		fake_notify(streams[slot]);
		expect_result(finish(r), MP_OK, 1);
	}
	return (now_us() - start) / count;
}

static void all_at_once(void **state)
{
	double few = 0, many;

	(void)state;
	service->echo = true;
	for (uint32_t i = 0; i < MANY; i++) {
		expect_state(connect_to(i, 1, "echo"), MP_OK, CONNECTED, 0);
		streams[i] = service->last;
		if (i == 10)
			few = round_trips(5, 0, 2000);
	}
	assert_int_equal(stats_now().core.channels, MANY);
	many = round_trips(MANY - 1, 0, 2000);
	print_message("a round trip among 10 channels %.2f us, among %u %.2f us\n", few, MANY,
		      many);

	/* All speak at once: each gets its one event, in order, through 64 buffers. */
	for (uint32_t i = 0; i < MANY; i++) {
		driver->manual = true;
		service->last = streams[i];
		fake_say(streams[i], "x", 1);
		driver->manual = false;
	}
	assert_int_equal(stats_now().owed, MANY - 64);
	fake_run(driver);
	for (uint32_t i = 0; i < MANY; i++)
		expect_event(i, 1, CONNECTED | MP_ST_IN, 0);
	expect_no_event();
	for (uint32_t i = 0; i < MANY; i++)
		expect_result(close_at(i, 1, i == 5 || i == MANY - 1 ? 2000 : 0, 0), MP_OK, 0);
	fake_pass_time(driver, LINGER_MS);
	assert_int_equal(stats_now().core.channels, 0);
	assert_int_equal(service->closed, MANY);
	assert_int_equal(service->aborted, 0);
}

/* What the device itself keeps for an idle channel. */
/* A sanitizer's allocator does not count, so there is nothing to measure. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void idle_channels_are_small(void **state)
{
	size_t before, after, streams_size = sizeof(struct fake_stream) + 16;

	(void)state;
	before = mallinfo2().uordblks;
	for (uint32_t i = 0; i < MANY; i++)
		connect_to(i, 1, "db");
	after = mallinfo2().uordblks;
	print_message("an idle channel takes %zu bytes\n",
		      (after - before - MANY * streams_size) / MANY);
	assert_true((after - before) / MANY < streams_size + 512);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_at_once, setup, teardown),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		cmocka_unit_test_setup_teardown(idle_channels_are_small, setup, teardown),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
