// SPDX-License-Identifier: MIT
/* A device that answers no request, and may be gone [protocol.md 10.10]. */

#include "fake_host.h"
#include "kernel.h"

#define LOOKS 8		/* more than the driver takes to find out */

static struct file *file;

static int begin(void **state)
{
	host_begin(state);
	file = host_connect();
	mp_answer_timeout = 4;
	return 0;
}

static int end(void **state)
{
	mp_answer_timeout = 0;
	return host_end(state);
}

/* The time of a look passes. Returns true: so something may have happened. */
static bool time_passes(void)
{
	kernel_end_delays();
	kernel_run_work();
	return true;
}

static void wait_long(void)
{
	for (int i = 0; i < LOOKS; i++)
		time_passes();
}

static void expect_silent(bool is_silent)
{
	assert_int_equal(host.port.is_silent, is_silent);
	assert_int_equal(host_poll(file, EPOLLIN) & EPOLLERR, is_silent ? EPOLLERR : 0);
}

/* One request that is answered at once, and is not. */
static void leave_unanswered(void)
{
	assert_int_equal(host_write(file, 0, 10, false), 10);
	assert_int_equal(host_count(MP_OP_WRITE), 1);
}

static void a_call_ends(void **state)
{
	(void)state;
	leave_unanswered();
	kernel_play(time_passes);
	assert_int_equal(host_read(file, 0, 10, false), -ETIMEDOUT);
	kernel_play(NULL);
	expect_silent(true);
	/* At once. */
	assert_int_equal(host_read(file, 0, 10, false), -ETIMEDOUT);
	assert_int_equal(host_read(file, 0, 10, true), -ETIMEDOUT);
	/* Nothing is lost, and all goes on when an answer comes. */
	host_say(10);
	host_serve();
	while (kernel_run_work())
		;
	expect_silent(false);
	assert_int_equal(host_read(file, 0, 10, false), 10);
	assert_int_equal(host_write(file, 10, 10, false), 10);
	host_serve();
	assert_int_equal(host.out_next, 20);
}

static void a_naming_call_ends(void **state)
{
	(void)state;
	file = host_open();
	kernel_play(time_passes);
	assert_int_equal(host_call(file, false, (char *)"echo", 4, 4, false), -ETIMEDOUT);
	kernel_play(NULL);
	/* The outcome is collected by the same call again. */
	host_serve();
	while (kernel_run_work())
		;
	assert_int_equal(host_call(file, false, (char *)"echo", 4, 4, false), 4);
}

/* A parked READ may wait for ever. */
static void a_parked_read_is_none(void **state)
{
	(void)state;
	assert_int_equal(host_read(file, 0, 10, true), -EAGAIN);
	assert_int_equal(host_count(MP_OP_WRITE), 0);
	wait_long();
	expect_silent(false);
}

/* A device that answers slowly, one request in a while, is there. */
static void a_slow_device_is_there(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4 * LOOKS; i++) {
		assert_int_equal(host_write(file, 10 * i, 10, false), 10);
		time_passes();
		time_passes();
		host_serve();
	}
	expect_silent(false);
}

static void never(void **state)
{
	(void)state;
	mp_answer_timeout = 0;
	leave_unanswered();
	wait_long();
	expect_silent(false);
}

/* It need not wait for an answer, and is none to wait for later. */
static void a_close_does_not_wait(void **state)
{
	(void)state;
	leave_unanswered();
	wait_long();
	expect_silent(true);
	host_close(file);
	host_serve();
	time_passes();
	time_passes();
	assert_false(host.port.is_silent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
		CASE(a_call_ends),
		CASE(a_naming_call_ends),
		CASE(a_parked_read_is_none),
		CASE(a_slow_device_is_there),
		CASE(never),
		CASE(a_close_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
