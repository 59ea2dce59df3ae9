// SPDX-License-Identifier: MIT
/* The device core: life of a device, of a channel, and its bytes. */
#include "device_world.h"

static int setup(void **state)
{
	(void)state;
	world_create(64, 256);
	world_boot(8);
	return 0;
}

static void connect_write_read(void **state)
{
	char buf[100];
	struct mp_result result;

	(void)state;
	result = connect_to(3, 1, "echo+an argument");
	expect_state(result, MP_OK, CONNECTED, 0);
	assert_int_equal(le32toh(result.state.seq), 1);
	assert_string_equal(service->last->name, "echo");
	assert_string_equal(service->last->argument, "an argument");
	assert_string_equal(service->last->comm, "co\\x0amm");
	assert_int_equal(service->last->opener.uid, 1000);
	expect_no_event();

	result = write_to(3, 1, 0, "hello", 5);
	expect_result(result, MP_OK, 5);
	assert_int_equal(le64toh(result.offset), 5);
	assert_int_equal(service->last->out_len, 5);

	/* Nothing there: armed, so an event says when. */
	expect_state(read_from(3, 1, 0, NULL, 100), MP_AGAIN, CONNECTED, 0);
	fake_say(service->last, "world", 5);
	expect_event(3, 1, CONNECTED | MP_ST_IN, 0);
	result = read_from(3, 1, 0, buf, 100);
	expect_state(result, MP_OK, CONNECTED, 0);
	assert_int_equal(le32toh(result.count), 5);
	assert_memory_equal(buf, "world", 5);

	expect_state(close_at(3, 1, 5, 0), MP_OK, CONNECTED | MP_ST_OUT_END, 0);
	assert_true(service->last->shut_write);
	fake_end(service->last);
	assert_null(service->last);
	expect_event(3, 1, MP_ST_CLOSED, 0);
	expect_state(write_to(3, 1, 5, "x", 1), MP_STALE, 0, 0);
	assert_int_equal(stats_now().channels, 0);
}

static void park_and_cancel(void **state)
{
	struct fake_request *r;

	(void)state;
	connect_to(0, 1, "echo");
	r = fetch(0, 1, 0);
	assert_false(r->done);
	fake_say(service->last, "abc", 3);
	assert_true(r->done);
	expect_result(r->result, MP_OK, 3);
	assert_memory_equal(fake_payload(driver, r), "abc", 3);
	expect_no_event();
	fake_drop(driver, r);
	r = fetch(0, 1, 3);
	assert_false(r->done);
	expect_result(cancel(0, 1), MP_OK, 0);
	expect_result(finish(r), MP_CANCELLED, 0);
	expect_result(cancel(0, 1), MP_OK, 0);
	fake_say(service->last, "d", 1);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(connect_write_read, setup, world_destroy),
		cmocka_unit_test_setup_teardown(park_and_cancel, setup, world_destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
