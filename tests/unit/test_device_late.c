// SPDX-License-Identifier: MIT
/* CLOSED is visible at once, and the driver is called for it late [protocol.md 7.8]. */
#include "device_world.h"

static struct fake_queue *rx;
static struct fake_stream *streams[4];

static void set_up(unsigned int events)
{
	world_create(64, 8);
	world_boot(events);
	rx = &driver->queues[RX];
	for (uint32_t slot = 0; slot < 4; slot++) {
		connect_to(slot, 1, "db");
		streams[slot] = service->last;
	}
	/* The first call of a ring is made whatever the driver waits for. */
	fake_say(streams[3], "x", 1);
	expect_event(3, 1, CONNECTED | MP_ST_IN, 0);
	driver->manual = true;		/* no process of the guest looks, whoever calls it */
}

static int setup(void **state)
{
	(void)state;
	set_up(8);
	return 0;
}

/* The driver looks at its queues, and gives the event buffers back. */
static void look(void)
{
	driver->manual = false;
	fake_run(driver);
	driver->manual = true;
}

/* The channel's service ends after the answer to CLOSE: so an event says CLOSED. */
static void end(uint32_t slot)
{
	driver->manual = false;
	expect_result(close_at(slot, 1, 0, 0), MP_OK, 0);
	driver->manual = true;
	fake_end(streams[slot]);
}

/* How many calls come in @ms, in which nothing happens but time. */
static unsigned int calls_in(uint64_t ms)
{
	unsigned int calls = rx->calls;

	fake_pass_time(driver, ms);
	return rx->calls - calls;
}

static unsigned int visible(void)
{
	return (uint16_t)(rx->used->idx - rx->last_used);
}

static void an_idle_guest_is_called(void **state)
{
	unsigned int calls = rx->calls;

	(void)state;
	end(0);
	assert_int_equal(visible(), 1);
	assert_int_equal(rx->calls, calls);
	assert_int_equal(core_deadline(device_core(driver->device)), driver->now + LATE_MS);
	assert_int_equal(calls_in(LATE_MS - 1), 0);
	assert_int_equal(calls_in(1), 1);
	assert_int_equal(core_deadline(device_core(driver->device)), UINT64_MAX);
	assert_int_equal(calls_in(10 * LATE_MS), 0);
	look();
	expect_event(0, 1, MP_ST_CLOSED, 0);
}

/* Those that close later wait no longer than the first. */
static void one_call_for_many(void **state)
{
	(void)state;
	driver->manual = false;
	for (uint32_t slot = 0; slot < 3; slot++)
		expect_result(close_at(slot, 1, 0, 0), MP_OK, 0);
	driver->manual = true;
	fake_end(streams[0]);
	assert_int_equal(calls_in(LATE_MS / 2), 0);
	fake_end(streams[1]);
	assert_int_equal(calls_in(LATE_MS / 2), 1);
	fake_end(streams[2]);
	assert_int_equal(visible(), 3);
	assert_int_equal(calls_in(LATE_MS), 0);		/* it has not looked since the call */
	look();
	for (uint32_t slot = 0; slot < 3; slot++)
		expect_event(slot, 1, MP_ST_CLOSED, 0);
}

static void one_that_has_looked_is_not_called(void **state)
{
	(void)state;
	end(0);
	look();
	expect_event(0, 1, MP_ST_CLOSED, 0);
	assert_int_equal(calls_in(LATE_MS), 0);
}

static void other_news_is_called_for_at_once(void **state)
{
	unsigned int calls = rx->calls;

	(void)state;
	end(0);
	fake_say(streams[1], "x", 1);
	assert_int_equal(visible(), 2);
	assert_int_equal(rx->calls, calls + 1);
	/* Which was for both. */
	assert_int_equal(calls_in(LATE_MS), 0);
	look();
	expect_event(0, 1, MP_ST_CLOSED, 0);
	expect_event(1, 1, CONNECTED | MP_ST_IN, 0);
	/* And then for the next. */
	calls = rx->calls;
	end(2);
	assert_int_equal(rx->calls, calls);
	assert_int_equal(calls_in(LATE_MS), 1);
}

/* Else what a process waits for would find no buffer until then. */
static void the_last_buffer_is_called_for(void **state)
{
	unsigned int calls;

	(void)state;
	world_destroy(NULL);
	set_up(1);
	calls = rx->calls;
	end(0);
	assert_int_equal(rx->calls, calls + 1);
	assert_int_equal(core_deadline(device_core(driver->device)), UINT64_MAX);
}

/* The ring stops: the driver is called for all that it has. The next life has no timer of it. */
static void a_ring_stops(void **state)
{
	unsigned int calls = rx->calls;

	(void)state;
	end(0);
	fake_stop(driver, RX);
	assert_int_equal(rx->calls, calls + 1);
	assert_int_equal(core_deadline(device_core(driver->device)), UINT64_MAX);
	fake_start(driver, RX);
	assert_int_equal(calls_in(LATE_MS), 0);
	look();
	expect_event(0, 1, MP_ST_CLOSED, 0);
}

static void the_device_is_reset(void **state)
{
	unsigned int calls = rx->calls;

	(void)state;
	end(0);
	device_reset(driver->device);
	fake_pass_time(driver, LATE_MS);
	assert_true(rx->calls <= calls + 1);
	assert_int_equal(core_deadline(device_core(driver->device)), UINT64_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_idle_guest_is_called), TEST(one_call_for_many),
		TEST(one_that_has_looked_is_not_called), TEST(other_news_is_called_for_at_once),
		TEST(the_last_buffer_is_called_for), TEST(a_ring_stops),
		 TEST(the_device_is_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
