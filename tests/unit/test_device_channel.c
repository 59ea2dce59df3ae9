// SPDX-License-Identifier: MIT
/* Channels: connecting, refusals, limits, identifiers, states and their events. */
#include "device_world.h"
#include "device/port.h"
#include "device/slot.h"
#include "device/state.h"

#define MAX 8

static int setup(void **state)
{
	(void)state;
	world_create(64, MAX);
	world_boot(8);
	return 0;
}

static struct mp_result connect_raw(uint32_t slot, uint32_t generation, const void *payload,
				    uint32_t len)
{
	return do_request(MP_OP_CONNECT, slot, generation, 0, 0, payload, len);
}

static void refusals(void **state)
{
	struct mp_result result;
	char name[256];

	(void)state;
	expect_state(connect_to(0, 1, "none"), MP_OK, MP_ST_REFUSED, MP_REASON_NO_SERVICE);
	expect_state(connect_to(1, 1, "denied"), MP_OK, MP_ST_REFUSED, MP_REASON_DENIED);
	expect_state(connect_to(2, 1, "a b"), MP_OK, MP_ST_REFUSED, MP_REASON_NAME_INVALID);
	expect_state(connect_to(3, 1, "+arg"), MP_OK, MP_ST_REFUSED, MP_REASON_NAME_INVALID);
	expect_state(connect_to(4, 1, "tab\t"), MP_OK, MP_ST_REFUSED, MP_REASON_NAME_INVALID);
	service->answer = -MP_REASON_NOT_LISTENING;
	expect_state(connect_to(5, 1, "db"), MP_OK, MP_ST_REFUSED, MP_REASON_NOT_LISTENING);
	service->answer = -1000;	/* a plugin's own idea of a reason */
	expect_state(connect_to(6, 1, "db"), MP_OK, MP_ST_REFUSED, MP_REASON_NOT_LISTENING);
	assert_int_equal(service->admitted, service->released);
	expect_no_event();

	/* Again on the same generation, until it works; the numbers go on. */
	expect_state(connect_to(0, 2, "db"), MP_BUSY, 0, 0);
	result = connect_to(0, 1, "denied");
	expect_state(result, MP_OK, MP_ST_REFUSED, MP_REASON_DENIED);
	assert_true(le32toh(result.state.seq) > 1);
	service->answer = 1;
	memset(name, 'n', 255);
	name[255] = '\0';
	expect_state(connect_to(0, 1, name), MP_OK, CONNECTED, 0);
	expect_state(connect_to(0, 1, "db"), MP_BAD_STATE, CONNECTED, 0);
	expect_result(write_to(0, 1, 0, "x", 1), MP_OK, 1);
	expect_state(write_to(1, 1, 0, "x", 1), MP_BAD_STATE, MP_ST_REFUSED, MP_REASON_DENIED);
	expect_result(read_from(1, 1, 0, NULL, 1), MP_BAD_STATE, 0);
	expect_result(shut(1, 1, 0, MP_SHUT_WRITE), MP_BAD_STATE, 0);
	expect_result(cancel(1, 1), MP_OK, 0);
	expect_state(close_at(1, 1, 0, 0), MP_OK, MP_ST_CLOSED, 0);
	expect_state(close_at(1, 1, 0, 0), MP_STALE, 0, 0);
	assert_int_equal(stats_now().core.refused, 8);
}

static void malformed_connects(void **state)
{
	uint8_t payload[sizeof(struct mp_connect) + 512] = { 0 };
	struct mp_connect *connect = (struct mp_connect *)payload;
	uint32_t len = make_connect(payload, "name");

	(void)state;
	expect_state(connect_raw(MAX, 1, payload, len), MP_INVALID, 0, 0);
	expect_state(connect_raw(0, 0, payload, len), MP_INVALID, 0, 0);
	expect_state(connect_raw(0, 1, payload, len - 1), MP_INVALID, 0, 0);
	expect_state(connect_raw(0, 1, payload, len + 1), MP_INVALID, 0, 0);
	expect_state(connect_raw(0, 1, payload, 31), MP_INVALID, 0, 0);
	expect_state(connect_raw(0, 1, payload, 32), MP_INVALID, 0, 0);
	connect->name_len = 0;			/* only on a fixed port */
	expect_state(connect_raw(0, 1, payload, 32), MP_INVALID, 0, 0);
	connect->name_len = htole32(256);
	expect_state(connect_raw(0, 1, payload, 32 + 256), MP_INVALID, 0, 0);
	expect_state(connect_raw(MP_CHANNEL_HOST, 1, payload, len), MP_INVALID, 0, 0);
	assert_int_equal(service->opened, 0);
	assert_int_equal(stats_now().core.channels, 0);
	/* One that names a channel is answered with its state [protocol.md 6.1]. */
	expect_state(connect_to(0, 1, "db"), MP_OK, CONNECTED, 0);
	expect_state(connect_raw(0, 1, payload, 32), MP_INVALID, CONNECTED, 0);
}

/*
 * A guest can drive the number of a state round. A channel whose state has number 0 again is the
 * channel that it was: a CONNECT that took it for a new one would give it a second service and
 * leave the first with a channel that is freed.
 */
static void connect_at_number_zero(void **state)
{
	struct slot *slot;

	(void)state;
	service->answer = 0;
	expect_state(connect_to(0, 1, "slow"), MP_OK, 0, 0);
	slot = port_slot(driver->device->ports[PORT], 0);
	assert_non_null(slot);
	slot->seq = 0;
	assert_int_equal(le32toh(connect_to(0, 1, "slow").status), MP_BAD_STATE);
	assert_int_equal(service->opened, 1);
	service->last->peer->ops->connected(service->last->peer);
	fake_run(driver);
	slot->seq = 0;
	assert_int_equal(le32toh(connect_to(0, 1, "slow").status), MP_BAD_STATE);
	assert_int_equal(service->opened, 1);
}

static void outcome_by_event(void **state)
{
	struct mp_result result;
	struct fake_stream *s;

	(void)state;
	service->answer = 0;
	result = connect_to(0, 1, "slow");
	expect_state(result, MP_OK, 0, 0);
	assert_int_equal(le32toh(result.state.seq), 1);	/* a state, newer than none */
	s = service->last;
	expect_state(write_to(0, 1, 0, "x", 1), MP_BAD_STATE, 0, 0);
	expect_state(read_from(0, 1, 0, NULL, 1), MP_BAD_STATE, 0, 0);
	expect_state(connect_to(0, 1, "slow"), MP_BAD_STATE, 0, 0);
	s->peer->ops->connected(s->peer);
	fake_run(driver);
	expect_event(0, 1, CONNECTED, 0);
	s->peer->ops->connected(s->peer);	/* said twice, and refused too: nothing */
	s->peer->ops->refused(s->peer, MP_REASON_DENIED);
	fake_run(driver);
	expect_no_event();

	expect_state(connect_to(1, 1, "slow"), MP_OK, 0, 0);
	s = service->last;
	s->peer->ops->refused(s->peer, MP_REASON_BUSY);
	fake_run(driver);
	expect_event(1, 1, MP_ST_REFUSED, MP_REASON_BUSY);

	/* Time runs out; a late answer cannot come, the stream is closed. */
	expect_state(connect_to(2, 1, "slow"), MP_OK, 0, 0);
	fake_pass_time(driver, 1000);
	expect_state(connect_to(3, 1, "slow"), MP_OK, 0, 0);
	fake_pass_time(driver, CONNECT_MS - 1001);
	expect_no_event();
	assert_int_equal(core_deadline(device_core(driver->device)), driver->now + 1);
	fake_pass_time(driver, 1);
	expect_event(2, 1, MP_ST_REFUSED, MP_REASON_TIMED_OUT);
	expect_no_event();
	fake_pass_time(driver, 1000);
	expect_event(3, 1, MP_ST_REFUSED, MP_REASON_TIMED_OUT);
	assert_int_equal(core_deadline(device_core(driver->device)), UINT64_MAX);

	/* CLOSE while connecting ends it at once. */
	expect_state(connect_to(4, 1, "slow"), MP_OK, 0, 0);
	expect_state(close_at(4, 1, 0, 0), MP_OK, MP_ST_CLOSED, 0);
	assert_null(service->last);
	assert_int_equal(core_deadline(device_core(driver->device)), UINT64_MAX);
}

/* A stream may have bytes before it says that it is connected. */
static void readable_before_connected(void **state)
{
	(void)state;
	service->answer = 0;
	connect_to(0, 1, "slow");
	fake_say(service->last, "banner", 6);
	expect_no_event();
	service->last->peer->ops->connected(service->last->peer);
	fake_run(driver);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
	expect_result(read_from(0, 1, 0, NULL, 10), MP_OK, 6);
}

static void identifiers(void **state)
{
	(void)state;
	connect_to(0, 5, "db");
	expect_state(write_to(0, 4, 0, "x", 1), MP_STALE, 0, 0);
	expect_state(write_to(0, 6, 0, "x", 1), MP_STALE, 0, 0);
	expect_state(write_to(1, 5, 0, "x", 1), MP_STALE, 0, 0);
	expect_state(write_to(MAX, 5, 0, "x", 1), MP_STALE, 0, 0);
	expect_state(write_to(0x7fffffff, 5, 0, "x", 1), MP_STALE, 0, 0);
	expect_state(write_to(MP_CHANNEL_HOST, 5, 0, "x", 1), MP_INVALID, 0, 0);
	expect_state(read_from(0, 4, 0, NULL, 1), MP_STALE, 0, 0);
	expect_state(close_at(0, 4, 0, 0), MP_STALE, 0, 0);
	expect_state(close_at(0, 4, 0, MP_CLOSE_ABORT), MP_STALE, 0, 0);
	expect_state(cancel(0, 4), MP_STALE, 0, 0);
	expect_state(shut(0, 4, 0, MP_SHUT_WRITE), MP_STALE, 0, 0);
	expect_state(connect_to(0, 6, "db"), MP_BUSY, 0, 0);
	expect_result(write_to(0, 5, 0, "x", 1), MP_OK, 1);
	expect_state(close_at(0, 5, 1, MP_CLOSE_ABORT), MP_OK, MP_ST_CLOSED, 0);
	expect_state(connect_to(0, 6, "db"), MP_OK, CONNECTED, 0);
	expect_state(write_to(0, 5, 1, "x", 1), MP_STALE, 0, 0);
	expect_result(write_to(0, 6, 0, "x", 1), MP_OK, 1);
}

/* The slot is in use until its CLOSED has been delivered [protocol.md 4.2]. */
static void closed_until_delivered(void **state)
{
	(void)state;
	driver->event_buffers = 0;	/* they do not come back any more */
	connect_to(1, 1, "db");
	for (int i = 0; i < 8; i++) {	/* and these use them up */
		connect_to(0, i + 1, "db");
		fake_say(service->last, "x", 1);
		close_at(0, i + 1, 0, MP_CLOSE_ABORT);
	}
	expect_result(close_at(1, 1, 0, 0), MP_OK, 0);
	assert_int_equal(stats_now().core.channels, 1);
	connect_to(2, 1, "db");
	fake_pass_time(driver, LINGER_MS);
	assert_int_equal(stats_now().core.channels, 2);
	assert_int_equal(stats_now().owed, 1);
	expect_state(connect_to(1, 2, "db"), MP_BUSY, 0, 0);
	expect_state(close_at(1, 1, 0, MP_CLOSE_ABORT), MP_OK, MP_ST_CLOSED, MP_REASON_LINGER);
	assert_int_equal(stats_now().core.channels, 1);
	assert_int_equal(stats_now().owed, 0);
	expect_state(connect_to(1, 2, "db"), MP_OK, CONNECTED, 0);
}

static void limits(void **state)
{
	(void)state;
	/* All slots of the port; a refused channel holds no place in the device's limit. */
	for (uint32_t i = 0; i < MAX; i++)
		expect_state(connect_to(i, 1, "db"), MP_OK, CONNECTED, 0);
	assert_int_equal(stats_now().core.channels, MAX);
}

static int setup_tight(void **state)
{
	(void)state;
	world_create(64, MAX);
	fake_teardown(driver);
	memset(driver, 0, sizeof(*driver));
	driver->event_idx = true;
	driver->env.core.admit = world_admit;
	driver->env.core.release = world_release;
	world->config.core.max_channels = 3;
	fake_setup(driver, &world->config, 64);
	world_boot(8);
	return 0;
}

static void device_limit(void **state)
{
	(void)state;
	connect_to(0, 1, "none");
	for (uint32_t i = 1; i < 4; i++)
		expect_state(connect_to(i, 1, "db"), MP_OK, CONNECTED, 0);
	expect_state(connect_to(4, 1, "db"), MP_OK, MP_ST_REFUSED, MP_REASON_BUSY);
	expect_state(connect_to(0, 1, "db"), MP_OK, MP_ST_REFUSED, MP_REASON_BUSY);
	/* One that still closes counts. */
	close_at(1, 1, 0, 0);
	expect_state(connect_to(4, 1, "db"), MP_OK, MP_ST_REFUSED, MP_REASON_BUSY);
	fake_end(service->last);
	close_at(1, 1, 0, MP_CLOSE_ABORT);
	expect_state(connect_to(4, 1, "db"), MP_OK, CONNECTED, 0);
	service->admission = MP_REASON_BUSY;
	close_at(2, 1, 0, MP_CLOSE_ABORT);
	expect_state(connect_to(5, 1, "db"), MP_OK, MP_ST_REFUSED, MP_REASON_BUSY);
	service->admission = MP_REASON_NONE;
	expect_state(connect_to(5, 1, "db"), MP_OK, CONNECTED, 0);
}

/* One owed event for each channel, in order, with the state of its delivery [protocol.md 7.3]. */
static void events_are_owed(void **state)
{
	struct fake_stream *s[4];
	struct mp_result result;

	(void)state;
	driver->event_buffers = 0;
	for (int i = 0; i < 8; i++) {
		connect_to(5, i + 1, "db");
		fake_say(service->last, "x", 1);
		close_at(5, i + 1, 0, MP_CLOSE_ABORT);
	}
	driver->event_seen = driver->event_count;
	for (uint32_t i = 0; i < 4; i++) {
		connect_to(i, 1, "db");
		s[i] = service->last;
		s[i]->out_room = 0;
	}
	fake_say(s[2], "x", 1);
	fake_say(s[0], "x", 1);
	fake_say(s[1], "x", 1);
	expect_no_event();
	assert_int_equal(stats_now().owed, 3);
	/* More happens to one that is owed already: still one event, at its place. */
	expect_result(write_to(2, 1, 0, "y", 1), MP_AGAIN, 0);
	assert_int_equal(stats_now().owed, 2);	/* that result carried it */
	service->last = s[2];
	fake_take(s[2], 10);
	service->last = s[3];
	assert_int_equal(stats_now().owed, 3);
	result = read_from(1, 1, 0, NULL, 10);
	expect_state(result, MP_OK, CONNECTED, 0);
	assert_int_equal(stats_now().owed, 2);
	fake_post_event(driver, PORT);
	fake_run(driver);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
	expect_no_event();
	for (int i = 0; i < 3; i++)
		fake_post_event(driver, PORT);
	fake_run(driver);
	expect_event(2, 1, CONNECTED | MP_ST_IN, 0);
	expect_no_event();
}

static void numbers_grow(void **state)
{
	uint32_t seq;

	(void)state;
	seq = le32toh(connect_to(0, 1, "db").state.seq);
	assert_int_equal(seq, 1);
	/* The same state has the same number. */
	assert_int_equal(le32toh(write_to(0, 1, 0, "x", 1).state.seq), seq);
	assert_int_equal(le32toh(read_from(0, 1, 0, NULL, 1).state.seq), seq);
	fake_say(service->last, "ab", 2);
	assert_int_equal(le32toh(read_from(0, 1, 0, NULL, 1).state.seq), seq + 1);	/* IN */
	assert_int_equal(le32toh(read_from(0, 1, 1, NULL, 1).state.seq), seq + 1);	/* full */
	assert_int_equal(le32toh(read_from(0, 1, 2, NULL, 1).state.seq), seq + 2);	/* AGAIN */
}

static void failing_service(void **state)
{
	struct fake_request *r;

	(void)state;
	connect_to(0, 1, "db");
	r = fetch(0, 1, 0);
	service->last->out_room = 2;
	service->last->out_error = -EIO;
	expect_state(write_to(0, 1, 0, "abc", 3), MP_OK, FAILED, MP_REASON_RESET);
	expect_state(finish(r), MP_ENDED, FAILED, MP_REASON_RESET);
	assert_null(service->last);
	expect_result(write_to(0, 1, 2, "c", 1), MP_ENDED, 0);
	expect_result(read_from(0, 1, 0, NULL, 1), MP_ENDED, 0);
	expect_result(read_from(0, 1, 1, NULL, 1), MP_ORDER, 0);
	expect_result(shut(0, 1, 3, MP_SHUT_WRITE | MP_SHUT_READ), MP_OK, 0);
	expect_result(connect_to(0, 1, "db"), MP_BAD_STATE, 0);
	expect_state(close_at(0, 1, 77, 0), MP_OK, MP_ST_CLOSED, 0);

	/* Bytes first, then the failure; alone it comes as an event. */
	connect_to(1, 1, "db");
	fake_say(service->last, "last", 4);
	driver->event_seen = driver->event_count;
	service->last->in_error = -ECONNRESET;
	expect_state(read_from(1, 1, 0, NULL, 10), MP_OK, FAILED, MP_REASON_RESET);
	connect_to(2, 1, "db");
	expect_result(read_from(2, 1, 0, NULL, 10), MP_AGAIN, 0);
	service->last->in_error = -ECONNRESET;
	fake_notify(service->last);
	expect_event(2, 1, CONNECTED | MP_ST_IN, 0);
	expect_state(read_from(2, 1, 0, NULL, 10), MP_ENDED, FAILED, MP_REASON_RESET);
	connect_to(3, 1, "db");
	r = fetch(3, 1, 0);
	service->last->in_error = -ECONNRESET;
	fake_notify(service->last);
	expect_state(finish(r), MP_ENDED, FAILED, MP_REASON_RESET);
	expect_no_event();
}

#define EXIT_3	(MP_REASON_EXITED | 3)
#define SIGNAL_9 (MP_REASON_KILLED | 9)

/* How the service's program ended comes with FAILED, behind the last byte [protocol.md 4.8]. */
static void end_of_a_program(void **state)
{
	const bool is_old = driver->version == 1;
	struct fake_request *r;

	(void)state;
	connect_to(0, 1, "db");
	fake_say(service->last, "last", 4);
	driver->event_seen = driver->event_count;
	service->last->reason = EXIT_3;
	service->last->in_error = -ECONNRESET;
	expect_state(read_from(0, 1, 0, NULL, 10), MP_OK, FAILED,
		     is_old ? MP_REASON_RESET : EXIT_3);
	connect_to(1, 1, "db");
	r = fetch(1, 1, 0);
	service->last->reason = SIGNAL_9;
	service->last->in_error = -ECONNRESET;
	fake_notify(service->last);
	expect_state(finish(r), MP_ENDED, FAILED, is_old ? MP_REASON_RESET : SIGNAL_9);
	/* What comes after it tells nothing of that any more. */
	expect_state(close_at(1, 1, 0, 0), MP_OK, MP_ST_CLOSED, 0);
	/* Nor does a close that the program's end ends. */
	connect_to(2, 1, "db");
	close_at(2, 1, 0, 0);
	service->last->reason = EXIT_3;
	service->last->in_error = -ECONNRESET;
	fake_notify(service->last);
	expect_event(2, 1, MP_ST_CLOSED, MP_REASON_RESET);
}

static int setup_version_1(void **state)
{
	(void)state;
	world_create(64, MAX);
	driver->version = 1;
	world_boot(8);
	return 0;
}

/* --- Fixed ports -------------------------------------------------------------- */

static struct mp_result fixed(uint16_t op, uint32_t generation, uint16_t flags)
{
	uint8_t payload[300];
	uint32_t len = op == MP_OP_CONNECT ? make_connect(payload, "") : 0;
	struct fake_request *r;

	r = fake_make(driver, tx_of(FIXED), op, 0, generation, 0, payload, len);
	fake_header(driver, r)->flags = htole16(flags);
	fake_offer(driver, r);
	fake_kick(driver, tx_of(FIXED));
	return finish(r);
}

static void fixed_port(void **state)
{
	uint8_t payload[300];
	uint32_t len = make_connect(payload, "name");
	struct fake_request *r;

	(void)state;
	fake_control(driver, FIXED, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	fake_post_event(driver, FIXED);
	r = send_on(tx_of(FIXED), MP_OP_CONNECT, 0, 1, 0, payload, len);
	expect_result(finish(r), MP_INVALID, 0);	/* it has no names */

	service->answer = -MP_REASON_NOT_LISTENING;
	expect_state(fixed(MP_OP_CONNECT, 1, 0), MP_OK, 0, 0);
	assert_int_equal(service->opened, 1);
	fake_pass_time(driver, 999);
	assert_int_equal(service->opened, 1);
	fake_pass_time(driver, 1);
	assert_int_equal(service->opened, 2);
	assert_int_equal(service->admitted, 1);
	service->answer = 0;
	fake_pass_time(driver, 1000);
	fake_pass_time(driver, 100 * CONNECT_MS);	/* no limit [protocol.md 4.5] */
	assert_int_equal(service->opened, 3);
	service->last->peer->ops->refused(service->last->peer, MP_REASON_DENIED);
	fake_run(driver);
	expect_no_event();
	fake_pass_time(driver, 1000);
	service->last->peer->ops->connected(service->last->peer);
	fake_run(driver);
	expect_event(0, 1, CONNECTED, 0);
	expect_state(fixed(MP_OP_CLOSE, 1, MP_CLOSE_ABORT), MP_OK, MP_ST_CLOSED, 0);

	/* Closed while it waits to try again. */
	service->answer = -MP_REASON_NOT_LISTENING;
	expect_state(fixed(MP_OP_CONNECT, 2, 0), MP_OK, 0, 0);
	expect_state(fixed(MP_OP_CLOSE, 2, 0), MP_OK, MP_ST_CLOSED, 0);
	assert_int_equal(core_deadline(device_core(driver->device)), UINT64_MAX);
	service->admission = MP_REASON_DENIED;
	expect_state(fixed(MP_OP_CONNECT, 3, 0), MP_OK, MP_ST_REFUSED, MP_REASON_DENIED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refusals), TEST(malformed_connects), TEST(connect_at_number_zero),
		TEST(outcome_by_event),
		TEST(readable_before_connected), TEST(identifiers), TEST(closed_until_delivered),
		TEST(limits),
		cmocka_unit_test_setup_teardown(device_limit, setup_tight, world_destroy),
		TEST(events_are_owed), TEST(numbers_grow), TEST(failing_service), TEST(fixed_port),
		TEST(end_of_a_program),
		cmocka_unit_test_setup_teardown(end_of_a_program, setup_version_1, world_destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
