// SPDX-License-Identifier: MIT
/* SHUTDOWN, CANCEL, CLOSE, and the two queues in every order [protocol.md 8]. */
#include "device_world.h"

#define IN_ENDED  (MP_ST_IN | MP_ST_IN_END)

static int setup(void **state)
{
	(void)state;
	world_create(64, 256);
	world_boot(8);
	connect_to(0, 1, "db");
	return 0;
}

/* --- SHUTDOWN ------------------------------------------------------------------ */

static void shut_write(void **state)
{
	(void)state;
	service->last->out_room = 4;
	expect_result(write_to(0, 1, 0, "abcdef", 6), MP_OK, 4);
	expect_result(shut(0, 1, 3, MP_SHUT_WRITE), MP_INVALID, 0);	/* below what was taken */
	/* It overtakes the refused bytes and cuts nothing off. */
	expect_state(shut(0, 1, 6, MP_SHUT_WRITE), MP_OK, MP_ST_CONNECTED, 0);
	assert_false(service->last->shut_write);
	expect_result(shut(0, 1, 7, MP_SHUT_WRITE), MP_INVALID, 0);	/* another end */
	expect_result(shut(0, 1, 6, MP_SHUT_WRITE), MP_OK, 0);		/* the same again */
	fake_take(service->last, 10);
	expect_event(0, 1, CONNECTED, 0);
	expect_result(write_to(0, 1, 4, "efg", 3), MP_BAD_STATE, 0);	/* beyond the end */
	expect_state(write_to(0, 1, 4, "ef", 2), MP_OK, CONNECTED | MP_ST_OUT_END, 0);
	assert_true(service->last->shut_write);
	expect_result(write_to(0, 1, 6, "g", 1), MP_BAD_STATE, 0);
	expect_result(shut(0, 1, 6, MP_SHUT_WRITE), MP_OK, 0);
	/* The other direction lives on. */
	fake_say(service->last, "answer", 6);
	expect_result(read_from(0, 1, 0, NULL, 100), MP_OK, 6);
	expect_state(shut(1, 1, 0, MP_SHUT_WRITE), MP_STALE, 0, 0);
	expect_result(shut(0, 1, 6, 0), MP_INVALID, 0);
	expect_result(shut(0, 1, 6, 4), MP_INVALID, 0);
}

static void shut_write_at_once(void **state)
{
	(void)state;
	expect_state(shut(0, 1, 0, MP_SHUT_WRITE), MP_OK, CONNECTED | MP_ST_OUT_END, 0);
	assert_true(service->last->shut_write);
}

static void shut_read(void **state)
{
	struct fake_request *r = fetch(0, 1, 0);

	(void)state;
	expect_state(shut(0, 1, 99, MP_SHUT_READ), MP_OK, CONNECTED | IN_ENDED, 0);
	expect_result(finish(r), MP_CANCELLED, 0);
	assert_true(service->last->shut_read);
	expect_state(read_from(0, 1, 0, NULL, 9), MP_OK, CONNECTED | IN_ENDED, 0);
	expect_result(shut(0, 1, 0, MP_SHUT_READ), MP_OK, 0);
	fake_notify(service->last);
	expect_no_event();
	expect_result(write_to(0, 1, 0, "x", 1), MP_OK, 1);
	expect_result(shut(0, 1, 1, MP_SHUT_READ | MP_SHUT_WRITE), MP_OK, 0);
	expect_result(close_at(0, 1, 1, 0), MP_OK, 0);
	assert_null(service->last);		/* the service has nothing more to say */
	expect_state(close_at(0, 1, 1, 0), MP_STALE, 0, 0);
}

/* --- CLOSE ---------------------------------------------------------------------- */

static void close_with_bytes_to_come(void **state)
{
	struct fake_request *r = fetch(0, 1, 0);

	(void)state;
	service->last->out_room = 3;
	expect_result(write_to(0, 1, 0, "abcdef", 6), MP_OK, 3);
	expect_state(close_at(0, 1, 6, 0), MP_OK, MP_ST_CONNECTED, 0);
	expect_result(finish(r), MP_CANCELLED, 0);
	expect_result(close_at(0, 1, 6, 0), MP_BAD_STATE, 0);
	expect_result(read_from(0, 1, 0, NULL, 9), MP_BAD_STATE, 0);
	expect_result(finish(fetch(0, 1, 0)), MP_BAD_STATE, 0);
	expect_result(shut(0, 1, 6, MP_SHUT_WRITE), MP_BAD_STATE, 0);
	expect_result(connect_to(0, 1, "db"), MP_BAD_STATE, 0);
	expect_result(cancel(0, 1), MP_OK, 0);
	/* A service that waits for its reader is heard, so that it takes the rest. */
	fake_say(service->last, "who reads this", 14);
	assert_int_equal(service->last->in_len, 0);
	expect_no_event();
	fake_take(service->last, 10);
	expect_event(0, 1, CONNECTED, 0);
	expect_result(write_to(0, 1, 3, "defg", 4), MP_BAD_STATE, 0);
	expect_state(write_to(0, 1, 3, "def", 3), MP_OK, CONNECTED | MP_ST_OUT_END, 0);
	assert_true(service->last->shut_write);
	assert_memory_equal(service->last->out, "abcdef", 6);
	fake_say(service->last, "and this", 8);
	assert_non_null(service->last);
	fake_end(service->last);
	assert_int_equal(service->closed, 1);
	assert_int_equal(service->aborted, 0);
	expect_event(0, 1, MP_ST_CLOSED, 0);
	expect_no_limit();
}

static void close_ended_service(void **state)
{
	(void)state;
	/* It has ended already: CLOSED comes with the result. */
	service->last->in_end = true;
	expect_result(write_to(0, 1, 0, "x", 1), MP_OK, 1);
	fake_notify(service->last);
	driver->event_seen = driver->event_count;
	expect_state(close_at(0, 1, 1, 0), MP_OK, MP_ST_CLOSED, 0);
	/* It takes no more: the final offset cannot be reached, and need not be. */
	connect_to(1, 1, "db");
	service->last->out_room = 1;
	service->last->out_error = -EPIPE;
	expect_result(write_to(1, 1, 0, "xyz", 3), MP_OK, 1);
	expect_state(close_at(1, 1, 3, 0), MP_OK, CONNECTED | MP_ST_OUT_END, 0);
	expect_result(write_to(1, 1, 1, "yz", 2), MP_BAD_STATE, 0);
	fake_end(service->last);
	expect_event(1, 1, MP_ST_CLOSED, 0);
	/* The same, learnt while closing. */
	connect_to(2, 1, "db");
	service->last->out_room = 0;
	expect_result(write_to(2, 1, 0, "xyz", 3), MP_AGAIN, 0);
	expect_result(close_at(2, 1, 3, 0), MP_OK, 0);
	service->last->out_error = -EPIPE;
	fake_notify(service->last);
	expect_event(2, 1, CONNECTED, 0);
	expect_state(write_to(2, 1, 0, "xyz", 3), MP_ENDED, CONNECTED | MP_ST_OUT_END, 0);
	fake_end(service->last);
	expect_event(2, 1, MP_ST_CLOSED, 0);
	assert_int_equal(service->aborted, 0);
}

static void failure_while_closing(void **state)
{
	(void)state;
	expect_result(close_at(0, 1, 0, 0), MP_OK, 0);
	service->last->in_error = -EIO;
	fake_notify(service->last);
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_RESET);
	connect_to(1, 1, "db");
	service->last->out_room = 1;
	service->last->out_error = -EIO;
	expect_result(close_at(1, 1, 3, 0), MP_OK, 0);
	expect_state(write_to(1, 1, 0, "abc", 3), MP_OK, MP_ST_CLOSED, MP_REASON_RESET);
	expect_state(write_to(1, 1, 1, "bc", 2), MP_STALE, 0, 0);
	assert_int_equal(service->closed, 2);
}

static void linger_limit(void **state)
{
	(void)state;
	connect_to(1, 1, "db");
	expect_result(close_at(0, 1, 0, 0), MP_OK, 0);
	fake_pass_time(driver, 1000);
	expect_result(close_at(1, 1, 5, 0), MP_OK, 0);
	fake_pass_time(driver, LINGER_MS - 1001);
	expect_no_event();
	fake_pass_time(driver, 1);
	/* It has got everything: it is left, and nothing is dropped. */
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	assert_int_equal(service->aborted + service->cut, 0);
	expect_no_event();
	/* With ABORT in between nothing is waited for. */
	expect_state(close_at(1, 1, 0, MP_CLOSE_ABORT), MP_OK, MP_ST_CLOSED, 0);
	assert_int_equal(service->aborted, 1);
	assert_int_equal(stats_now().core.aborted, 0);
	expect_no_limit();
}

/* A service that never stops talking gets bounded attention, then the limit. */
static void endless_service(void **state)
{
	enum { PER_MS = 256 * 1024 };
	static uint8_t bytes[1 << 20];
	struct fake_request *r;
	unsigned int rounds = 0;

	(void)state;
	service->last->in_end = true;
	fake_append(&service->last->in, &service->last->in_len, &service->last->in_size, bytes,
		    sizeof(bytes));
	service->last->owes_readable = false;
	r = send_on(TX, MP_OP_CLOSE, 0, 1, 0, NULL, 0);
	service->last->peer->ops->readable(service->last->peer);
	for (size_t left = sizeof(bytes);; left -= PER_MS) {
		/* The others get their turn in between, and a millisecond has a bound. */
		while (driver->woken) {
			size_t before = service->last->in_len;

			driver->woken = false;
			core_run(device_core(driver->device));
			rounds++;
			assert_true(!service->last || before - service->last->in_len <= 65536);
		}
		if (!service->last)
			break;
		assert_int_equal(service->last->in_len, left - PER_MS);
		core_run(device_core(driver->device));
		assert_int_equal(service->last->in_len, left - PER_MS);
		assert_int_equal(core_deadline(device_core(driver->device)), driver->now + 1);
		driver->now++;
		core_tick(device_core(driver->device));
	}
	assert_true(rounds > 8);
	assert_null(service->last);
	expect_result(finish(r), MP_OK, 0);
	expect_event(0, 1, MP_ST_CLOSED, 0);
}

/* Those that never stop talking do not keep one from its turn that soon would. */
static void closing_channels_take_turns(void **state)
{
	enum { TALKERS = 8 };
	static uint8_t bytes[100 << 10];
	struct fake_request *closes[TALKERS + 1];
	struct fake_stream *job;

	(void)state;
	for (uint32_t i = 1; i <= TALKERS; i++) {
		connect_to(i, 1, "db");
		service->last->is_endless = true;
		service->last->owes_readable = false;
		service->last->peer->ops->readable(service->last->peer);
	}
	connect_to(TALKERS + 1, 1, "db");
	job = service->last;
	fake_append(&job->in, &job->in_len, &job->in_size, bytes, sizeof(bytes));
	job->in_end = true;
	job->owes_readable = false;
	job->peer->ops->readable(job->peer);
	fake_run(driver);
	driver->event_seen = driver->event_count;
	driver->manual = true;
	for (uint32_t i = 0; i <= TALKERS; i++)
		closes[i] = send_on(TX, MP_OP_CLOSE, i + 1, 1, 0, NULL, 0);
	for (int ms = 0; ms < 8 && service->last; ms++) {
		while (driver->woken) {
			driver->woken = false;
			core_run(device_core(driver->device));
		}
		driver->now++;
		core_run(device_core(driver->device));
	}
	assert_null(service->last);
	/* The others talk on, each in its turn. */
	for (uint32_t i = 0; i <= TALKERS; i++) {
		fake_poll_queue(driver, TX);
		assert_true(closes[i]->done);
		fake_drop(driver, closes[i]);
	}
	fake_poll_queue(driver, RX);
	expect_event(TALKERS + 1, 1, MP_ST_CLOSED, 0);
	assert_int_equal(service->aborted, 0);
	driver->manual = false;
}

static void abort_at_once(void **state)
{
	struct fake_request *r = fetch(0, 1, 0);

	(void)state;
	service->last->out_room = 0;
	expect_state(close_at(0, 1, 1000, MP_CLOSE_ABORT), MP_OK, MP_ST_CLOSED, 0);
	expect_result(finish(r), MP_CANCELLED, 0);
	assert_int_equal(service->aborted, 1);
	expect_no_event();
	expect_result(close_at(0, 1, 0, 2), MP_INVALID, 0);
}

/* A close must get through even from a driver that lost count. */
static void impossible_final_offset(void **state)
{
	(void)state;
	expect_result(write_to(0, 1, 0, "abc", 3), MP_OK, 3);
	expect_state(close_at(0, 1, 2, 0), MP_OK, MP_ST_CLOSED, MP_REASON_RESET);
	connect_to(0, 2, "db");
	expect_result(shut(0, 2, 10, MP_SHUT_WRITE), MP_OK, 0);
	expect_state(close_at(0, 2, 11, 0), MP_OK, MP_ST_CLOSED, MP_REASON_RESET);
	assert_int_equal(service->aborted, 2);
}

/* --- Two queues ------------------------------------------------------------------- */

enum step { KICK_RX, KICK_TX, SAY, STEPS };

static void take_step(enum step step)
{
	if (step == KICK_RX)
		device_kick(driver->device, RX);
	else if (step == KICK_TX)
		device_kick(driver->device, TX);
	else if (service->last)
		fake_say(service->last, "bytes", 5);
}

/* A READ and then @op are visible; what happens first is @order. */
static void race(uint32_t generation, uint16_t op, uint16_t flags, const enum step *order)
{
	struct fake_request *read = fake_make(driver, RX, MP_OP_READ, 1, generation, 0, NULL, 64);
	struct fake_request *r = fake_make(driver, TX, op, 1, generation, 0, NULL, 0);
	struct mp_result result;

	fake_header(driver, r)->flags = htole16(flags);
	fake_offer(driver, read);
	fake_offer(driver, r);
	for (int i = 0; i < STEPS; i++)
		take_step(order[i]);
	fake_run(driver);
	/* Once both have been looked at, the READ is never still there. */
	assert_true(read->done && r->done);
	assert_int_equal(stats_now().parked, 0);
	result = read->result;
	if (le32toh(result.status) == MP_OK) {
		expect_result(result, MP_OK, 5);
		assert_memory_equal(fake_payload(driver, read), "bytes", 5);
	} else {
		expect_result(result, MP_CANCELLED, 0);
	}
	/* Bytes are in the read or still with the service, never gone; but CLOSE discards. */
	if (op == MP_OP_CANCEL) {
		uint64_t offset = le32toh(result.count);

		expect_result(read_from(1, generation, offset, NULL, 64),
			      offset ? MP_AGAIN : MP_OK, offset ? 0 : 5);
	}
	expect_result(finish(r), MP_OK, 0);
	fake_drop(driver, read);
	close_at(1, generation, 0, MP_CLOSE_ABORT);
	fake_run(driver);
}

static void every_order(void **state)
{
	static const enum step orders[][STEPS] = {
		{ KICK_RX, KICK_TX, SAY }, { KICK_RX, SAY, KICK_TX }, { KICK_TX, KICK_RX, SAY },
		{ KICK_TX, SAY, KICK_RX }, { SAY, KICK_RX, KICK_TX }, { SAY, KICK_TX, KICK_RX },
	};
	uint32_t generation = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		connect_to(1, generation, "db");
		race(generation++, MP_OP_CANCEL, 0, orders[i]);
		connect_to(1, generation, "db");
		race(generation++, MP_OP_CLOSE, 0, orders[i]);
		connect_to(1, generation, "db");
		race(generation++, MP_OP_CLOSE, MP_CLOSE_ABORT, orders[i]);
	}
}

/* A CANCEL takes what is visible of all channels, and leaves theirs parked. */
static void cancel_is_exact(void **state)
{
	struct fake_request *reads[3], *r;

	(void)state;
	for (uint32_t i = 1; i < 3; i++)
		connect_to(i, 1, "db");
	for (uint32_t i = 0; i < 3; i++) {
		reads[i] = fake_make(driver, RX, MP_OP_READ, i, 1, 0, NULL, 64);
		fake_offer(driver, reads[i]);
	}
	r = send_on(TX, MP_OP_CANCEL, 1, 1, 0, NULL, 0);
	expect_result(finish(r), MP_OK, 0);
	expect_result(finish(reads[1]), MP_CANCELLED, 0);
	assert_false(reads[0]->done || reads[2]->done);
	assert_int_equal(stats_now().parked, 2);
	fake_say(service->last, "2", 1);
	expect_result(finish(reads[2]), MP_OK, 1);
	/* With a stopped receive queue there is nothing visible and nothing parked. */
	fake_stop(driver, RX);
	fake_run(driver);
	expect_result(finish(reads[0]), MP_CANCELLED, 0);
	expect_result(cancel(0, 1), MP_OK, 0);
	expect_result(close_at(0, 1, 0, MP_CLOSE_ABORT), MP_OK, 0);
}

/* Thousands of lives through one slot: nothing stays behind. */
static void many_lives(void **state)
{
	(void)state;
	for (uint32_t generation = 1; generation <= 3000; generation++) {
		struct fake_request *r;

		expect_result(connect_to(5, generation, "db"), MP_OK, 0);
		r = fetch(5, generation, 0);
		expect_result(write_to(5, generation, 0, "x", 1), MP_OK, 1);
		expect_result(close_at(5, generation, 1, generation & 1), MP_OK, 0);
		expect_result(finish(r), MP_CANCELLED, 0);
		if (service->last)
			fake_end(service->last);
	}
	assert_int_equal(stats_now().core.channels, 1);
	assert_int_equal(service->opened, service->closed + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(shut_write), TEST(shut_write_at_once), TEST(shut_read),
		TEST(close_with_bytes_to_come), TEST(close_ended_service),
		TEST(failure_while_closing), TEST(linger_limit),
		TEST(endless_service), TEST(closing_channels_take_turns),
		TEST(abort_at_once), TEST(impossible_final_offset), TEST(every_order),
		TEST(cancel_is_exact), TEST(many_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
