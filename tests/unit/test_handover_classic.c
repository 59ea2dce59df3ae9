// SPDX-License-Identifier: MIT
/* Opens of the stock driver that another program goes on with. */
#include "handover_world.h"
#include "classic_rig.h"

static void restart(void)
{
	world_restart(0);
}

static void test_open(void **state)
{
	struct fake_request *r;

	(void)state;
	guest_open(PORT, true);
	put_done("a\nhello");
	expect_out("hello");
	r = room(64);
	restart();
	put_done(" world");
	expect_out("hello world");
	fake_say(service->last, "there", 5);
	expect_bytes(r, "there");
	expect_quiet();
	guest_open(PORT, false);
	assert_true(service->last->shut_write);
	fake_end(service->last);
	assert_int_equal(service->closed, 1);
	assert_int_equal(service->aborted, 0);
}

/* A name that is not complete, and a chain of which a part was taken. */
static void test_parts(void **state)
{
	struct fake_request *r;

	(void)state;
	guest_open(PORT, true);
	put_done(MP_NAME_PREFIX "a");
	restart();
	put_done("b\n");
	assert_string_equal(service->last->name, "ab");
	service->last->out_room = 3;
	r = put("hello");
	assert_false(r->done);
	restart();
	fake_take(service->last, 100);
	assert_true(r->done);
	fake_drop(driver, r);
	expect_out("hello");
}

/* An open that has ended, whose chains are not all taken, and the next one behind it. */
static void test_ended(void **state)
{
	struct fake_stream *first;
	struct fake_request *r;

	(void)state;
	guest_open(PORT, true);
	put_done("a\n");
	first = service->last;
	first->out_room = 3;
	r = put("hello");
	guest_open(PORT, false);
	guest_open(PORT, true);
	restart();
	service->last = first;
	fake_take(first, 100);
	assert_true(r->done);
	fake_drop(driver, r);
	assert_true(first->shut_write);
	assert_memory_equal(first->out, "hello", 5);
	fake_end(first);
	put_done("b\nnext");
	expect_out("next");
	assert_string_equal(service->last->name, "b");
}

/* A fixed port whose service is not there: it is tried again when it would have been. */
static void test_waits(void **state)
{
	(void)state;
	service->answer = -MP_REASON_NOT_LISTENING;
	port_ready(FIXED, "fixed");
	fake_pass_time(driver, CORE_RETRY_MS - 1);
	restart();
	service->answer = 1;
	fake_pass_time(driver, 1);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect_quiet();
}

/* The service of a fixed port is lost in the restart: the port says so, and waits for it. */
static void test_lost(void **state)
{
	(void)state;
	port_ready(FIXED, "fixed");
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(FIXED, true);
	service->answer = -MP_REASON_RESET;
	restart();
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 0);
	expect_quiet();
	service->answer = 1;
	fake_pass_time(driver, CORE_RETRY_MS);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

/* The restart comes between two PORT_READYs of a driver that slept [protocol.md 13.3]. */
static void test_sleep(void **state)
{
	(void)state;
	guest_sleeps();
	port_ready(PORT, "multi");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	restart();
	port_ready(FIXED, "fixed");
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 0);
	expect_quiet();
	assert_int_equal(service->opened, 0);
	fake_pass_time(driver, CORE_RETRY_MS);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect_quiet();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, setup_ready, world_destroy),
		cmocka_unit_test_setup_teardown(test_parts, setup_ready, world_destroy),
		cmocka_unit_test_setup_teardown(test_ended, setup_ready, world_destroy),
		cmocka_unit_test_setup_teardown(test_waits, setup, world_destroy),
		cmocka_unit_test_setup_teardown(test_lost, setup, world_destroy),
		cmocka_unit_test_setup_teardown(test_sleep, setup_ready, world_destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
