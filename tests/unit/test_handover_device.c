// SPDX-License-Identifier: MIT
/* A device that another program goes on with: channels of each phase, states that are owed. */
#include "handover_world.h"

#define EVENTS 4

static int setup(void **state)
{
	(void)state;
	world_create(64, 8);
	world_boot(EVENTS);
	return 0;
}

/* Events that came back with the rings say nothing. */
static void skip_none(void)
{
	while (driver->event_seen < driver->event_count &&
	       le32toh(driver->events[driver->event_seen % FAKE_EVENTS].event.channel) ==
	       MP_CHANNEL_NONE)
		driver->event_seen++;
}

static void restart(void)
{
	world_restart(EVENTS);
	skip_none();
}

static void test_connected(void **state)
{
	uint8_t bytes[16];

	(void)state;
	expect_state(connect_to(3, 7, "a"), MP_OK, MP_ST_CONNECTED | MP_ST_OUT, 0);
	expect_result(write_to(3, 7, 0, "hello", 5), MP_OK, 5);
	fake_say(service->last, "there", 5);
	expect_event(3, 7, CONNECTED | MP_ST_IN, 0);
	expect_result(read_from(3, 7, 0, bytes, 2), MP_OK, 2);
	restart();
	expect_no_event();
	expect_result(read_from(3, 7, 2, bytes, 16), MP_OK, 3);
	assert_memory_equal(bytes, "ere", 3);
	expect_result(write_to(3, 7, 5, " world", 6), MP_OK, 6);
	assert_int_equal(service->last->out_len, 11);
	assert_memory_equal(service->last->out, "hello world", 11);
	/* The old generation is as stale as before, and the claims are the opener's. */
	expect_result(write_to(3, 6, 11, "x", 1), MP_STALE, 0);
	expect_result(shut(3, 7, 11, MP_SHUT_WRITE), MP_OK, 0);
	assert_true(service->last->shut_write);
	fake_end(service->last);
	expect_state(close_at(3, 7, 11, 0), MP_OK, MP_ST_CLOSED, 0);
	assert_int_equal(service->closed, 1);
	assert_int_equal(service->aborted, 0);
}

/* A READ comes back CANCELLED; the driver sends it again, and it waits again. */
static void test_parked(void **state)
{
	struct fake_request *r;

	(void)state;
	connect_to(0, 1, "a");
	r = fetch(0, 1, 0);
	assert_false(r->done);
	restart();
	assert_true(r->done);
	assert_int_equal(le32toh(r->result.status), MP_CANCELLED);
	fake_drop(driver, r);
	r = fetch(0, 1, 0);
	assert_false(r->done);
	fake_say(service->last, "late", 4);
	assert_true(r->done);
	expect_result(r->result, MP_OK, 4);
	fake_drop(driver, r);
}

/* News that no event buffer was there for goes out after the restart, in its order. */
static void test_owed(void **state)
{
	struct fake_stream *streams[2];

	(void)state;
	world_create(64, 8);
	world_boot(0);
	for (int i = 0; i < 2; i++) {
		connect_to(i, 1, "a");
		streams[i] = service->last;
	}
	fake_say(streams[1], "x", 1);
	service->last = streams[0];
	fake_say(streams[0], "y", 1);
	assert_int_equal(stats_now().owed, 2);
	expect_no_event();
	world_restart(0);
	assert_int_equal(stats_now().owed, 2);
	world_restart(EVENTS);
	expect_event(1, 1, CONNECTED | MP_ST_IN, 0);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
	assert_int_equal(stats_now().owed, 0);
}

static void test_connecting(void **state)
{
	(void)state;
	service->answer = 0;
	expect_state(connect_to(0, 1, "a"), MP_OK, 0, 0);
	fake_pass_time(driver, CONNECT_MS - 10);
	restart();
	/* The time limit counts from the beginning. */
	fake_pass_time(driver, 9);
	expect_no_event();
	fake_pass_time(driver, 1);
	expect_event(0, 1, MP_ST_REFUSED, MP_REASON_TIMED_OUT);
	/* And one that is in time. */
	expect_state(connect_to(1, 1, "a"), MP_OK, 0, 0);
	restart();
	service->last->peer->ops->connected(service->last->peer);
	fake_run(driver);
	expect_event(1, 1, CONNECTED, 0);
	expect_state(close_at(1, 1, 0, MP_CLOSE_ABORT), MP_OK, MP_ST_CLOSED, 0);
}

/* What has not arrived goes on to arrive, and the limit is the old one. */
static void test_closing(void **state)
{
	(void)state;
	service->out_room = 3;
	connect_to(0, 1, "a");
	expect_result(write_to(0, 1, 0, "hello", 5), MP_OK, 3);
	expect_state(close_at(0, 1, 5, 0), MP_OK, CONNECTED & ~MP_ST_OUT, 0);
	fake_pass_time(driver, LINGER_MS - 10);
	restart();
	fake_pass_time(driver, 9);
	assert_int_equal(service->closed, 0);
	fake_take(service->last, 2);
	expect_event(0, 1, CONNECTED, 0);
	expect_result(write_to(0, 1, 3, "lo", 2), MP_OK, 2);
	assert_memory_equal(service->last->out, "hello", 5);
	fake_end(service->last);
	fake_pass_time(driver, LATE_MS);
	expect_event(0, 1, MP_ST_CLOSED, 0);
	assert_int_equal(service->aborted, 0);
	/* Once more, and nothing is taken. */
	service->out_room = 3;
	connect_to(0, 2, "a");
	write_to(0, 2, 0, "hello", 5);
	close_at(0, 2, 5, 0);
	fake_pass_time(driver, LINGER_MS - 10);
	restart();
	fake_pass_time(driver, 10);
	assert_int_equal(service->aborted, 1);
	fake_pass_time(driver, LATE_MS);
	expect_event(0, 2, MP_ST_CLOSED, MP_REASON_LINGER);
	/* And all is taken, but the service does not end. */
	connect_to(0, 3, "a");
	close_at(0, 3, 0, 0);
	fake_pass_time(driver, END_MS - 10);
	restart();
	fake_pass_time(driver, 10);
	assert_int_equal(service->closed, 3);
	fake_pass_time(driver, LATE_MS);
	expect_event(0, 3, MP_ST_CLOSED, MP_REASON_LINGER);
}

static void test_refused_failed_closed(void **state)
{
	(void)state;
	expect_state(connect_to(0, 1, "none"), MP_OK, MP_ST_REFUSED, MP_REASON_NO_SERVICE);
	connect_to(1, 1, "a");
	service->last->in_error = -EIO;
	fake_notify(service->last);
	read_from(1, 1, 0, NULL, 8);
	restart();
	skip_none();
	expect_state(connect_to(0, 1, "a"), MP_OK, CONNECTED, 0);
	expect_state(close_at(0, 1, 0, MP_CLOSE_ABORT), MP_OK, MP_ST_CLOSED, 0);
	expect_state(read_from(1, 1, 0, NULL, 8), MP_ENDED, FAILED, MP_REASON_RESET);
	expect_state(close_at(1, 1, 0, 0), MP_OK, MP_ST_CLOSED, 0);
}

/* The service is gone from the configuration: each channel ends as by a failure. */
static void test_service_is_gone(void **state)
{
	(void)state;
	connect_to(0, 1, "a");
	service->out_room = 0;
	connect_to(1, 1, "a");
	close_at(1, 1, 5, 0);
	service->answer = 0;
	connect_to(2, 1, "a");
	service->answer = 1;
	service->admission = MP_REASON_NO_SERVICE;
	restart();
	expect_event(0, 1, FAILED, MP_REASON_RESET);
	expect_event(1, 1, MP_ST_CLOSED, MP_REASON_RESET);
	expect_event(2, 1, MP_ST_REFUSED, MP_REASON_NO_SERVICE);
	assert_int_equal(service->closed, 3);
}

/* The stream cannot go on. */
static void test_stream_is_lost(void **state)
{
	(void)state;
	connect_to(0, 1, "a");
	service->answer = -MP_REASON_RESET;
	restart();
	expect_event(0, 1, FAILED, MP_REASON_RESET);
	service->answer = 1;
	expect_state(close_at(0, 1, 0, 0), MP_OK, MP_ST_CLOSED, 0);
}

/* What the driver was told about channels stays. */
static void test_told(void **state)
{
	(void)state;
	connect_to(7, 1, "a");
	world->ports[PORT].max_channels = 2;
	world->config.max_io = 4096;
	restart();
	expect_result(write_to(7, 1, 0, "hello", 5), MP_OK, 5);
	expect_state(connect_to(6, 1, "a"), MP_OK, CONNECTED, 0);
	expect_result(read_from(7, 1, 0, NULL, 65536), MP_AGAIN, 0);
}

/* Each restart of many: nothing piles up. */
static void test_again_and_again(void **state)
{
	uint64_t offset = 0;

	(void)state;
	connect_to(0, 1, "a");
	for (int i = 0; i < 50; i++) {
		restart();
		expect_result(write_to(0, 1, offset++, "x", 1), MP_OK, 1);
		expect_no_event();
	}
	assert_int_equal(service->last->out_len, 50);
	assert_int_equal(stats_now().core.channels, 1);
}

/* Before the driver has answered HELLO, and before it has a port. */
static void test_life_begins(void **state)
{
	struct mp_hello hello;

	(void)state;
	world_create(64, 8);
	device_set_features(driver->device, device_features(driver->device));
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_start(driver, i);
	fake_room(driver, 2, 512);
	fake_kick(driver, 2);
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	fake_run(driver);
	memcpy(&hello, fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0), sizeof(hello));
	driver->version = mp_hello_version(&hello);
	world_restart(0);
	fake_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
	fake_run(driver);
	world_restart(0);
	fake_add_port(driver, PORT, MP_PORT_MULTI_OPEN, EVENTS);
	expect_state(connect_to(0, 1, "a"), MP_OK, CONNECTED, 0);
}

/* A port that the record says nothing of begins again, and the others go on. */
static void test_other_ports(void **state)
{
	struct record *written;

	(void)state;
	expect_state(connect_to(0, 1, "a"), MP_OK, CONNECTED, 0);
	written = world_leave();
	world->ports[0] = world->ports[PORT];
	assert_true(world_come_back(written));
	assert_int_equal(stats_now().core.channels, 1);
}

/* The stand-in of a port that is gone, which the driver has let go of: nothing ends for it. */
static void test_stand_in(void **state)
{
	struct record *written;

	(void)state;
	written = world_leave();
	world->ports[PORT].gate.name = NULL;
	world->kept.ports[PORT].ready = 0;
	world->config.queue_count = driver->queue_count;
	assert_true(world_come_back(written));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connected, setup, world_destroy),
		cmocka_unit_test_setup_teardown(test_parked, setup, world_destroy),
		cmocka_unit_test_teardown(test_owed, world_destroy),
		cmocka_unit_test_setup_teardown(test_connecting, setup, world_destroy),
		cmocka_unit_test_setup_teardown(test_closing, setup, world_destroy),
		cmocka_unit_test_setup_teardown(test_refused_failed_closed, setup, world_destroy),
		cmocka_unit_test_setup_teardown(test_service_is_gone, setup, world_destroy),
		cmocka_unit_test_setup_teardown(test_stream_is_lost, setup, world_destroy),
		cmocka_unit_test_setup_teardown(test_told, setup, world_destroy),
		cmocka_unit_test_setup_teardown(test_again_and_again, setup, world_destroy),
		cmocka_unit_test_teardown(test_life_begins, world_destroy),
		cmocka_unit_test_setup_teardown(test_other_ports, setup, world_destroy),
		cmocka_unit_test_setup_teardown(test_stand_in, setup, world_destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
