// SPDX-License-Identifier: MIT
/* Drivers that know no BYE of the device: of version 2, and the stock one. */
#include "adopt_world.h"

static void expect_removal(void)
{
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_REMOVE, 1);
	fake_expect_control(driver, PORT, MP_CONTROL_PORT_MODE, MP_PORT_MULTI_OPEN);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_ADD, 1);
	fake_expect_control(driver, FIXED, MP_CONTROL_PORT_MODE, MP_PORT_FIXED);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_ADD, 1);
}

static void a_driver_of_version_2(void **state)
{
	struct fake_request *parked, *old;
	uint8_t payload[300];
	uint32_t len = make_connect(payload, "db");

	(void)state;
	connect_to(1, 1, "db");
	parked = fetch(1, 1, 0);
	die();
	old = fake_make(driver, TX, MP_OP_CONNECT, 2, 2, 0, payload, len);
	fake_offer(driver, old);
	take_over(true);
	expect_removal();
	assert_false(parked->done);
	/* The port's next life: no channel is made for an open of the last. */
	fake_control(driver, PORT, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	assert_int_equal(le32toh(finish(parked).status), MP_STALE);
	assert_int_equal(le32toh(finish(old).status), MP_BUSY);
	assert_int_equal(service->opened, 1);
	expect_none(4);
	expect_result(connect_to(1, 3, "db"), MP_OK, 0);
	expect_result(connect_to(2, 4, "db"), MP_OK, 0);
}

/* No client of the host goes to a channel of the fixed port that was removed. */
static void a_fixed_port_of_version_2(void **state)
{
	struct fake_request *old, *again;
	uint8_t payload[300];
	uint32_t len = make_connect(payload, "");

	(void)state;
	service->has_clients = true;
	fake_control(driver, FIXED, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_NAME, 1);
	die();
	old = fake_make(driver, tx_of(FIXED), MP_OP_CONNECT, 0, 1, 0, payload, len);
	fake_offer(driver, old);
	take_over(true);
	fake_control(driver, FIXED, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	assert_int_equal(le32toh(finish(old).status), MP_BUSY);
	assert_int_equal(service->opened, 0);
	again = send_on(tx_of(FIXED), MP_OP_CONNECT, 0, 2, 0, payload, len);
	assert_int_equal(le32toh(finish(again).status), MP_OK);
	assert_int_equal(service->opened, 1);
}

/* The second one cannot know whether PORT_READY is the answer to what the first one said. */
static void two_crashes_with_version_2(void **state)
{
	struct fake_request *r;

	(void)state;
	crash(true);
	expect_removal();
	die();
	r = say(PORT, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	take_over(true);
	expect_removal();
	assert_true(r->done);
	fake_drop(driver, r);
	expect_result(connect_to(1, 1, "db"), MP_OK, 0);
	/* The answer to what was said last: the driver has no channel, so there is none. */
	fake_control(driver, PORT, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	assert_int_equal(service->closed, 1);
	expect_result(connect_to(1, 2, "db"), MP_OK, 0);
}

static void an_open_classic_port(void **state)
{
	struct fake_request *r;

	(void)state;
	port_ready(PORT, "multi");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(PORT, true);
	put_done("echo\nfirst");
	die();
	r = fake_bytes(driver, TX, "rest", 4);
	take_over(false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_ADD, 1);
	expect_quiet();
	assert_true(r->done);		/* is no name */
	fake_drop(driver, r);
	put_done("more");
	guest_open(PORT, false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(PORT, true);
	put_done("echo\nsecond");
	expect_out("second");
	assert_int_equal(service->opened, 2);
}

/* The bytes of an open that has ended are not the name of the next. */
static void a_closed_classic_port(void **state)
{
	struct fake_request *r, *out;

	(void)state;
	port_ready(PORT, "multi");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	service->out_room = 5;
	guest_open(PORT, true);
	put_done("echo\nfirst");
	r = put("rest");
	assert_false(r->done);
	guest_open(PORT, false);
	expect_quiet();
	out = room(10);
	take(RX);
	crash(false);
	assert_true(r->done);
	fake_drop(driver, r);
	assert_true(out->done);
	assert_int_equal(out->used, 0);
	fake_drop(driver, out);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	service->out_room = 100;
	guest_open(PORT, true);
	put_done("echo\nsecond");
	expect_out("second");
}

/* A fixed port says that the service went, and has the next one after a second. */
static void a_fixed_classic_port(void **state)
{
	(void)state;
	port_ready(FIXED, "fixed");
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(FIXED, true);
	crash(false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_ADD, 1);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_NAME, 1);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 0);
	expect_quiet();
	fake_pass_time(driver, 1000);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_int_equal(service->opened, 2);
}

/* The daemon dies between two PORT_READYs of a driver that slept [protocol.md 13.3]. */
static void a_driver_that_slept(void **state)
{
	(void)state;
	guest_lies_down();
	for (unsigned int i = 0; i < driver->queue_count; i++)
		driver->queues[i].ring.inflight = areas[i];
	guest_wakes();
	port_ready(PORT, "multi");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	crash(false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_ADD, 1);
	port_ready(FIXED, "fixed");
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 0);
	expect_quiet();
	assert_int_equal(service->opened, 0);
	fake_pass_time(driver, 1000);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_driver_of_version_2, version_2),
		TEST(a_fixed_port_of_version_2, version_2),
		TEST(two_crashes_with_version_2, version_2),
		TEST(an_open_classic_port, classic),
		TEST(a_closed_classic_port, classic),
		TEST(a_fixed_classic_port, classic),
		TEST(a_driver_that_slept, classic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
