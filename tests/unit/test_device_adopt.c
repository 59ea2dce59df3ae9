// SPDX-License-Identifier: MIT
/*
 * Another daemon takes the device over, at any time [protocol.md 3.7, 10.9]. What is not taken from
 * the rings, is out, or was written down stays; the device itself is made again.
 */
#include "classic_rig.h"
#include "device/kept.h"
#include "ring/inflight.h"

static struct device_kept kept;
static struct inflight *areas[FAKE_QUEUES];

static int boot(uint16_t version)
{
	world_create(64, 8);
	memset(&kept, 0, sizeof(kept));
	device_destroy(driver->device);
	driver->env.kept = &kept;
	driver->device = device_create(&world->config, &driver->env);
	assert_non_null(driver->device);
	driver->version = version;
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		areas[i] = calloc(1, INFLIGHT_BYTES(64));
		assert_non_null(areas[i]);
		driver->queues[i].ring.inflight = areas[i];
	}
	return 0;
}

static int setup_ready_port(void **state)
{
	(void)state;
	boot(MP_VERSION);
	world_boot(4);
	return 0;
}

static int setup_version_2(void **state)
{
	(void)state;
	boot(2);
	world_boot(4);
	return 0;
}

static int setup_new(void **state)
{
	(void)state;
	return boot(MP_VERSION);
}

static int setup_classic(void **state)
{
	boot(MP_VERSION);
	fake_boot(driver, false);
	for (unsigned int id = 1; id <= 2; id++)
		fake_expect_control(driver, id, VIRTIO_CONSOLE_PORT_ADD, 1);
	(void)state;
	return 0;
}

/* The daemon dies. */
static void die(void)
{
	struct device_kept last = kept;

	device_destroy(driver->device);
	driver->device = NULL;
	kept = last;
	for (unsigned int i = 0; i < driver->queue_count; i++)
		ring_stop(&driver->queues[i].ring);
}

/* Another one takes over. */
static void take_over(bool multi)
{
	uint64_t features;

	driver->woken = false;
	driver->device = device_create(&world->config, &driver->env);
	assert_non_null(driver->device);
	features = device_features(driver->device);
	if (!multi)
		features &= ~(1ULL << MP_F_MULTI_OPEN);
	device_set_features(driver->device, features);
	for (unsigned int i = 0; i < driver->queue_count; i++)
		if (driver->queues[i].running) {
			struct ring *ring = &driver->queues[i].ring;

			assert_int_equal(ring_start_again(ring, &driver->mem), 0);
			device_ring_adopt(driver->device, i, ring);
		}
	device_adopt(driver->device);
	fake_run(driver);
}

static void crash(bool multi)
{
	die();
	take_over(multi);
}

static int tear_down(void **state)
{
	if (!driver->device)
		take_over(true);
	for (unsigned int i = 0; i < driver->queue_count; i++)
		ring_stop(&driver->queues[i].ring);
	world_destroy(state);
	for (unsigned int i = 0; i < FAKE_QUEUES; i++) {
		free(areas[i]);
		areas[i] = NULL;
	}
	return 0;
}

/* BYE with a number, and what is said beside it to a driver that has one port ready. */
static uint16_t expect_bye(void)
{
	uint16_t number = le16toh(driver->control[driver->control_seen].header.value);

	assert_true(number);
	fake_expect_control(driver, 0xffffffff, MP_CONTROL_BYE, number);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
	fake_expect_control(driver, FIXED, MP_CONTROL_PORT_MODE, MP_PORT_FIXED);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_ADD, 1);
	expect_quiet();
	return number;
}

static void answer(uint16_t number)
{
	fake_control(driver, 0xffffffff, MP_CONTROL_BYE, number, NULL, 0);
}

/* The chain on top of @index is taken, and not given back when the daemon dies. */
static void take(unsigned int index)
{
	static struct ring_chain chain;

	assert_int_equal(ring_take(&driver->queues[index].ring, &chain), 1);
}

static void expect_none(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		expect_event(MP_CHANNEL_NONE, 0, 0, 0);
	expect_no_event();
}

static void a_crash_costs_the_channels(void **state)
{
	struct fake_request *parked, *late;
	uint16_t number;

	(void)state;
	expect_result(connect_to(1, 1, "db"), MP_OK, 0);
	parked = fetch(1, 1, 0);
	assert_false(parked->done);
	crash(true);
	number = expect_bye();
	/* Until the answer the ports' queues are left alone. */
	late = send_on(TX, MP_OP_WRITE, 1, 1, 0, "late", 4);
	fake_run(driver);
	assert_false(late->done);
	assert_false(parked->done);
	answer(number);
	assert_int_equal(le32toh(finish(parked).status), MP_STALE);
	assert_int_equal(le32toh(finish(late).status), MP_STALE);
	expect_none(4);
	/* The port goes on, in the same slot, too. */
	expect_result(connect_to(1, 2, "db"), MP_OK, 0);
	expect_result(write_to(1, 2, 0, "more", 4), MP_OK, 4);
	fake_say(service->last, "x", 1);
	assert_true(driver->event_seen < driver->event_count);
}

static void answers_with_another_number(void **state)
{
	struct fake_request *parked;
	uint16_t first, second;

	(void)state;
	connect_to(1, 1, "db");
	parked = fetch(1, 1, 0);
	crash(true);
	first = expect_bye();
	crash(true);
	second = expect_bye();
	assert_int_not_equal(first, second);
	answer(first);
	answer(second + 1);
	assert_false(parked->done);
	answer(second);
	assert_true(parked->done);
	finish(parked);
	/* It says so again where it is repeated. */
	answer(second);
	expect_result(connect_to(1, 2, "db"), MP_OK, 0);
	answer(first);
	expect_result(write_to(1, 2, 0, "more", 4), MP_OK, 4);
}

/* The number is never 0. */
static void numbers_wrap(void **state)
{
	(void)state;
	kept.bye = UINT16_MAX;
	crash(true);
	assert_int_equal(expect_bye(), 1);
	answer(1);
	crash(true);
	assert_int_equal(expect_bye(), 2);
}

/* BYE of the driver is no answer: its value is 0. */
static void the_driver_goes(void **state)
{
	struct fake_request *connect;
	uint8_t payload[300];

	(void)state;
	crash(true);
	expect_bye();
	answer(0);
	connect = send_on(TX, MP_OP_CONNECT, 1, 1, 0, payload, make_connect(payload, "db"));
	fake_run(driver);
	assert_false(connect->done);
	/* The next driver begins as with any daemon. */
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0);
	expect_quiet();
}

/* What the driver has put into a queue while no daemon was there is served behind the answer. */
static void a_connect_before_the_answer(void **state)
{
	struct fake_request *connect;
	uint8_t payload[300];
	uint32_t len = make_connect(payload, "db");

	(void)state;
	die();
	connect = fake_make(driver, TX, MP_OP_CONNECT, 3, 9, 0, payload, len);
	fake_offer(driver, connect);
	take_over(true);
	assert_int_equal(service->opened, 0);
	answer(expect_bye());
	assert_int_equal(le32toh(finish(connect).status), MP_OK);
	assert_int_equal(service->opened, 1);
	expect_state(close_at(3, 9, 0, MP_CLOSE_ABORT), MP_OK, MP_ST_CLOSED, 0);
	assert_int_equal(service->closed, 1);
}

/* The ring stops before the answer: nothing stays out [protocol.md 10.3]. */
static void a_stop_before_the_answer(void **state)
{
	struct fake_request *parked, *write;

	(void)state;
	connect_to(1, 1, "db");
	parked = fetch(1, 1, 0);
	write = fake_make(driver, TX, MP_OP_WRITE, 1, 1, 0, "x", 1);
	fake_offer(driver, write);
	take(TX);
	crash(true);
	fake_stop(driver, RX);
	fake_stop(driver, TX);
	fake_run(driver);
	finish(parked);
	finish(write);
	assert_int_equal(driver->queues[RX].ring.taken, 0);
}

/* --- How far the driver had come ------------------------------------------- */

static struct fake_request *say(uint32_t id, uint16_t event, uint16_t value, const void *payload,
				uint32_t len)
{
	uint8_t bytes[300];
	struct virtio_console_control header = {
		.id = htole32(id), .event = htole16(event), .value = htole16(value),
	};
	struct fake_request *r;

	memcpy(bytes, &header, 8);
	if (len)
		memcpy(bytes + 8, payload, len);
	r = fake_bytes(driver, 3, bytes, 8 + len);
	return r;
}

/* DEVICE_READY was taken, and nothing else done: it is acted on again. */
static void died_at_device_ready(void **state)
{
	struct fake_request *r;

	(void)state;
	device_set_features(driver->device, device_features(driver->device));
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_start(driver, i);
	fake_run(driver);
	r = say(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	take(3);
	crash(true);
	assert_true(r->done);
	fake_drop(driver, r);
	for (int i = 0; i < 8; i++)
		fake_room(driver, 2, 512);
	fake_kick(driver, 2);
	fake_run(driver);
	fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0);
	expect_quiet();
}

/* HELLO was said: it is said again, and the answer to either counts. */
static void died_before_the_answer_to_hello(void **state)
{
	struct fake_request *r;
	struct mp_hello hello;

	(void)state;
	device_set_features(driver->device, device_features(driver->device));
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_start(driver, i);
	for (int i = 0; i < 8; i++)
		fake_room(driver, 2, 512);
	fake_kick(driver, 2);
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	memcpy(&hello, fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0), 24);
	die();
	r = say(0xffffffff, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
	take_over(true);
	assert_true(r->done);
	fake_drop(driver, r);
	fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0);
	driver->version = MP_VERSION;
	fake_add_port(driver, PORT, MP_PORT_MULTI_OPEN, 4);
	expect_result(connect_to(1, 1, "db"), MP_OK, 0);
}

/* HELLO was answered, and the answer was taken: it is not said again behind that. */
static void died_at_the_answer_to_hello(void **state)
{
	struct fake_request *r;
	struct mp_hello hello;

	(void)state;
	device_set_features(driver->device, device_features(driver->device));
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_start(driver, i);
	for (int i = 0; i < 8; i++)
		fake_room(driver, 2, 512);
	fake_kick(driver, 2);
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	memcpy(&hello, fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0), 24);
	r = say(0xffffffff, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
	take(3);
	crash(true);
	assert_true(r->done);
	fake_drop(driver, r);
	driver->version = MP_VERSION;
	fake_add_port(driver, PORT, MP_PORT_MULTI_OPEN, 4);
	expect_result(connect_to(1, 1, "db"), MP_OK, 0);
}

/* PORT_READY was taken: the port is ready, and what is in its queues is served after BYE. */
static void died_at_port_ready(void **state)
{
	struct fake_request *r;

	(void)state;
	fake_boot(driver, true);
	fake_expect_control(driver, PORT, MP_CONTROL_PORT_MODE, MP_PORT_MULTI_OPEN);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_ADD, 1);
	driver->control_seen = driver->control_count;
	r = say(PORT, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	take(3);
	crash(true);
	assert_true(r->done);
	fake_drop(driver, r);
	answer(le16toh(driver->control[driver->control_seen].header.value));
	expect_result(connect_to(1, 1, "db"), MP_OK, 0);
}

/* A buffer for messages that was out comes back, and says nothing. */
static void a_message_that_was_not_sent(void **state)
{
	unsigned int seen = driver->control_count;

	(void)state;
	take(2);
	crash(true);
	assert_int_equal(le32toh(driver->control[seen].header.id), VIRTIO_CONSOLE_BAD_ID);
	assert_int_equal(driver->control[seen].len, 0);
	driver->control_seen++;
	expect_bye();
}

/* --- Older drivers --------------------------------------------------------- */

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

/* --- Another configuration ---------------------------------------------------- */

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

/* --- What no daemon leaves --------------------------------------------------- */

static void wild_values(void **state)
{
	static const struct device_kept wild[] = {
		{ .life = 5, .version = 3 }, { .life = 4 },
		{ .life = 4, .version = MP_VERSION + 1 },
		{ .life = 4, .version = 3, .ports[31].ready = 3 }, { .life = 1 },
		{ .life = 4, .version = 3, .ports[1].guest_open = 2 },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(wild) / sizeof(*wild); i++) {
		die();
		kept = wild[i];
		take_over(true);
		expect_quiet();
		for (unsigned int at = 0; at < sizeof(kept); at++)
			assert_int_equal(((uint8_t *)&kept)[at], 0);
	}
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0);
}

/* Any bytes: nothing else happens than that ports are there or not. */
static void random_values(void **state)
{
	(void)state;
	srand(1);
	for (int i = 0; i < 2000; i++) {
		die();
		for (unsigned int at = 0; at < sizeof(kept); at++)
			((uint8_t *)&kept)[at] = rand() % (at < 8 ? 8 : 3);
		take_over(true);
		driver->control_count = 0;
		answer(rand() % 4);
	}
}

#define TEST(name, how) cmocka_unit_test_setup_teardown(name, setup_##how, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_crash_costs_the_channels, ready_port),
		TEST(answers_with_another_number, ready_port),
		TEST(numbers_wrap, ready_port),
		TEST(the_driver_goes, ready_port),
		TEST(a_connect_before_the_answer, ready_port),
		TEST(a_stop_before_the_answer, ready_port),
		TEST(died_at_device_ready, new),
		TEST(died_before_the_answer_to_hello, new),
		TEST(died_at_the_answer_to_hello, new),
		TEST(died_at_port_ready, new),
		TEST(a_message_that_was_not_sent, ready_port),
		TEST(a_driver_of_version_2, version_2),
		TEST(two_crashes_with_version_2, version_2),
		TEST(an_open_classic_port, classic),
		TEST(a_closed_classic_port, classic),
		TEST(a_fixed_classic_port, classic),
		TEST(a_port_that_is_gone, ready_port),
		TEST(a_port_that_is_gone_and_a_reset, ready_port),
		TEST(a_port_that_is_gone_with_version_2, version_2),
		TEST(a_classic_port_that_is_gone, classic),
		TEST(a_port_that_is_new, ready_port),
		TEST(wild_values, ready_port),
		TEST(random_values, ready_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
