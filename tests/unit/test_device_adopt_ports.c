// SPDX-License-Identifier: MIT
/* The next daemon has another configuration: fewer ports, or more. */
#include "adopt_world.h"

/* The next daemon has no PORT, and as many queues as the front end. */
static void lose_port(void)
{
	world->ports[PORT].gate.name = NULL;
	world->config.queue_count = driver->queue_count;
	service->admission = MP_REASON_NO_SERVICE;
}

static void find_port(void)
{
	world->ports[PORT].gate.name = "multi";
	service->admission = MP_REASON_NONE;
}

static void expect_fixed(void)
{
	fake_expect_control(driver, FIXED, MP_CONTROL_PORT_MODE, MP_PORT_FIXED);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_ADD, 1);
	expect_quiet();
}

static uint16_t expect_bye_and_removal(void)
{
	uint16_t number = le16toh(driver->control[driver->control_seen].header.value);

	fake_expect_control(driver, 0xffffffff, MP_CONTROL_BYE, number);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_REMOVE, 1);
	return number;
}

/* The driver is to remove it; what is out comes back, and nothing is served by it any more. */
static void a_port_that_is_gone(void **state)
{
	struct fake_request *parked;
	uint16_t number;

	(void)state;
	connect_to(1, 1, "db");
	parked = fetch(1, 1, 0);
	lose_port();
	crash(true);
	number = expect_bye_and_removal();
	expect_fixed();
	assert_false(parked->done);
	answer(number);
	assert_int_equal(le32toh(finish(parked).status), MP_STALE);
	expect_result(write_to(1, 1, 0, "x", 1), MP_STALE, 0);
	expect_state(connect_to(0, 2, "db"), MP_OK, MP_ST_REFUSED, MP_REASON_NO_SERVICE);
	/* It is said again: the driver may not have heard it. */
	crash(true);
	number = expect_bye_and_removal();
	expect_fixed();
	answer(number);
	/* And when it is there again. */
	find_port();
	crash(true);
	number = expect_bye_and_removal();
	fake_expect_control(driver, PORT, MP_CONTROL_PORT_MODE, MP_PORT_MULTI_OPEN);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_ADD, 1);
	expect_fixed();
	answer(number);
	fake_control(driver, PORT, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
	expect_result(connect_to(1, 3, "db"), MP_OK, 0);
}

/* A new life of the driver knows nothing of it. */
static void a_port_that_is_gone_and_a_reset(void **state)
{
	(void)state;
	lose_port();
	crash(true);
	expect_bye_and_removal();
	expect_fixed();
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0);
	expect_quiet();
	assert_int_equal(kept.ports[PORT].ready, 0);
}

static void a_port_that_is_gone_with_version_2(void **state)
{
	struct fake_request *parked;

	(void)state;
	connect_to(1, 1, "db");
	parked = fetch(1, 1, 0);
	lose_port();
	crash(true);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_REMOVE, 1);
	expect_fixed();
	assert_int_equal(le32toh(finish(parked).status), MP_STALE);
	expect_result(write_to(1, 1, 0, "x", 1), MP_STALE, 0);
}

static void a_classic_port_that_is_gone(void **state)
{
	(void)state;
	port_ready(PORT, "multi");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(PORT, true);
	put_done("echo\nfirst");
	lose_port();
	crash(false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_REMOVE, 1);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_ADD, 1);
	expect_quiet();
	put_done("late");
	find_port();
	crash(false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_REMOVE, 1);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_ADD, 1);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_ADD, 1);
	port_ready(PORT, "multi");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(PORT, true);
	put_done("echo\nsecond");
	expect_out("second");
}

/* More ports than the front end has queues for: those that it has queues for are served. */
static void a_port_that_is_new(void **state)
{
	(void)state;
	for (unsigned int i = driver->queue_count - 2; i < driver->queue_count; i++)
		fake_stop(driver, i);
	driver->queue_count -= 2;
	world->config.queue_count = driver->queue_count;
	crash(true);
	fake_expect_control(driver, 0xffffffff, MP_CONTROL_BYE, 1);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
	expect_quiet();
	answer(1);
	expect_result(connect_to(1, 1, "db"), MP_OK, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_port_that_is_gone, ready_port),
		TEST(a_port_that_is_gone_and_a_reset, ready_port),
		TEST(a_port_that_is_gone_with_version_2, version_2),
		TEST(a_classic_port_that_is_gone, classic),
		TEST(a_port_that_is_new, ready_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
