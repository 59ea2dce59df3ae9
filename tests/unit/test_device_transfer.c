// SPDX-License-Identifier: MIT
/* READ and WRITE: order, partial moves, arming, parking, odd chains. */
#include "device_world.h"

#define SIZE 64		/* of a ring */

static int setup(void **state)
{
	(void)state;
	world_create(SIZE, 256);
	world_boot(8);
	connect_to(0, 1, "db");
	return 0;
}

static void writes_in_order(void **state)
{
	struct fake_request *r[4];
	struct mp_result result;

	(void)state;
	service->last->out_room = 5;
	/* Four in flight; the second moves less than it offers. */
	r[0] = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 0, "abcd", 4);
	r[1] = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 4, "efgh", 4);
	r[2] = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 8, "ijkl", 4);
	r[3] = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 12, "mnop", 4);
	for (int i = 0; i < 4; i++)
		fake_offer(driver, r[i]);
	fake_kick(driver, TX);
	result = finish(r[0]);
	expect_state(result, MP_OK, CONNECTED, 0);
	assert_int_equal(le32toh(result.count), 4);
	result = finish(r[1]);
	expect_state(result, MP_OK, MP_ST_CONNECTED, 0);	/* OUT armed */
	assert_int_equal(le32toh(result.count), 1);
	assert_int_equal(le64toh(result.offset), 5);
	for (int i = 2; i < 4; i++) {
		result = finish(r[i]);
		expect_result(result, MP_ORDER, 0);
		assert_int_equal(le64toh(result.offset), 5);
	}
	/* Full: the service is not asked again before it calls. */
	assert_int_equal(service->last->writes, 3);
	expect_state(write_to(0, 1, 5, "fgh", 3), MP_AGAIN, MP_ST_CONNECTED, 0);
	assert_int_equal(service->last->writes, 3);
	expect_no_event();
	fake_take(service->last, 100);
	expect_event(0, 1, CONNECTED, 0);
	expect_result(write_to(0, 1, 4, "efgh", 4), MP_ORDER, 0);
	expect_result(write_to(0, 1, 5, "fgh", 3), MP_OK, 3);
	assert_memory_equal(service->last->out, "abcdefgh", 8);
}

/* A service that takes little at a time is not full [protocol.md 6.3]. */
static void small_bites(void **state)
{
	char buf[100];

	(void)state;
	service->last->bite = 3;
	expect_state(write_to(0, 1, 0, "0123456789", 10), MP_OK, CONNECTED, 0);
	assert_int_equal(service->last->writes, 4);
	fake_say(service->last, "abcdefghij", 10);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
	expect_state(read_from(0, 1, 0, buf, 8), MP_OK, CONNECTED | MP_ST_IN, 0);	/* full */
	assert_memory_equal(buf, "abcdefgh", 8);
	expect_state(read_from(0, 1, 8, buf, 8), MP_OK, CONNECTED, 0);		/* seen empty */
	assert_memory_equal(buf, "ij", 2);
	/* An exact drain: IN stays, the next finds nothing and arms. */
	fake_say(service->last, "xy", 2);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
	expect_state(read_from(0, 1, 10, buf, 2), MP_OK, CONNECTED | MP_ST_IN, 0);
	expect_state(read_from(0, 1, 12, buf, 2), MP_AGAIN, CONNECTED, 0);
	fake_say(service->last, "z", 1);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
}

static void service_stops_listening(void **state)
{
	(void)state;
	service->last->out_room = 2;
	service->last->out_error = -EPIPE;
	expect_state(write_to(0, 1, 0, "abc", 3), MP_OK, CONNECTED | MP_ST_OUT_END, 0);
	expect_state(write_to(0, 1, 2, "c", 1), MP_ENDED, CONNECTED | MP_ST_OUT_END, 0);
	fake_say(service->last, "still talks", 11);
	expect_event(0, 1, CONNECTED | MP_ST_OUT_END | MP_ST_IN, 0);
	expect_result(read_from(0, 1, 0, NULL, 100), MP_OK, 11);
}

static void end_after_bytes(void **state)
{
	struct fake_request *r;

	(void)state;
	r = fetch(0, 1, 0);
	service->last->in_end = true;
	fake_say(service->last, "bye", 3);
	assert_true(r->done);
	expect_state(finish(r), MP_OK, CONNECTED | MP_ST_IN | MP_ST_IN_END, 0);
	expect_state(read_from(0, 1, 3, NULL, 9), MP_OK, CONNECTED | MP_ST_IN | MP_ST_IN_END, 0);
	expect_result(read_from(0, 1, 2, NULL, 9), MP_ORDER, 0);
	r = fetch(0, 1, 3);
	expect_result(finish(r), MP_OK, 0);	/* for ever, on either queue */
	expect_result(write_to(0, 1, 0, "x", 1), MP_OK, 1);
	expect_no_event();

	/* Only the end. */
	connect_to(1, 1, "db");
	r = fetch(1, 1, 0);
	fake_end(service->last);
	expect_state(finish(r), MP_OK, CONNECTED | MP_ST_IN | MP_ST_IN_END, 0);
	connect_to(2, 1, "db");
	fake_end(service->last);
	expect_event(2, 1, CONNECTED | MP_ST_IN, 0);
	expect_state(read_from(2, 1, 0, NULL, 9), MP_OK, CONNECTED | MP_ST_IN | MP_ST_IN_END, 0);
	/* A full read does not see the end behind it. */
	connect_to(3, 1, "db");
	service->last->in_end = true;
	fake_say(service->last, "abc", 3);
	driver->event_seen = driver->event_count;
	expect_state(read_from(3, 1, 0, NULL, 3), MP_OK, CONNECTED | MP_ST_IN, 0);
	expect_state(read_from(3, 1, 3, NULL, 3), MP_OK, CONNECTED | MP_ST_IN | MP_ST_IN_END, 0);
}

static void parked_read(void **state)
{
	struct fake_request *r, *second;
	uint8_t big[5000];

	(void)state;
	r = fetch(0, 1, 1);
	expect_result(finish(r), MP_ORDER, 0);
	r = fetch(0, 1, 0);
	second = fetch(0, 1, 0);
	expect_result(finish(second), MP_BUSY, 0);
	second = fetch(0, 1, 4096);
	expect_result(finish(second), MP_ORDER, 0);
	expect_result(read_from(0, 1, 0, NULL, 10), MP_AGAIN, 0);
	/* A spurious call leaves it parked. */
	service->last->owes_readable = false;
	service->last->peer->ops->readable(service->last->peer);
	fake_run(driver);
	assert_false(r->done);
	memset(big, 7, sizeof(big));
	fake_say(service->last, big, sizeof(big));
	assert_true(r->done);
	assert_memory_equal(fake_payload(driver, r), big, 4096);
	expect_state(finish(r), MP_OK, CONNECTED | MP_ST_IN, 0);
	expect_no_event();
	r = fetch(0, 1, 4096);		/* there is more: not parked at all */
	expect_state(finish(r), MP_OK, CONNECTED, 0);
}

static int setup_without_events(void **state)
{
	(void)state;
	world_create(64, 8);
	world_boot(0);
	expect_state(connect_to(0, 1, "db"), MP_OK, CONNECTED, 0);
	return 0;
}

static int setup_indirect(void **state)
{
	(void)state;
	world_create(SIZE, 256);
	for (unsigned int i = 0; i < driver->queue_count; i++)
		driver->queues[i].ring.indirect = true;
	world_boot(4);
	return 0;
}

/*
 * Half of the receive queue, and an event for whom there was no place [protocol.md 6.5].
 * With indirect tables a chain is one descriptor, so that many fit.
 */
static void parking_stops_at_half(void **state)
{
	struct fake_request *r[SIZE];
	uint32_t i;

	(void)state;
	driver->indirect = true;
	for (i = 0; i < SIZE / 2; i++) {
		connect_to(i, 1, "db");
		r[i] = fetch(i, 1, 0);
		assert_false(r[i]->done);
	}
	connect_to(i, 1, "db");
	r[i] = fetch(i, 1, 0);
	expect_state(finish(r[i]), MP_AGAIN, CONNECTED, 0);
	expect_no_event();
	fake_say(service->last, "owed", 4);
	expect_event(i, 1, CONNECTED | MP_ST_IN, 0);
	/* A place is free again when one comes back. */
	expect_result(cancel(0, 1), MP_OK, 0);
	expect_result(finish(r[0]), MP_CANCELLED, 0);
	expect_result(read_from(i, 1, 0, NULL, 10), MP_OK, 4);
	r[i] = fetch(i, 1, 4);
	assert_false(r[i]->done);
	assert_int_equal(stats_now().parked, SIZE / 2);
}

static void malformed(void **state)
{
	static const uint16_t ops[] = { 0, 7, 16, 17, 18, 0xffff };
	struct fake_request *r;

	(void)state;
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		expect_state(do_request(ops[i], 0, 1, 0, 0, NULL, 0), MP_UNSUPPORTED, CONNECTED, 0);
		r = send_on(RX, ops[i], 0, 1, 0, NULL, 0);
		expect_state(finish(r), MP_UNSUPPORTED, CONNECTED, 0);
	}
	/* Only READ on the receive queue. */
	r = send_on(RX, MP_OP_WRITE, 0, 1, 0, "x", 1);
	expect_state(finish(r), MP_INVALID, CONNECTED, 0);
	r = send_on(RX, MP_OP_CLOSE, 0, 1, 0, NULL, 0);
	expect_state(finish(r), MP_INVALID, CONNECTED, 0);
	r = send_on(RX, MP_OP_CANCEL, 0, 1, 0, NULL, 0);
	expect_state(finish(r), MP_INVALID, CONNECTED, 0);
	/* Empty, flagged, too large for max_io, running over the end of offsets. */
	expect_result(write_to(0, 1, 0, NULL, 0), MP_INVALID, 0);
	expect_result(read_from(0, 1, 0, NULL, 0), MP_INVALID, 0);
	expect_result(do_request(MP_OP_WRITE, 0, 1, 0, MP_READ_NOW, "x", 1), MP_INVALID, 0);
	expect_result(do_request(MP_OP_READ, 0, 1, 0, 0x0004, NULL, 1), MP_INVALID, 0);
	expect_result(read_from(0, 1, 0, NULL, (1 << 20) + 1), MP_INVALID, 0);
	expect_result(read_from(0, 1, UINT64_MAX, NULL, 10), MP_INVALID, 0);
	/* A length that is not the chain's. */
	r = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 0, "abc", 3);
	fake_header(driver, r)->length = htole32(2);
	fake_offer(driver, r);
	fake_kick(driver, TX);
	expect_result(finish(r), MP_INVALID, 0);
	r = fake_make(driver, TX, MP_OP_READ, 0, 1, 0, NULL, 100);
	fake_header(driver, r)->reserved = 1;
	fake_offer(driver, r);
	fake_kick(driver, TX);
	expect_result(finish(r), MP_INVALID, 0);
	/* Not even a header. */
	for (uint32_t len = 0; len < 32; len += 31) {
		r = fake_make(driver, TX, MP_OP_CANCEL, 0, 1, 0, NULL, 0);
		r->readable_len = len;
		fake_offer(driver, r);
		fake_kick(driver, TX);
		fake_run(driver);
		assert_true(r->done);
		expect_state(r->result, MP_INVALID, 0, 0);
		r->readable_len = 32;
		fake_drop(driver, r);
	}
	assert_int_equal(service->last->out_len, 0);
	expect_result(write_to(0, 1, 0, "x", 1), MP_OK, 1);
}

/* Boundaries between descriptors carry no meaning [protocol.md 11.2]. */
static void any_cut(void **state)
{
	static const unsigned int cuts[] = { 1, 2, 7, 8, 23, 24, 25, 31, 32, 33, 40 };
	struct fake_request *r;
	uint64_t out = 0, in = 0;
	char buf[16];

	(void)state;
	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		driver->cut = 0;
		fake_say(service->last, "answer", 6);
		driver->event_seen = driver->event_count;
		driver->cut = cuts[i] > 1 ? cuts[i] : 2;
		expect_result(write_to(0, 1, out, "request", 7), MP_OK, 7);
		out += 7;
		expect_result(read_from(0, 1, in, buf, 6), MP_OK, 6);
		in += 6;
		assert_memory_equal(buf, "answer", 6);
		expect_result(cancel(0, 1), MP_OK, 0);
	}
	assert_int_equal(service->last->out_len, out);
	/* A read that may be parked has few descriptors. */
	driver->cut = 4;
	expect_result(finish(send_on(RX, MP_OP_READ, 0, 1, in, NULL, 28)), MP_INVALID, 0);
	r = send_on(RX, MP_OP_READ, 0, 1, in, NULL, 24);	/* 8 and 12 */
	fake_run(driver);
	assert_false(r->done);
	fake_say(service->last, "parked", 6);
	assert_memory_equal(fake_payload(driver, r), "parked", 6);
	expect_result(finish(r), MP_OK, 6);
}

/* One buffer in two memory regions. */
static void across_regions(void **state)
{
	struct fake_request *r;
	uint64_t edge = RAM_BASE + RAM_HALF;

	(void)state;
	r = fake_make(driver, RX, MP_OP_READ, 0, 1, 0, NULL, 100);
	r->writable = edge - 30;	/* result and six bytes before, the rest behind */
	fake_offer(driver, r);
	fake_kick(driver, RX);
	fake_run(driver);
	assert_false(r->done);
	fake_say(service->last, "0123456789", 10);
	assert_true(r->done);
	assert_memory_equal(fake_at(driver, edge - 6), "0123456789", 10);
	r->writable = 0;
	expect_result(finish(r), MP_OK, 10);

	r = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 0, "abcdef", 6);
	memcpy(fake_at(driver, edge - 35), fake_at(driver, r->readable), 38);
	r->readable = edge - 35;
	fake_offer(driver, r);
	fake_kick(driver, TX);
	fake_run(driver);
	r->readable = 0;
	expect_result(finish(r), MP_OK, 6);
	assert_memory_equal(service->last->out, "abcdef", 6);
}

/* A queue full of large writes is taken in turns, without a further kick. */
static void bounded_passes(void **state)
{
	enum { COUNT = 16, LEN = 1 << 20 };
	struct fake_request *r[COUNT];
	uint8_t *bytes = calloc(1, LEN);

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		r[i] = fake_make(driver, TX, MP_OP_WRITE, 0, 1, (uint64_t)i * LEN, bytes, LEN);
		fake_offer(driver, r[i]);
	}
	fake_kick(driver, TX);
	fake_poll_queue(driver, TX);
	assert_true(r[0]->done);
	assert_false(r[COUNT - 1]->done);
	assert_true(driver->woken);
	for (int i = 0; i < COUNT; i++)
		expect_result(finish(r[i]), MP_OK, LEN);
	assert_int_equal(service->last->out_len, (size_t)COUNT * LEN);
	free(bytes);
}

/* A batch costs one publication; the driver is called when it wants to be. */
static void few_notifications(void **state)
{
	struct fake_request *r[10];
	struct fake_queue *q = &driver->queues[TX];
	unsigned int calls = q->calls, kicks = q->kicks;

	(void)state;
	for (int i = 0; i < 10; i++) {
		r[i] = fake_make(driver, TX, MP_OP_WRITE, 0, 1, i, "x", 1);
		fake_offer(driver, r[i]);
	}
	fake_kick(driver, TX);
	for (int i = 0; i < 10; i++)
		expect_result(finish(r[i]), MP_OK, 1);
	assert_int_equal(q->kicks, kicks + 1);
	assert_int_equal(q->calls, calls + 1);
}

static struct fake_request *read_now(uint64_t offset, uint16_t flags)
{
	struct fake_request *r = fake_make(driver, RX, MP_OP_READ, 0, 1, offset, NULL, 16);

	fake_header(driver, r)->flags = htole16(MP_READ_NOW | flags);
	fake_offer(driver, r);
	fake_kick(driver, RX);
	return r;
}

static void never_parked(void **state)
{
	(void)state;
	expect_state(finish(read_now(0, 0)), MP_AGAIN, CONNECTED, 0);
	assert_int_equal(stats_now().parked, 0);
	fake_say(service->last, "abc", 3);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
	expect_state(finish(read_now(0, 0)), MP_OK, CONNECTED, 0);
}

/* [protocol.md 6.8]: news in a result that is looked at late comes as an event, too. */
static void late_looks(void **state)
{
	struct fake_queue *rx = &driver->queues[RX];
	unsigned int calls;

	(void)state;
	/* No room: no waiting process depends on that. */
	service->last->out_room = 1;
	expect_state(do_request(MP_OP_WRITE, 0, 1, 0, MP_LAZY, "ab", 2), MP_OK,
		     MP_ST_CONNECTED, 0);
	expect_no_event();
	fake_take(service->last, 100);
	expect_event(0, 1, CONNECTED, 0);
	/* An end is news. */
	service->last->out_room = 0;
	service->last->out_error = -EPIPE;
	expect_state(do_request(MP_OP_WRITE, 0, 1, 1, MP_LAZY, "b", 1), MP_ENDED,
		     CONNECTED | MP_ST_OUT_END, 0);
	expect_event(0, 1, CONNECTED | MP_ST_OUT_END, 0);
	/* A lazy READ makes no call; an event does. */
	fake_say(service->last, "abc", 3);
	expect_event(0, 1, CONNECTED | MP_ST_OUT_END | MP_ST_IN, 0);
	calls = rx->calls;
	expect_result(finish(read_now(0, MP_LAZY)), MP_OK, 3);
	assert_int_equal(rx->calls, calls);
	fake_end(service->last);
	expect_event(0, 1, CONNECTED | MP_ST_OUT_END | MP_ST_IN, 0);
	calls = rx->calls;
	expect_result(finish(read_now(3, MP_LAZY)), MP_OK, 0);
	expect_event(0, 1, CONNECTED | MP_ST_OUT_END | MP_ST_IN | MP_ST_IN_END, 0);
	assert_int_equal(rx->calls, calls + 1);		/* the event's */
}

/*
 * [protocol.md 6.8], "or at any time since": IN was told, cleared by a READ whose state stayed
 * owed, and is set again. That it is set is news, though the state told last had it.
 */
static void set_again(void **state)
{
	(void)state;
	fake_say(service->last, "x", 1);
	expect_state(read_from(0, 1, 0, NULL, 1), MP_OK, CONNECTED | MP_ST_IN, 0);
	service->last->out_room = 1;
	expect_state(write_to(0, 1, 0, "ab", 2), MP_OK, MP_ST_CONNECTED | MP_ST_IN, 0);
	/* Room again: owed, and no buffer to say it in. */
	fake_take(service->last, 1);
	expect_state(do_request(MP_OP_READ, 0, 1, 1, MP_LAZY, NULL, 16), MP_AGAIN, CONNECTED, 0);
	assert_int_equal(stats_now().owed, 1);
	fake_say(service->last, "y", 1);
	/* No room once more. All that is left of the news is IN. */
	expect_state(do_request(MP_OP_WRITE, 0, 1, 1, MP_LAZY, "bc", 2), MP_OK,
		     MP_ST_CONNECTED | MP_ST_IN, 0);
	assert_int_equal(stats_now().owed, 1);
	fake_post_event(driver, PORT);
	fake_run(driver);
	expect_event(0, 1, MP_ST_CONNECTED | MP_ST_IN, 0);
}

static struct fake_request *park_lazily(uint64_t offset)
{
	struct fake_request *r = fake_make(driver, RX, MP_OP_READ, 0, 1, offset, NULL, 16);

	fake_header(driver, r)->flags = htole16(MP_LAZY);
	fake_offer(driver, r);
	fake_kick(driver, RX);
	return r;
}

/* A READ that waits for an answer that no process waits for yet: no call, but for news. */
static void parked_lazily(void **state)
{
	struct fake_queue *rx = &driver->queues[RX];
	struct fake_request *r = park_lazily(0);
	unsigned int calls = rx->calls;

	(void)state;
	assert_int_equal(stats_now().parked, 1);
	fake_say(service->last, "abc", 3);
	expect_state(finish(r), MP_OK, CONNECTED, 0);
	expect_no_event();
	assert_int_equal(rx->calls, calls);
	/* CANCEL brings it back, and its own answer makes the call. */
	r = park_lazily(3);
	expect_result(do_request(MP_OP_CANCEL, 0, 1, 0, 0, NULL, 0), MP_OK, 0);
	expect_result(finish(r), MP_CANCELLED, 0);
	assert_int_equal(rx->calls, calls);
	/* An end is news. */
	r = park_lazily(3);
	fake_end(service->last);
	expect_result(finish(r), MP_OK, 0);
	expect_event(0, 1, CONNECTED | MP_ST_IN | MP_ST_IN_END, 0);
	assert_int_equal(rx->calls, calls + 1);
	assert_int_equal(stats_now().parked, 0);
}

/* What lies in the other queue when one is kicked needs no kick of its own. */
static void one_kick_for_both(void **state)
{
	struct fake_request *w = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 0, "x", 1);
	struct fake_request *r = fake_make(driver, RX, MP_OP_READ, 0, 1, 0, NULL, 16);

	(void)state;
	fake_offer(driver, r);
	fake_offer(driver, w);
	fake_kick(driver, TX);
	expect_result(finish(w), MP_OK, 1);
	assert_int_equal(stats_now().parked, 1);
	fake_say(service->last, "y", 1);
	expect_result(finish(r), MP_OK, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writes_in_order), TEST(small_bites), TEST(service_stops_listening),
		TEST(end_after_bytes), TEST(parked_read),
		cmocka_unit_test_setup_teardown(parking_stops_at_half, setup_indirect,
						world_destroy),
		TEST(malformed), TEST(any_cut), TEST(across_regions), TEST(bounded_passes),
		TEST(few_notifications), TEST(never_parked), TEST(late_looks),
		cmocka_unit_test_setup_teardown(set_again, setup_without_events, world_destroy),
		TEST(parked_lazily),
		TEST(one_kick_for_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
