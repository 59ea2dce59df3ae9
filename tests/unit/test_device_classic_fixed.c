// SPDX-License-Identifier: MIT
/* A fixed port under a driver without MULTI_OPEN [protocol.md 13.3]. */
#include "classic_rig.h"

static void fixed_port(void **state)
{
	struct fake_stream *first;
	struct fake_request *r;

	(void)state;
	service->answer = 0;
	port_ready(FIXED, "fixed");
	expect_quiet();
	assert_string_equal(service->last->opener.service, "tied");
	fake_pass_time(driver, 10 * CONNECT_MS);	/* it may wait for ever */
	first = service->last;
	first->peer->ops->connected(first->peer);
	fake_run(driver);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	fake_say(first, "early", 5);
	guest_open(FIXED, true);
	r = fake_room(driver, rx_of(FIXED), 100);
	fake_kick(driver, rx_of(FIXED));
	fake_run(driver);
	expect_bytes(r, "early");
	r = fake_bytes(driver, tx_of(FIXED), "out", 3);
	fake_kick(driver, tx_of(FIXED));
	fake_run(driver);
	fake_drop(driver, r);
	expect_out("out");

	/* The client leaves; after a while the next may come. */
	fake_end(first);
	expect_quiet();			/* an end is only seen by reading */
	r = fake_room(driver, rx_of(FIXED), 100);
	fake_kick(driver, rx_of(FIXED));
	fake_run(driver);
	assert_false(r->done);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_int_equal(service->opened, 1);
	assert_int_equal(service->closed, 1);
	fake_pass_time(driver, 1000);
	assert_int_equal(service->opened, 2);
	service->last->peer->ops->connected(service->last->peer);
	fake_run(driver);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);

	/* The agent restarts: a new session, at once. */
	guest_open(FIXED, false);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_int_equal(service->opened, 3);
	guest_open(FIXED, true);
	guest_open(FIXED, false);	/* not connected: nothing to end */
	assert_int_equal(service->opened, 3);
	expect_quiet();
}

/* The mark lies behind what is visible when the service fails, and not one chain before. */
static void fixed_port_fails_in_a_write(void **state)
{
	struct fake_request *r[3];

	(void)state;
	port_ready(FIXED, "fixed");
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(FIXED, true);
	service->last->out_room = 1;
	service->last->out_error = -EIO;
	r[0] = fake_bytes(driver, tx_of(FIXED), "ab", 2);
	r[1] = fake_bytes(driver, tx_of(FIXED), "cd", 2);
	fake_kick(driver, tx_of(FIXED));
	fake_run(driver);
	assert_true(r[0]->done && r[1]->done);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 0);
	r[2] = fake_bytes(driver, tx_of(FIXED), "ef", 2);
	fake_kick(driver, tx_of(FIXED));
	fake_run(driver);
	assert_false(r[2]->done);
	fake_pass_time(driver, 1000);
	assert_true(r[2]->done);
	expect_out("ef");
	for (int i = 0; i < 3; i++)
		fake_drop(driver, r[i]);
}

static void fixed_port_retries(void **state)
{
	(void)state;
	service->answer = -MP_REASON_NOT_LISTENING;
	port_ready(FIXED, "fixed");
	for (int i = 1; i < 5; i++) {
		assert_int_equal(service->opened, i);
		fake_pass_time(driver, 999);
		assert_int_equal(service->opened, i);
		fake_pass_time(driver, 1);
	}
	service->answer = 0;
	fake_pass_time(driver, 1000);
	service->last->peer->ops->refused(service->last->peer, MP_REASON_TIMED_OUT);
	expect_quiet();
	service->answer = 1;
	fake_pass_time(driver, 1000);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	service->last->in_error = -EIO;
	guest_open(FIXED, true);
	fake_room(driver, rx_of(FIXED), 100);
	fake_kick(driver, rx_of(FIXED));
	fake_notify(service->last);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 0);
	service->admission = MP_REASON_DENIED;
	fake_pass_time(driver, 1000);
	service->admission = MP_REASON_NONE;
	expect_quiet();
	fake_pass_time(driver, 1000);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	/* Ready and not ready, again and again: one connection. */
	for (int i = 0; i < 10; i++) {
		fake_control(driver, FIXED, VIRTIO_CONSOLE_PORT_READY, 0, NULL, 0);
		fake_control(driver, FIXED, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	}
	assert_int_equal(service->opened - service->closed, 1);
}

/*
 * An agent that restarts again and again, each time before the service has ended: no more than the
 * port's channels. The next session comes when one of them is over.
 */
static void fixed_port_keeps_its_limit(void **state)
{
	struct fake_stream *first = NULL;
	struct fake_request *r;

	(void)state;
	port_ready(FIXED, "fixed");
	for (int i = 0; i < 3 * FIXED_CHANNELS; i++) {
		guest_open(FIXED, true);
		first = first ? first : service->last;
		guest_open(FIXED, false);
	}
	assert_int_equal(service->opened, FIXED_CHANNELS);
	assert_int_equal(service->closed, 0);
	fake_pass_time(driver, 1000);
	assert_int_equal(service->opened, FIXED_CHANNELS);
	fake_end(first);
	assert_int_equal(service->closed, 1);
	fake_pass_time(driver, 1000);
	assert_int_equal(service->opened, FIXED_CHANNELS + 1);
	/* Without a session the guest's bytes wait for it. */
	guest_open(FIXED, true);
	r = fake_bytes(driver, tx_of(FIXED), "late", 4);
	fake_kick(driver, tx_of(FIXED));
	fake_run(driver);
	fake_drop(driver, r);
	expect_out("late");
}

/* A process that slept in a read is told that its session has ended before the next one begins. */
static void fixed_port_sleeps(void **state)
{
	(void)state;
	port_ready(FIXED, "fixed");
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(FIXED, true);
	guest_sleeps();
	assert_int_equal(service->closed, 1);
	port_ready(FIXED, "fixed");
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 0);
	guest_open(FIXED, true);
	expect_quiet();
	fake_pass_time(driver, 1000);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect_quiet();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fixed_port),
		TEST(fixed_port_fails_in_a_write),
		TEST(fixed_port_retries),
		TEST(fixed_port_keeps_its_limit),
		TEST(fixed_port_sleeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
