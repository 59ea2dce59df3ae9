// SPDX-License-Identifier: MIT
/*
 * Turns: what is slow in one queue keeps the others waiting for about a millisecond. Time is the
 * fake clock's, and passes only in calls of the service.
 */
#include "device_world.h"

#define SIZE	 512
#define SLOW_US	 1000
#define TURN_US	 1000
/* A turn ends with the call in which its time ran out. */
#define LIMIT_US (TURN_US + SLOW_US)
#define MANY	 100

static struct fake_request *requests[MANY];

static int setup(void **state)
{
	(void)state;
	world_create(SIZE, 256);
	world_boot(8);
	fake_control(driver, FIXED, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	expect_state(connect_to(1, 1, "idle"), MP_OK, CONNECTED, 0);
	expect_state(connect_to(0, 1, "db"), MP_OK, CONNECTED, 0);
	return 0;
}

static unsigned int count_done(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < MANY; i++)
		count += requests[i]->done;
	return count;
}

static void poll_all(void)
{
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_poll_queue(driver, i);
}

/* One round of the loop: what was deferred. Returns how long that took. */
static uint64_t round_us(void)
{
	uint64_t before = driver->spent_us;

	assert_true(driver->woken);
	driver->woken = false;
	core_run(device_core(driver->device));
	poll_all();
	return driver->spent_us - before;
}

static void drop_all(void)
{
	driver->manual = false;
	fake_run(driver);
	for (unsigned int i = 0; i < MANY; i++)
		finish(requests[i]);
}

/* CONNECTs of port @id, visible and not kicked for. */
static void offer_connects(unsigned int from, unsigned int to, unsigned int id)
{
	uint8_t payload[sizeof(struct mp_connect) + 16];
	uint32_t len = make_connect(payload, id == PORT ? "slow" : "");

	for (unsigned int i = from; i < to; i++) {
		requests[i] = fake_make(driver, tx_of(id), MP_OP_CONNECT,
					i - from + (id == PORT ? 2 : 0), 2, 0, payload, len);
		fake_offer(driver, requests[i]);
	}
}

/* Programs are started by a hundred: whoever is not behind them in the same queue goes on. */
static void slow_opens(void **state)
{
	const struct virtio_console_control header = { .event = htole16(77) };
	struct fake_request *r, *c;
	unsigned int rounds = 1;

	(void)state;
	offer_connects(0, MANY, PORT);
	service->open_us = SLOW_US;
	driver->manual = true;
	r = fake_make(driver, RX, MP_OP_READ, 0, 1, 0, NULL, 16);
	fake_header(driver, r)->flags = htole16(MP_READ_NOW);
	fake_offer(driver, r);
	fake_kick(driver, TX);
	poll_all();
	assert_true(driver->spent_us <= LIMIT_US);
	/* What is done can be seen at once. */
	assert_int_equal(count_done(), service->opened - 2);
	assert_true(count_done());
	/* The control queue, at its next kick; the other queue of the port, in its turn. */
	c = fake_bytes(driver, 3, &header, sizeof(header));
	fake_kick(driver, 3);
	poll_all();
	assert_true(c->done);
	fake_drop(driver, c);
	for (; !r->done; rounds++)
		assert_true(round_us() <= LIMIT_US);
	assert_true(rounds <= 3);
	expect_result(finish(r), MP_AGAIN, 0);
	for (; count_done() < MANY; rounds++)
		assert_true(round_us() <= LIMIT_US);
	assert_true(rounds >= MANY * SLOW_US / LIMIT_US);
	drop_all();
}

/* Two ports start programs: each round serves one of them, and the next the other. */
static void ports_in_turn(void **state)
{
	unsigned int few = 16, seen[2] = { 0 };

	(void)state;
	offer_connects(0, few, FIXED);
	offer_connects(few, MANY, PORT);
	service->open_us = SLOW_US;
	driver->manual = true;
	fake_kick(driver, tx_of(FIXED));
	fake_kick(driver, TX);
	poll_all();
	for (int i = 0; i < 8; i++)
		assert_true(round_us() <= LIMIT_US);
	for (unsigned int i = 0; i < MANY; i++)
		seen[i < few] += requests[i]->done;
	assert_in_range(seen[0], 3, 12);
	assert_in_range(seen[1], 3, 12);
	drop_all();
}

/* Many cheap ones are one turn. */
static void fast_opens(void **state)
{
	(void)state;
	offer_connects(0, MANY, PORT);
	service->open_us = 1;
	driver->manual = true;
	fake_kick(driver, TX);
	poll_all();
	assert_int_equal(count_done(), MANY);
	drop_all();
}

static struct fake_request *offer_read(uint32_t slot, uint64_t offset, uint32_t len)
{
	struct fake_request *r = fake_make(driver, RX, MP_OP_READ, slot, 1, offset, NULL, len);

	fake_offer(driver, r);
	return r;
}

static struct fake_request *offer_cancel(uint32_t slot)
{
	struct fake_request *r = fake_make(driver, TX, MP_OP_CANCEL, slot, 1, 0, NULL, 0);

	fake_offer(driver, r);
	return r;
}

/* Channel 0 can be read from for ever; nothing runs any more but what the test runs. */
static void speak(unsigned int read_us)
{
	fake_say(service->last, "x", 1);
	service->last->is_endless = true;
	service->read_us = read_us;
	driver->manual = true;
}

/*
 * CANCEL takes the receive queue first [protocol.md 8.2], a turn at a time. What comes there
 * during these turns does not make it wait longer.
 */
static void cancel_behind_slow_reads(void **state)
{
	struct fake_request *c, *late[64], *last;

	(void)state;
	speak(SLOW_US);
	for (unsigned int i = 0; i < MANY; i++)
		requests[i] = offer_read(0, 16 * i, 16);
	c = offer_cancel(0);
	fake_kick(driver, TX);
	poll_all();
	assert_true(driver->spent_us < MANY * SLOW_US / 4);
	assert_false(c->done);
	for (unsigned int i = 0; i < 64; i++)
		late[i] = offer_read(0, 16 * (MANY + i), 16);
	while (!c->done)
		assert_true(round_us() < MANY * SLOW_US / 4);
	assert_int_equal(count_done(), MANY);
	last = late[63];
	assert_true(!last->done || last->serial > c->serial);
	expect_result(c->result, MP_OK, 0);
	drop_all();
	finish(c);
	for (unsigned int i = 0; i < 64; i++)
		expect_result(finish(late[i]), MP_OK, 16);
}

/* The same, for bytes; and the READ that is parked in these turns comes back before the answer. */
static void cancel_behind_many_bytes(void **state)
{
	struct fake_request *c, *parked;
	const uint32_t len = 128 << 10;
	uint64_t before = stats_now().core.bytes_in;

	(void)state;
	speak(0);
	for (unsigned int i = 0; i < MANY; i++)
		requests[i] = offer_read(0, (uint64_t)len * i, len);
	parked = offer_read(1, 0, len);
	c = offer_cancel(1);
	fake_kick(driver, TX);
	poll_all();
	assert_in_range(stats_now().core.bytes_in - before, 4 << 20, (4 << 20) + len);
	assert_false(c->done);
	while (stats_now().core.bytes_in - before < (uint64_t)len * MANY)
		round_us();
	assert_true(c->done && parked->done && !stats_now().parked);
	assert_true(parked->serial < c->serial);
	drop_all();
	finish(c);
	finish(parked);
}

/* A ring that stops in the middle of it: the next life owes nothing to the last. */
static void stopped_in_between(void **state)
{
	struct fake_request *c, *r;

	(void)state;
	speak(SLOW_US);
	for (unsigned int i = 0; i < MANY; i++)
		requests[i] = offer_read(0, 16 * i, 16);
	c = offer_cancel(1);
	fake_kick(driver, TX);
	poll_all();
	assert_false(c->done);
	fake_stop(driver, RX);
	fake_start(driver, RX);
	/* It takes all that is there then, this one too: not to be parked behind it. */
	r = offer_read(1, 0, 16);
	while (!c->done)
		round_us();
	assert_true(r->done);
	drop_all();
	finish(c);
	expect_result(finish(r), MP_CANCELLED, 0);
}

/* Fixed ports that try again, all at once, do not keep other limits waiting. */
static void retries_in_turn(void **state)
{
	unsigned int opened;
	uint64_t before;

	(void)state;
	service->answer = -MP_REASON_NOT_LISTENING;
	offer_connects(0, 16, FIXED);
	fake_kick(driver, tx_of(FIXED));
	for (unsigned int i = 0; i < 16; i++)
		finish(requests[i]);
	service->open_us = SLOW_US;
	driver->now += LINGER_MS - 1;
	/* One more limit, which ends when all of those are late. */
	service->last->is_endless = true;
	expect_state(close_at(0, 1, 5, 0), MP_OK, MP_ST_CONNECTED | MP_ST_OUT, 0);
	service->last->is_endless = false;
	driver->now += 10 * LINGER_MS;
	assert_true(stats_now().core.channels > 17);
	before = driver->spent_us;
	core_tick(device_core(driver->device));
	assert_int_equal(stats_now().core.channels, 17);
	assert_int_equal(driver->spent_us, before);
	opened = service->opened;
	while (driver->woken)
		assert_true(round_us() <= LIMIT_US);
	assert_int_equal(service->opened - opened, 16);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(slow_opens), TEST(ports_in_turn), TEST(fast_opens),
		TEST(cancel_behind_slow_reads), TEST(cancel_behind_many_bytes),
		TEST(stopped_in_between), TEST(retries_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
