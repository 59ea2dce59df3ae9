// SPDX-License-Identifier: MIT
/* A driver of version 3: BYE, and how far the driver had come when the daemon ended. */
#include "adopt_world.h"
#include "handover_world.h"

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

static struct fake_request *offer_connect(unsigned int queue, uint32_t slot, uint32_t generation)
{
	uint8_t payload[300];
	uint32_t len = make_connect(payload, queue == TX ? "db" : "");
	struct fake_request *connect = fake_make(driver, queue, MP_OP_CONNECT, slot, generation, 0,
						 payload, len);

	fake_offer(driver, connect);
	return connect;
}

/*
 * What the driver has put into a queue before it hears of the next daemon is of channels that end
 * as it does: no service is asked.
 */
static void a_connect_before_bye(void **state)
{
	struct fake_request *connect, *again;

	(void)state;
	die();
	connect = offer_connect(TX, 3, 9);
	take_over(true);
	fake_run(driver);
	assert_false(connect->done);
	answer(expect_bye());
	assert_int_equal(le32toh(finish(connect).status), MP_BUSY);
	assert_int_equal(service->opened, 0);
	expect_result(close_at(3, 9, 0, MP_CLOSE_ABORT), MP_STALE, 0);
	/* All that comes later is served. */
	again = offer_connect(TX, 3, 10);
	fake_kick(driver, TX);
	assert_int_equal(le32toh(finish(again).status), MP_OK);
	assert_int_equal(service->opened, 1);
}

/* Nor is one that was left by two daemons. */
static void a_connect_before_two_byes(void **state)
{
	struct fake_request *connects[2];

	(void)state;
	die();
	connects[0] = offer_connect(TX, 3, 9);
	take_over(true);
	expect_bye();
	die();
	connects[1] = offer_connect(TX, 4, 10);
	take_over(true);
	answer(expect_bye());
	for (int i = 0; i < 2; i++)
		assert_int_equal(le32toh(finish(connects[i]).status), MP_BUSY);
	assert_int_equal(service->opened, 0);
}

/* One that comes behind BYE and before the answer may be of a channel that lives on. */
static void a_connect_before_the_answer(void **state)
{
	struct fake_request *connect;
	uint16_t number;

	(void)state;
	crash(true);
	number = expect_bye();
	connect = offer_connect(TX, 3, 9);
	fake_run(driver);
	assert_int_equal(service->opened, 0);
	answer(number);
	assert_int_equal(le32toh(finish(connect).status), MP_OK);
	assert_int_equal(service->opened, 1);
	expect_state(close_at(3, 9, 0, MP_CLOSE_ABORT), MP_OK, MP_ST_CLOSED, 0);
	assert_int_equal(service->closed, 1);
}

static void fixed_ready(void)
{
	fake_control(driver, FIXED, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_NAME, 1);
}

static uint16_t expect_bye_with_fixed(void)
{
	uint16_t number = le16toh(driver->control[driver->control_seen].header.value);

	fake_expect_control(driver, 0xffffffff, MP_CONTROL_BYE, number);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_NAME, 1);
	return number;
}

static uint32_t close_fixed(uint32_t slot, uint32_t generation)
{
	struct fake_request *r = fake_make(driver, tx_of(FIXED), MP_OP_CLOSE, slot, generation, 0,
					   NULL, 0);

	fake_header(driver, r)->flags = htole16(MP_CLOSE_ABORT);
	fake_offer(driver, r);
	fake_kick(driver, tx_of(FIXED));
	return le32toh(finish(r).status);
}

/* No client of the host goes to a channel of which the driver only waits for the end. */
static void a_client_is_given_to_no_channel_that_ends(void **state)
{
	struct fake_request *connect, *again;

	(void)state;
	service->has_clients = true;
	fixed_ready();
	die();
	connect = offer_connect(tx_of(FIXED), 0, 1);
	take_over(true);
	answer(expect_bye_with_fixed());
	assert_int_equal(service->opened, 0);
	/* As the driver does: CLOSE with the next generation's CONNECT. */
	finish(connect);
	assert_int_equal(close_fixed(0, 1), MP_STALE);
	again = offer_connect(tx_of(FIXED), 0, 2);
	fake_kick(driver, tx_of(FIXED));
	assert_int_equal(le32toh(finish(again).status), MP_OK);
	assert_int_equal(service->opened, 1);
	/* A process gives its channel up: the client sees that. */
	assert_int_equal(close_fixed(0, 2), MP_OK);
	assert_int_equal(service->returned, 0);
	assert_int_equal(service->aborted, 1);
}

/* One that got a channel of which that is not known goes to the next. */
static void a_client_is_given_to_another(void **state)
{
	struct fake_request *connect, *again;
	uint16_t number;

	(void)state;
	service->has_clients = true;
	fixed_ready();
	crash(true);
	number = expect_bye_with_fixed();
	connect = offer_connect(tx_of(FIXED), 0, 1);
	answer(number);
	assert_int_equal(le32toh(finish(connect).status), MP_OK);
	assert_int_equal(service->opened, 1);
	assert_int_equal(close_fixed(0, 1), MP_OK);
	assert_int_equal(service->returned, 1);
	again = offer_connect(tx_of(FIXED), 0, 2);
	fake_kick(driver, tx_of(FIXED));
	finish(again);
	assert_int_equal(close_fixed(0, 2), MP_OK);
	assert_int_equal(service->returned, 1);
}

/* The next program in the process, with all channels. */
static void restart(void)
{
	struct record *written = world_leave(), *record = record_open(dup(record_finish(written)));
	const struct device_kept last = kept;

	assert_non_null(record);
	service->is_leaving = true;
	device_destroy(driver->device);
	service->is_leaving = false;
	kept = last;
	driver->device = device_create(&world->config, &driver->env);
	assert_non_null(driver->device);
	device_hand_over(driver->device, record);
	assert_true(record_is_good(record));
	record_destroy(record);
	record_destroy(written);
	world_go_on(0);
}

/* A planned restart in between loses neither of the two. */
static void a_client_and_a_restart(void **state)
{
	struct fake_request *connects[2];
	uint16_t number;

	(void)state;
	service->has_clients = true;
	fixed_ready();
	die();
	connects[0] = offer_connect(tx_of(FIXED), 0, 1);
	take_over(true);
	number = expect_bye_with_fixed();
	restart();
	connects[1] = offer_connect(tx_of(FIXED), 1, 2);
	answer(number);
	assert_int_equal(le32toh(finish(connects[0]).status), MP_BUSY);
	assert_int_equal(le32toh(finish(connects[1]).status), MP_OK);
	restart();
	assert_int_equal(close_fixed(1, 2), MP_OK);
	assert_int_equal(service->returned, 1);
}

/* The guest was paused when the daemon ended: its queues stand, and start again behind BYE. */
static void a_connect_in_a_queue_that_stands(bool is_restarted)
{
	struct fake_request *connect, *again;
	uint16_t number;

	connect = offer_connect(TX, 3, 9);
	fake_stop(driver, TX);
	crash(true);
	number = expect_bye();
	if (is_restarted)
		restart();
	fake_start(driver, TX);
	again = offer_connect(TX, 4, 10);
	answer(number);
	assert_int_equal(le32toh(finish(connect).status), MP_BUSY);
	assert_int_equal(le32toh(finish(again).status), MP_OK);
	assert_int_equal(service->opened, 1);
}

static void a_connect_of_a_paused_guest(void **state)
{
	(void)state;
	a_connect_in_a_queue_that_stands(false);
}

static void a_connect_of_a_paused_guest_and_a_restart(void **state)
{
	(void)state;
	a_connect_in_a_queue_that_stands(true);
}

/* A pause behind BYE makes nothing older than it is. */
static void a_pause_before_the_answer(void **state)
{
	struct fake_request *connect, *again;
	uint16_t number;

	(void)state;
	die();
	connect = offer_connect(TX, 3, 9);
	take_over(true);
	number = expect_bye();
	again = offer_connect(TX, 4, 10);
	fake_stop(driver, TX);
	fake_start(driver, TX);
	answer(number);
	assert_int_equal(le32toh(finish(connect).status), MP_BUSY);
	assert_int_equal(le32toh(finish(again).status), MP_OK);
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

/* --- What no daemon leaves --------------------------------------------------- */

static void wild_values(void **state)
{
	static const struct device_kept wild[] = {
		{ .life = 5, .version = 3 }, { .life = 4 },
		{ .life = 4, .version = MP_VERSION + 1 },
		{ .life = 4, .version = 3, .ports[31].ready = 3 }, { .life = 1 },
		{ .life = 4, .version = 3, .ports[1].guest_open = 2 },
		{ .life = 4, .version = 3, .resumed = 1 }, { .resumed = 2 },
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
		kept.resumed = rand() % 8 == 7;
		take_over(true);
		driver->control_count = 0;
		answer(rand() % 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_crash_costs_the_channels, ready_port),
		TEST(answers_with_another_number, ready_port),
		TEST(numbers_wrap, ready_port),
		TEST(the_driver_goes, ready_port),
		TEST(a_connect_before_bye, ready_port),
		TEST(a_connect_before_two_byes, ready_port),
		TEST(a_connect_before_the_answer, ready_port),
		TEST(a_client_is_given_to_no_channel_that_ends, ready_port),
		TEST(a_client_is_given_to_another, ready_port),
		TEST(a_client_and_a_restart, ready_port),
		TEST(a_connect_of_a_paused_guest, ready_port),
		TEST(a_connect_of_a_paused_guest_and_a_restart, ready_port),
		TEST(a_pause_before_the_answer, ready_port),
		TEST(a_stop_before_the_answer, ready_port),
		TEST(died_at_device_ready, new),
		TEST(died_before_the_answer_to_hello, new),
		TEST(died_at_the_answer_to_hello, new),
		TEST(died_at_port_ready, new),
		TEST(a_message_that_was_not_sent, ready_port),
		TEST(wild_values, ready_port),
		TEST(random_values, ready_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
