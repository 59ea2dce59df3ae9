// SPDX-License-Identifier: MIT
/* What a vtest client says first, whole and in pieces; and what hostile ones say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../tools/vtest/greeting.h"

/* As Mesa says it: "mesa" as its name, a ping, a busy wait, version 2; then something else. */
static const uint32_t mesa[] = { 5, 8, 0x6173656d, 0 };
static const uint32_t rest[] = { 0, 10, 2, 7, 0, 0, 1, 11, 2, 1, 11, 3, 0, 9 };
#define NAME_LEN 13			/* with its header: a name is no whole word */
#define VERSION_AT (NAME_LEN + 8 * 4)	/* the version's place */

static size_t say(uint8_t *data)
{
	memcpy(data, mesa, NAME_LEN);
	memcpy(data + NAME_LEN, rest, sizeof(rest));
	return NAME_LEN + sizeof(rest);
}

static void test_version_becomes_0(void **state)
{
	uint8_t data[128], expected[128];
	size_t len = say(data);

	(void)state;
	memcpy(expected, data, len);
	memset(expected + VERSION_AT, 0, 4);
	/* What comes behind the greeting is the renderer's, even where it looks like a version. */
	for (size_t cut = 0; cut <= len; cut++) {
		struct greeting greeting = { .error = NULL };

		say(data);
		assert_true(greeting_take(&greeting, data, cut));
		assert_true(greeting_take(&greeting, data + cut, len - cut));
		assert_true(greeting.is_over);
		assert_memory_equal(data, expected, len);
	}
}

static void test_single_bytes(void **state)
{
	struct greeting greeting = { .error = NULL };
	uint8_t data[128];
	size_t len = say(data);

	(void)state;
	for (size_t i = 0; i < len; i++)
		assert_true(greeting_take(&greeting, data + i, 1));
	assert_int_equal(data[VERSION_AT], 0);
	assert_int_equal(data[VERSION_AT + 12], 3);
}

/* An old client asks for no version: nothing is changed. */
static void test_old_client(void **state)
{
	static const uint32_t words[] = { 4, 8, 0x6173656d, 0, 9, 1, 11, 2 };
	struct greeting greeting = { .error = NULL };
	uint8_t data[sizeof(words)];

	(void)state;
	memcpy(data, words, sizeof(words));
	assert_true(greeting_take(&greeting, data, sizeof(data)));
	assert_true(greeting.is_over);
	assert_memory_equal(data, words, sizeof(words));
}

static void assert_refused(const uint32_t *words, size_t count, const char *why)
{
	struct greeting greeting = { .error = NULL };
	uint8_t data[64];

	memcpy(data, words, count * 4);
	assert_false(greeting_take(&greeting, data, count * 4));
	assert_string_equal(greeting.error, why);
}

#define REFUSED(why, ...) \
	assert_refused((const uint32_t[]){ __VA_ARGS__ }, \
		       sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4, why)

static void test_hostile(void **state)
{
	(void)state;
	REFUSED("the client does not speak the vtest protocol", 0x20544547, 0x5448202f);
	REFUSED("the client does not speak the vtest protocol", 1, 11, 2);
	REFUSED("the client's name is too long", GREETING_NAME_MAX + 1, 8);
	REFUSED("the client's name is too long", UINT32_MAX, 8);
	REFUSED("the client greets twice", 0, 8, 0, 8);
	REFUSED("a command of the greeting has a wrong length", 0, 8, 1, 10);
	REFUSED("a command of the greeting has a wrong length", 0, 8, 0, 7);
	REFUSED("a command of the greeting has a wrong length", 0, 8, 0, 11);
	REFUSED("a command of the greeting has a wrong length", 0, 8, UINT32_MAX, 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_becomes_0),
		cmocka_unit_test(test_single_bytes),
		cmocka_unit_test(test_old_client),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
