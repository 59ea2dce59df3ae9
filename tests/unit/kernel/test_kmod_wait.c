// SPDX-License-Identifier: MIT
/* How a call waits: awake at first, in turns with other processes, and what it learns asleep. */
#include <linux/sched/prio.h>

#include "fake_host.h"
#include "kernel.h"

#define BYTES	64U
#define MANY	1000U

static struct file *file;
static u64 offset;

static int begin(void **state)
{
	host_begin(state);
	file = host_connect();
	offset = 0;
	return 0;
}

static struct mp_link *link_of(void)
{
	return &host_channel(file)->link;
}

/* The service has something to say as soon as a READ is there. */
static bool say(void)
{
	if (!host_count(MP_OP_READ))
		return false;
	host_say(BYTES);
	return host_step();
}

static bool say_to_a_sleeper(void)
{
	return link_of()->wait.sleepers && say();
}

static void read_some(unsigned int calls)
{
	for (unsigned int i = 0; i < calls; i++, offset += BYTES)
		assert_int_equal(host_read(file, offset, BYTES, false), BYTES);
}

/* No other process wants the processor: no call sleeps or gives way, however long it goes on. */
static void a_process_alone_stays_awake(void **state)
{
	(void)state;
	kernel_leave_alone();
	kernel_play(say);
	read_some(MANY);
	assert_int_equal(link_of()->waits, 0);
	assert_int_equal(kernel_yields(), 0);
}

/* Another one does: its turn comes, and not in each call. No answer needs an interrupt. */
static void processes_take_turns_awake(void **state)
{
	(void)state;
	kernel_play(say);
	read_some(MANY);
	assert_int_equal(link_of()->waits, 0);
	assert_true(kernel_yields() > 0);
	assert_true(kernel_yields() < MANY / 4);
}

static void a_real_time_process_sleeps_instead(void **state)
{
	(void)state;
	kernel_set_prio(MAX_RT_PRIO - 1);
	kernel_play(say);
	read_some(MANY);
	assert_true(link_of()->waits > 0);
	assert_int_equal(kernel_yields(), 0);
}

/* The answers come soon, and another process keeps the processor: that is no reason to sleep. */
static void a_late_processor_is_no_late_answer(void **state)
{
	(void)state;
	kernel_run_late(20000);
	kernel_play(say_to_a_sleeper);
	read_some(2);
	assert_int_equal(link_of()->waits, 2);
	kernel_play(say);
	read_some(1);
	assert_int_equal(link_of()->waits, 2);
}

unsigned int *standin_param_turn_us(void);

/* How often a process gives way in so many calls, with turns of @us. */
static unsigned int yields_of_turns(unsigned int us)
{
	unsigned int before = kernel_yields();

	*standin_param_turn_us() = us;
	read_some(MANY);
	return kernel_yields() - before;
}

/* Of any length: with none each look that finds nothing is a turn, and calls end all the same. */
static void turns_are_as_long_as_the_parameter_says(void **state)
{
	unsigned int *turn_us = standin_param_turn_us(), before = *turn_us, usual;

	(void)state;
	assert_int_equal(before, 500);
	kernel_play(say);
	usual = yields_of_turns(500);
	assert_true(yields_of_turns(1000) < usual);
	assert_true(yields_of_turns(100) > usual);
	assert_true(yields_of_turns(0) > MANY / 2);
	assert_int_equal(yields_of_turns(UINT32_MAX), 0);
	assert_int_equal(link_of()->waits, 0);
	*turn_us = before;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, host_end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(a_process_alone_stays_awake),
		CASE(processes_take_turns_awake),
		CASE(a_real_time_process_sleeps_instead),
		CASE(a_late_processor_is_no_late_answer),
		CASE(turns_are_as_long_as_the_parameter_says),
	};

	return cmocka_run_group_tests_name("kmod wait", tests, NULL, NULL);
}
