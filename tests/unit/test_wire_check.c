// SPDX-License-Identifier: MIT
/* The checks of messages that depend on the version [protocol.md 3.1, 4.8]. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <manyport/wire_check.h>

static bool is_valid(uint16_t bits, uint16_t reason, uint16_t version)
{
	const struct mp_state state = { .bits = htole16(bits), .reason = htole16(reason) };

	return mp_state_is_valid(&state, version);
}

/* Every reason that there is, and no other, in each version. */
static void reasons(void **unused)
{
	const uint16_t failed = MP_ST_CONNECTED | MP_ST_FAILED;

	(void)unused;
	for (unsigned int reason = 0; reason <= UINT16_MAX; reason++) {
		bool is_old = reason <= MP_REASON_LINGER;
		bool is_exit = (reason >= 0x101 && reason <= 0x1ff) ||
			       (reason >= 0x201 && reason <= 0x27f);

		assert_int_equal(is_valid(failed, reason, 1), is_old);
		assert_int_equal(is_valid(failed, reason, 2), is_old || is_exit);
		assert_int_equal(is_valid(MP_ST_REFUSED, reason, 2), is_old);
		assert_int_equal(is_valid(MP_ST_CLOSED, reason, 2), is_old);
		assert_false(is_valid(failed | 0x8000, reason, 2));
	}
}

/* The highest that both know. */
static void versions(void **unused)
{
	struct mp_hello hello = { .version = htole16(1) };

	(void)unused;
	assert_int_equal(mp_hello_version(&hello), 1);
	hello.version = htole16(2);
	assert_int_equal(mp_hello_version(&hello), 2);
	hello.version = htole16(3);
	assert_int_equal(mp_hello_version(&hello), MP_VERSION);
	hello.version = htole16(UINT16_MAX);
	assert_int_equal(mp_hello_version(&hello), MP_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons),
		cmocka_unit_test(versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
