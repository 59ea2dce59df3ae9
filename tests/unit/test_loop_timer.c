// SPDX-License-Identifier: MIT
/* The loop's timers: never early, in order, and free to start and stop one another. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "loop/loop.h"

static struct loop *loop;
static int calls;

static int setup(void **state)
{
	(void)state;
	calls = 0;
	loop = loop_create();
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	loop_destroy(loop);
	return 0;
}

static uint64_t real_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

#define TIMERS 200

static struct loop_timer timers[TIMERS];
static uint64_t wanted_us[TIMERS], when[TIMERS], last_when;
static int fired[TIMERS];

static void timer_fired(struct loop_timer *timer)
{
	int i = timer - timers;

	assert_false(loop_timer_is_armed(timer));
	assert_true(real_us() >= wanted_us[i]);
	assert_true(loop_now(loop) >= when[i]);
	assert_true(when[i] >= last_when);
	last_when = when[i];
	fired[i]++;
}

static void quit_now(struct loop_timer *timer)
{
	(void)timer;
	loop_quit(loop);
}

static void timers_fire_in_order_and_never_early(void **state)
{
	struct loop_timer end;

	(void)state;
	last_when = 0;
	memset(fired, 0, sizeof(fired));
	for (int i = 0; i < TIMERS; i++) {
		loop_timer_init(loop, &timers[i], timer_fired);
		loop_timer_start(&timers[i], 1000 + i);
	}
	srand(1);
	for (int i = 0; i < TIMERS; i++) {
		uint64_t ms = rand() % 50;

		wanted_us[i] = real_us() + ms * 1000;
		loop_timer_start(&timers[i], ms);
		when[i] = timers[i].due.key;
		assert_true(when[i] > loop_now(loop));
	}
	for (int i = 0; i < TIMERS; i += 3) {
		loop_timer_stop(&timers[i]);
		loop_timer_stop(&timers[i]);
	}
	loop_timer_init(loop, &end, quit_now);
	loop_timer_start(&end, 60);
	assert_int_equal(loop_run(loop), 0);
	for (int i = 0; i < TIMERS; i++)
		assert_int_equal(fired[i], i % 3 != 0);
}

static struct loop_timer *freed;

static void never(struct loop_timer *timer)
{
	(void)timer;
	fail_msg("a timer that was stopped fired");
}

static void stop_and_free_other(struct loop_timer *timer)
{
	(void)timer;
	loop_timer_stop(freed);
	free(freed);
	calls++;
}

static void timer_stops_another_that_is_due(void **state)
{
	struct loop_timer first, end;

	(void)state;
	freed = malloc(sizeof(*freed));
	loop_timer_init(loop, &first, stop_and_free_other);
	loop_timer_init(loop, freed, never);
	loop_timer_init(loop, &end, quit_now);
	loop_timer_start(&first, 1);
	loop_timer_start(freed, 2);
	loop_timer_start(&end, 3);
	while (real_us() < end.due.key * 1000)
		;			/* all are due in one round */
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(calls, 1);
}

static struct loop_timer *last;

/*
 * The end is counted from the first call: however late that was, and however long it takes, another
 * one comes before it.
 */
static void start_again(struct loop_timer *timer)
{
	loop_timer_start(timer, 0);
	if (!calls++)
		loop_timer_start(last, 10);
}

/* A timer that starts itself with 0 lets the others run: another one ends the loop. */
static void timer_that_starts_itself_starves_nobody(void **state)
{
	struct loop_timer timer, end;

	(void)state;
	loop_timer_init(loop, &timer, start_again);
	loop_timer_init(loop, &end, quit_now);
	last = &end;
	loop_timer_start(&timer, 0);
	assert_int_equal(loop_run(loop), 0);
	assert_true(calls >= 2 && calls <= 13);
	loop_timer_stop(&timer);
	loop_timer_start(&timer, UINT64_MAX);
	assert_true(timer.due.key == UINT64_MAX);
	loop_timer_stop(&timer);
}

/* --- Far off: by the alarm ---------------------------------------------------- */

static struct loop_timer far;
static uint64_t far_us;

static void start_far(uint64_t ms)
{
	far_us = real_us() + ms * 1000;
	loop_timer_start(&far, ms);
}

static void far_is_due(struct loop_timer *timer)
{
	(void)timer;
	assert_true(real_us() >= far_us);
	loop_quit(loop);
}

static void runs_to_far(void)
{
	assert_int_equal(loop_run(loop), 0);
	assert_true(real_us() >= far_us && real_us() < far_us + 60000000);
	assert_false(loop_timer_is_armed(&far));
}

static void move_far_later(struct loop_timer *timer)
{
	(void)timer;
	start_far(250);
}

static void move_far_nearer(struct loop_timer *timer)
{
	(void)timer;
	start_far(110);
}

/* The alarm of 150 ms is set in the first round; that it rings early changes nothing. */
static void alarm_follows_a_timer_that_moves(void **state)
{
	struct loop_timer mover;

	(void)state;
	loop_timer_init(loop, &far, far_is_due);
	start_far(150);
	runs_to_far();
	loop_timer_init(loop, &mover, move_far_later);
	start_far(150);
	loop_timer_start(&mover, 120);
	runs_to_far();
	loop_timer_init(loop, &mover, move_far_nearer);
	start_far(120000);
	loop_timer_start(&mover, 10);
	runs_to_far();
}

static void stop_far(struct loop_timer *timer)
{
	(void)timer;
	loop_timer_stop(&far);
}

/* An alarm without a timer, that rings before a timer that it does not stand for. */
static void alarm_rings_for_a_timer_that_was_stopped(void **state)
{
	struct loop_timer stopper, end;

	(void)state;
	loop_timer_init(loop, &far, never);
	loop_timer_init(loop, &stopper, stop_far);
	loop_timer_init(loop, &end, quit_now);
	/* First: so that it is due before the other one, however long these calls take. */
	loop_timer_start(&stopper, 1);
	loop_timer_start(&far, 120);
	loop_timer_start(&end, 300);
	assert_int_equal(loop_run(loop), 0);
	assert_true(loop_now(loop) >= end.due.key);
	loop_timer_start(&end, 110);
	assert_int_equal(loop_run(loop), 0);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(timers_fire_in_order_and_never_early),
		LOOP_TEST(timer_stops_another_that_is_due),
		LOOP_TEST(timer_that_starts_itself_starves_nobody),
		LOOP_TEST(alarm_follows_a_timer_that_moves),
		LOOP_TEST(alarm_rings_for_a_timer_that_was_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
