// SPDX-License-Identifier: MIT
/* Bytes that were taken arrive: limits of closes, ends of life [protocol.md 8.3, 10.8]. */
#include "device_world.h"

static int setup(void **state)
{
	(void)state;
	world_create(64, 8);
	world_boot(8);
	return 0;
}

/* --- The log ------------------------------------------------------------------- */

static int saved_stderr, log_file;

static void begin_log(void)
{
	saved_stderr = dup(STDERR_FILENO);
	log_file = memfd_create("log", MFD_CLOEXEC);
	dup2(log_file, STDERR_FILENO);
	log_setup(LOG_LEVEL_WARNING);
}

/* What was logged since, in one text. */
static const char *end_log(void)
{
	static char text[4096];
	ssize_t len = pread(log_file, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = 0;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(log_file);
	log_setup(LOG_LEVEL_ERROR);
	return text;
}

/* --- Limits --------------------------------------------------------------------- */

/* Channel 0 closes with 100 bytes to come, of which the service takes none yet. */
static void close_with_100_to_come(void)
{
	service->out_room = 0;
	connect_to(0, 1, "db");
	expect_result(close_at(0, 1, 100, 0), MP_OK, 0);
}

/* It takes @count bytes of those from @offset on. */
static void take_some(uint64_t offset, uint32_t count)
{
	static const uint8_t bytes[100];

	fake_take(service->last, count);
	expect_result(write_to(0, 1, offset, bytes, 100 - offset), MP_OK, count);
	driver->event_seen = driver->event_count;
}

static void taken_bytes_are_progress(void **state)
{
	static const uint8_t bytes[100];

	(void)state;
	close_with_100_to_come();
	expect_result(write_to(0, 1, 0, bytes, 100), MP_AGAIN, 0);
	for (int i = 0; i < 10; i++) {
		fake_pass_time(driver, LINGER_MS - 1);
		assert_non_null(service->last);
		take_some(i * 10, 10);
	}
	assert_int_equal(service->last->out_len, 100);
	assert_true(service->last->shut_write);
	fake_end(service->last);
	expect_event(0, 1, MP_ST_CLOSED, 0);
	assert_int_equal(service->aborted, 0);
	expect_no_limit();
}

static void without_progress_the_rest_is_given_up(void **state)
{
	static const uint8_t bytes[100];
	const char *text;

	(void)state;
	begin_log();
	close_with_100_to_come();
	expect_result(write_to(0, 1, 0, bytes, 100), MP_AGAIN, 0);
	fake_pass_time(driver, LINGER_MS / 2);
	take_some(0, 40);
	fake_pass_time(driver, LINGER_MS - 1);
	expect_no_event();
	fake_pass_time(driver, 1);
	text = end_log();
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	assert_int_equal(service->aborted, 1);
	assert_int_equal(stats_now().core.aborted, 1);
	if (!strstr(text, "channel 0.1: service (") ||
	    !strstr(text, ": aborted: 60 bytes were not taken for 3000 ms"))
		fail_msg("the log says: %s", text);
}

/* Until it takes something: a service may have to be heard first, but not for ever. */
static void being_heard_is_progress_for_a_while(void **state)
{
	uint64_t begin, passed;

	(void)state;
	close_with_100_to_come();
	begin = driver->now;
	while (service->last && driver->now - begin < 100 * LINGER_MS) {
		fake_say(service->last, "x", 1);
		fake_pass_time(driver, LINGER_MS / 2);
	}
	passed = driver->now - begin;
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	assert_int_equal(service->aborted, 1);
	assert_in_range(passed, MP_HEARD_LIMITS * LINGER_MS, (MP_HEARD_LIMITS + 1) * LINGER_MS);
}

static void a_service_that_is_heard_takes_its_bytes(void **state)
{
	(void)state;
	close_with_100_to_come();
	for (int i = 0; i < 8; i++) {
		fake_pass_time(driver, LINGER_MS - 1);
		assert_non_null(service->last);
		fake_say(service->last, "x", 1);
	}
	service->last->owes_writable = false;
	service->last->out_room = 100;
	service->last->peer->ops->writable(service->last->peer);
	expect_result(write_to(0, 1, 0, "0123456789", 10), MP_OK, 10);
	fake_pass_time(driver, LINGER_MS - 1);
	assert_non_null(service->last);
	close_at(0, 1, 0, MP_CLOSE_ABORT);
}

/* When it has got everything, only its own end is waited for, however much it says. */
static void talk_behind_the_end(uint64_t late)
{
	uint64_t begin;
	const char *text;

	service->service.end_ms = 5 * LINGER_MS;
	begin_log();
	connect_to(0, 1, "db");
	expect_result(write_to(0, 1, 0, "x", 1), MP_OK, 1);
	expect_result(close_at(0, 1, 1, 0), MP_OK, 0);
	begin = driver->now;
	while (service->last && driver->now - begin < 100 * LINGER_MS) {
		fake_say(service->last, "x", 1);
		fake_pass_time(driver, 50);
	}
	text = end_log();
	assert_in_range(driver->now - begin, 5 * LINGER_MS, 5 * LINGER_MS + late);
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	assert_int_equal(service->aborted + service->cut, 0);
	assert_int_equal(stats_now().core.aborted, 0);
	if (!strstr(text, "closed: the service has got everything, and did not end in 15"))
		fail_msg("the log says: %s", text);
}

static void the_end_has_one_limit(void **state)
{
	(void)state;
	talk_behind_the_end(0);
}

static void the_end_has_one_limit_with_a_backlog(void **state)
{
	(void)state;
	service->is_slow = true;
	talk_behind_the_end(5 * LINGER_MS / 4);
}

/* Limits of different lengths end in the order of time. */
static void limits_are_of_each_service(void **state)
{
	const uint32_t ms[] = { 4000, 1000, 2000, 500 };

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		service->service.end_ms = ms[i];
		connect_to(i, 1, "db");
		expect_result(close_at(i, 1, 0, 0), MP_OK, 0);
	}
	assert_int_equal(core_deadline(device_core(driver->device)), driver->now + 500);
	fake_pass_time(driver, 500);
	expect_event(3, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	fake_pass_time(driver, 500);
	expect_event(1, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	fake_pass_time(driver, 1000);
	expect_event(2, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	fake_pass_time(driver, LATE_MS);
	assert_int_equal(core_deadline(device_core(driver->device)), driver->now + 2000 - LATE_MS);
	fake_pass_time(driver, 2000 - LATE_MS);
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_LINGER);
}

/* --- A backlog -------------------------------------------------------------------- */

/* Passes @ms one after the other, as a clock does. */
static void pass_slowly(uint64_t ms)
{
	while (ms--)
		fake_pass_time(driver, 1);
}

static void close_with_backlog(bool is_kept)
{
	service->is_slow = true;
	connect_to(0, 1, "db");
	service->last->backlog = 1000;
	service->last->is_backlog_kept = is_kept;
	expect_result(write_to(0, 1, 0, "x", 1), MP_OK, 1);
	expect_result(close_at(0, 1, 1, 0), MP_OK, 0);
	/* It becomes smaller, however slowly. */
	for (int i = 0; i < 10; i++) {
		pass_slowly(LINGER_MS / 2);
		assert_non_null(service->last);
		service->last->backlog--;
	}
}

static void a_backlog_that_shrinks_is_progress(void **state)
{
	const char *text;

	(void)state;
	close_with_backlog(false);
	begin_log();
	pass_slowly(LINGER_MS);
	assert_non_null(service->last);
	pass_slowly(LINGER_MS / 2);
	text = end_log();
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	assert_int_equal(service->aborted, 1);
	if (!strstr(text, "aborted: 990 bytes were not taken"))
		fail_msg("the log says: %s", text);
}

static void a_backlog_that_is_kept_is_left_to_arrive(void **state)
{
	(void)state;
	close_with_backlog(true);
	pass_slowly(3 * LINGER_MS / 2);
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	assert_int_equal(service->aborted + service->cut, 0);
	/* It has all: then the limit is exact enough. */
	connect_to(0, 2, "db");
	expect_result(close_at(0, 2, 0, 0), MP_OK, 0);
	pass_slowly(END_MS - 1);
	assert_non_null(service->last);
	pass_slowly(1);
	expect_event(0, 2, MP_ST_CLOSED, MP_REASON_LINGER);
}

/* As a program that works on with its input unread: it has all, and all the same has not got it. */
static void what_is_not_read_is_not_got(void **state)
{
	const char *text;

	(void)state;
	service->service.end_ms = 100 * LINGER_MS;
	close_with_backlog(false);
	begin_log();
	pass_slowly(5 * LINGER_MS / 4);
	text = end_log();
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	assert_int_equal(service->aborted, 1);
	if (!strstr(text, "aborted: 990 bytes were not taken"))
		fail_msg("the log says: %s", text);
}

/* The program has read the last byte: from then on it may work on. */
static void the_end_is_waited_for_from_the_last_byte(void **state)
{
	(void)state;
	service->service.end_ms = 100 * LINGER_MS;
	close_with_backlog(false);
	service->last->backlog = 0;
	pass_slowly(100 * LINGER_MS);
	assert_non_null(service->last);
	pass_slowly(50 * LINGER_MS);
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_LINGER);
	assert_int_equal(service->aborted + service->cut, 0);
}

/* An end limit that is shorter than a look at the other one. */
static void a_short_end_limit_is_not_late(void **state)
{
	(void)state;
	service->is_slow = true;
	service->service.end_ms = LINGER_MS / 100;
	connect_to(0, 1, "db");
	expect_result(close_at(0, 1, 0, 0), MP_OK, 0);
	pass_slowly(LINGER_MS / 100 - 1);
	assert_non_null(service->last);
	pass_slowly(LINGER_MS / 100);
	expect_event(0, 1, MP_ST_CLOSED, MP_REASON_LINGER);
}

/* --- Ends of life ------------------------------------------------------------------- */

static void say_bye(void)
{
	fake_control(driver, 0xffffffff, MP_CONTROL_BYE, 0, NULL, 0);
}

static void say_ready(void)
{
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
}

static void end_session(void)
{
	device_reset(driver->device);
}

static void take_port_away(void)
{
	fake_control(driver, PORT, VIRTIO_CONSOLE_PORT_READY, 0, NULL, 0);
}

static void restart_control(void)
{
	fake_stop(driver, 3);
	fake_queue_init(driver, 3, 64);
	fake_start(driver, 3);
}

static const struct end_case {
	const char *name;
	void (*end)(void);
} ends[] = {
	{ "BYE", say_bye }, { "DEVICE_READY", say_ready }, { "reset", end_session },
	{ "PORT_READY 0", take_port_away }, { "control queue from 0", restart_control },
};

#define END_CASES (sizeof(ends) / sizeof(ends[0]))

static enum mp_end how_closed[8];

static void note_close(struct fake_stream *s, enum mp_end how)
{
	how_closed[s->opener.channel] = how;
}

/* One channel in each phase, at the end of a life. */
static void end_in_each_phase(const struct end_case *c)
{
	service->on_close = note_close;
	service->out_room = 5;
	memset(how_closed, 0xff, sizeof(how_closed));
	connect_to(0, 1, "idle");
	connect_to(1, 1, "full");
	expect_result(write_to(1, 1, 0, "0123456789", 10), MP_OK, 5);
	connect_to(2, 1, "with-bytes-to-come");
	expect_result(write_to(2, 1, 0, "0123456789", 10), MP_OK, 5);
	expect_result(close_at(2, 1, 10, 0), MP_OK, 0);
	connect_to(3, 1, "all-taken");
	expect_result(write_to(3, 1, 0, "01234", 5), MP_OK, 5);
	expect_result(close_at(3, 1, 5, 0), MP_OK, 0);
	connect_to(4, 1, "half-closed");
	expect_result(shut(4, 1, 0, MP_SHUT_WRITE), MP_OK, 0);
	service->answer = 0;
	connect_to(5, 1, "connecting");
	c->end();
	fake_run(driver);
	if (how_closed[0] != MP_END_CUT || how_closed[1] != MP_END_CUT ||
	    how_closed[2] != MP_END_CUT || how_closed[3] != MP_END_WHOLE ||
	    how_closed[4] != MP_END_CUT || how_closed[5] != MP_END_ABORT)
		fail_msg("%s: %d %d %d %d %d %d", c->name, how_closed[0], how_closed[1],
			 how_closed[2], how_closed[3], how_closed[4], how_closed[5]);
	assert_int_equal(stats_now().core.channels, 0);
	assert_int_equal(service->released, 6);
}

static void each_end_in_each_phase(void **state)
{
	(void)state;
	for (size_t i = 0; i < END_CASES; i++) {
		if (i) {
			world_destroy(NULL);
			setup(NULL);
		}
		end_in_each_phase(&ends[i]);
	}
}

/* Without a word to the guest, but not before the services have what they took. */
static void a_stream_keeps_its_place(void **state)
{
	(void)state;
	service->keeps = true;
	world->config.core.max_channels = 8;
	for (uint32_t i = 0; i < 8; i++)
		connect_to(i, 1, "db");
	expect_result(close_at(7, 1, 0, MP_CLOSE_ABORT), MP_OK, 0);
	assert_int_equal(service->released, 1);
	take_port_away();
	assert_int_equal(stats_now().core.channels, 0);
	assert_int_equal(service->closed, 8);
	assert_int_equal(service->kept_count, 7);
	assert_int_equal(service->released, 1);
	assert_ptr_equal(service->kept[0].service, &service->service);
	assert_int_equal(service->kept[0].uid, 1000);
	assert_int_equal(service->kept[3].channel, 3);
	assert_int_equal(service->kept[3].generation, 1);
	fake_arrive(service);
	assert_int_equal(service->released, 8);
}

/* They count against the limit of the device: a guest cannot pile them up by rebooting. */
static void kept_places_count(void **state)
{
	unsigned int lives;

	(void)state;
	service->keeps = true;
	for (lives = 0; lives < 6; lives++) {
		for (uint32_t i = 0; i < 8; i++)
			connect_to(i, lives * 8 + i + 1, "db");
		fake_control(driver, PORT, VIRTIO_CONSOLE_PORT_READY, 0, NULL, 0);
		fake_control(driver, PORT, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
		fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
		for (int i = 0; i < 8; i++)
			fake_post_event(driver, PORT);
	}
	assert_int_equal(service->kept_count, world->config.core.max_channels);
	expect_state(connect_to(0, 100, "db"), MP_OK, MP_ST_REFUSED, MP_REASON_BUSY);
	fake_arrive(service);
	expect_state(connect_to(0, 100, "db"), MP_OK, CONNECTED, 0);
	close_at(0, 100, 0, MP_CLOSE_ABORT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(taken_bytes_are_progress), TEST(without_progress_the_rest_is_given_up),
		TEST(being_heard_is_progress_for_a_while),
		TEST(a_service_that_is_heard_takes_its_bytes), TEST(the_end_has_one_limit),
		TEST(the_end_has_one_limit_with_a_backlog), TEST(what_is_not_read_is_not_got),
		TEST(the_end_is_waited_for_from_the_last_byte), TEST(a_short_end_limit_is_not_late),
		TEST(limits_are_of_each_service), TEST(a_backlog_that_shrinks_is_progress),
		TEST(a_backlog_that_is_kept_is_left_to_arrive), TEST(each_end_in_each_phase),
		TEST(a_stream_keeps_its_place), TEST(kept_places_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
