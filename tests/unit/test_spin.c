// SPDX-License-Identifier: MIT
/* The learned window of guest and host: when looking begins, grows and ends. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <manyport/spin.h>

#define MAX_US 100

static void short_sleeps_make_it_grow_to_the_longest(void **state)
{
	struct mp_spin spin = { 0 };

	(void)state;
	mp_spin_slept(&spin, MAX_US, MAX_US);
	assert_int_equal(spin.window_us, 25);
	mp_spin_slept(&spin, MAX_US, MAX_US);
	assert_int_equal(spin.window_us, 50);
	mp_spin_slept(&spin, MAX_US, MAX_US);
	assert_int_equal(spin.window_us, 100);
	mp_spin_slept(&spin, MAX_US, MAX_US);
	assert_int_equal(spin.window_us, 100);
}

static void a_long_sleep_ends_looking(void **state)
{
	struct mp_spin spin;

	(void)state;
	mp_spin_init(&spin);
	mp_spin_slept(&spin, MAX_US, MP_SPIN_SHORT_FACTOR * MAX_US);
	assert_int_not_equal(spin.window_us, 0);
	mp_spin_slept(&spin, MAX_US, MP_SPIN_SHORT_FACTOR * MAX_US + 1);
	assert_int_equal(spin.window_us, 0);
}

/* Sleeps that a full window never covers: looking costs more than it brings. */
static void misses_end_looking_for_a_while(void **state)
{
	struct mp_spin spin;
	int i;

	(void)state;
	mp_spin_init(&spin);
	for (i = 0; i < MP_SPIN_MISSES_MAX - 1; i++)
		mp_spin_slept(&spin, MAX_US, 2 * MAX_US);
	assert_int_not_equal(spin.window_us, 0);
	mp_spin_slept(&spin, MAX_US, 2 * MAX_US);
	for (i = 0; i < MP_SPIN_REST; i++) {
		assert_int_equal(spin.window_us, 0);
		mp_spin_slept(&spin, MAX_US, 2 * MAX_US);
	}
	assert_int_equal(spin.window_us, 0);
	mp_spin_slept(&spin, MAX_US, 2 * MAX_US);
	assert_int_equal(spin.window_us, 25);
}

static void a_find_between_misses_forgives_them(void **state)
{
	struct mp_spin spin;
	int i;

	(void)state;
	mp_spin_init(&spin);
	for (i = 0; i < 10 * MP_SPIN_MISSES_MAX; i++) {
		mp_spin_slept(&spin, MAX_US, MAX_US);
		if (i % 2)
			mp_spin_found(&spin);
		assert_int_not_equal(spin.window_us, 0);
	}
}

/* A caller may allow more than a window can hold, or nothing at all. */
static void the_longest_window_has_bounds(void **state)
{
	struct mp_spin spin = { 0 };
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		mp_spin_slept(&spin, UINT32_MAX, 1);
	assert_int_equal(spin.window_us, MP_SPIN_WINDOW_MAX);
	spin = (struct mp_spin){ 0 };
	for (i = 0; i < 100; i++) {
		mp_spin_slept(&spin, 0, i % 2);
		assert_int_equal(spin.window_us, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_sleeps_make_it_grow_to_the_longest),
		cmocka_unit_test(a_long_sleep_ends_looking),
		cmocka_unit_test(misses_end_looking_for_a_while),
		cmocka_unit_test(a_find_between_misses_forgives_them),
		cmocka_unit_test(the_longest_window_has_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
