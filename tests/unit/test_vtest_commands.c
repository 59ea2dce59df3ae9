// SPDX-License-Identifier: MIT
/* What a vtest client says, whole and in pieces; and what hostile ones say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../tools/vtest/commands.h"

/* As Mesa greets: "mesa" as its name, a ping, a busy wait, version 2. */
#define GREETING 5, 8, 0x6173656d, 0, 10, 2, 7, 0, 0, 1, 11, 2
#define VERSION_AT (12 * 4 - 4 + 1)

/* A window's picture, 9, and a texture, 8. */
#define WINDOW 10, 2, 9, 2, 1, 1 << 7 | 2, 16, 16, 1, 1, 0, 0
#define TEXTURE 10, 2, 8, 2, 1, 2, 16, 16, 1, 1, 0, 0
#define GET(handle) 11, 4, handle, 0, 64, 0, 0, 0, 0, 16, 16, 1, 1024
#define PICTURE 19, 5, 8, 0, 4, 0, 0, 0, 0, 2, 1, 1, 8
#define BUSY_WAIT(handle) 2, 7, handle, 1

struct talk {
	struct commands commands;
	uint8_t data[512], passed[512];
	size_t len, passed_len;
};

/* The client's next words. A name is no whole word, so that all that follows is not aligned. */
static void say(struct talk *talk, const uint32_t *words, size_t count)
{
	uint8_t *at = talk->data + talk->len;

	if (!talk->len && !talk->passed_len) {
		memcpy(at, words, 12);
		at[12] = 'x';
		memcpy(at + 13, words + 3, count * 4 - 12);
		talk->len = count * 4 + 1;
		return;
	}
	memcpy(at, words, count * 4);
	talk->len += count * 4;
}

#define SAY(talk, ...) \
	say(talk, (const uint32_t[]){ __VA_ARGS__ }, sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)

/* The caller's part: what was left comes again with @size bytes more. */
static void pass(struct talk *talk, size_t size, bool is_late)
{
	static uint8_t held[512];
	static size_t held_len;
	ssize_t ret;

	if (!talk->passed_len)
		held_len = 0;
	memcpy(held + held_len, talk->data, size);
	memmove(talk->data, talk->data + size, talk->len - size);
	talk->len -= size;
	held_len += size;
	ret = commands_take(&talk->commands, held, held_len, is_late);
	assert_true(ret >= 0);
	memcpy(talk->passed + talk->passed_len, held, ret);
	talk->passed_len += ret;
	held_len -= ret;
	memmove(held, held + ret, held_len);
	assert_true(held_len < COMMANDS_HELD_MAX);
}

static void test_version_becomes_0(void **state)
{
	struct talk whole = { .len = 0 };

	(void)state;
	SAY(&whole, GREETING, 0, 9);
	for (size_t cut = 1; cut <= whole.len; cut++) {
		struct talk talk = whole;

		pass(&talk, cut, false);
		if (!talk.passed_len)
			continue;	/* pass() begins again: what it held is too short */
		pass(&talk, talk.len, false);
		memset(whole.passed, 0, sizeof(whole.passed));
		memcpy(whole.passed, whole.data, whole.len);
		memset(whole.passed + VERSION_AT, 0, 4);
		assert_int_equal(talk.passed_len, whole.len);
		assert_memory_equal(talk.passed, whole.passed, whole.len);
	}
}

/* Behind the name: what was passed. */
static void assert_passed(struct talk *talk, size_t skip, const uint32_t *words, size_t count)
{
	assert_int_equal(talk->passed_len, skip + count * 4);
	assert_memory_equal(talk->passed + skip, words, count * 4);
}

#define ASSERT_PASSED(talk, skip, ...) \
	assert_passed(talk, skip, (const uint32_t[]){ __VA_ARGS__ }, \
		      sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)

static void test_window_is_turned_around(void **state)
{
	struct talk whole = { .len = 0 };
	size_t skip;

	(void)state;
	SAY(&whole, GREETING, WINDOW);
	skip = whole.len;
	SAY(&whole, GET(9), BUSY_WAIT(9), 0, 9);
	for (size_t cut = skip; cut <= whole.len; cut++) {
		struct talk talk = whole;

		pass(&talk, cut, false);
		pass(&talk, talk.len, false);
		assert_false(talk.commands.waits);
		ASSERT_PASSED(&talk, skip, BUSY_WAIT(9), GET(9), 0, 9);
	}
}

static void test_window_that_is_read(void **state)
{
	struct talk talk = { .len = 0 };
	size_t skip;

	(void)state;
	SAY(&talk, GREETING, WINDOW);
	skip = talk.len;
	SAY(&talk, GET(9));
	pass(&talk, talk.len, false);
	assert_true(talk.commands.waits);
	assert_int_equal(talk.passed_len, skip);
	pass(&talk, 0, true);
	assert_false(talk.commands.waits);
	SAY(&talk, BUSY_WAIT(9));
	pass(&talk, talk.len, false);
	ASSERT_PASSED(&talk, skip, GET(9), BUSY_WAIT(9));
}

static void ask(struct talk *talk, bool waits)
{
	SAY(talk, GET(9));
	pass(talk, talk->len, false);
	assert_int_equal(talk->commands.waits, waits);
}

static void test_window_that_is_read_again(void **state)
{
	struct talk talk = { .len = 0 };

	(void)state;
	SAY(&talk, GREETING, WINDOW);
	ask(&talk, true);
	pass(&talk, 0, true);
	for (int i = 0; i < 2; i++) {
		talk.commands.is_answered = true;
		SAY(&talk, BUSY_WAIT(9));
		pass(&talk, talk.len, false);
		ask(&talk, false);
	}
	/* Now it is shown: the second command comes before the answer. */
	SAY(&talk, BUSY_WAIT(9));
	pass(&talk, talk.len, false);
	ask(&talk, true);
}

static void test_others_are_not(void **state)
{
	struct talk talk = { .len = 0 };
	size_t skip;

	(void)state;
	/* A texture, and what has a window's number when the window is gone. */
	SAY(&talk, GREETING, TEXTURE, WINDOW, 1, 3, 9);
	skip = talk.len;
	SAY(&talk, GET(8), BUSY_WAIT(8), GET(9), BUSY_WAIT(9));
	pass(&talk, talk.len, false);
	ASSERT_PASSED(&talk, skip, GET(8), BUSY_WAIT(8), GET(9), BUSY_WAIT(9));
}

/* Bytes of a picture, and OpenGL's own commands, are no commands of vtest. */
static void test_bulk_passes(void **state)
{
	struct talk talk = { .len = 0 };
	size_t skip;

	(void)state;
	SAY(&talk, GREETING, TEXTURE);
	skip = talk.len;
	SAY(&talk, PICTURE, 77, 99, 3, 6, 77, 77, 77, 0, 9);
	pass(&talk, talk.len, false);
	ASSERT_PASSED(&talk, skip, PICTURE, 77, 99, 3, 6, 77, 77, 77, 0, 9);
}

static void test_many_windows(void **state)
{
	struct talk talk = { .len = 0 };

	(void)state;
	SAY(&talk, GREETING);
	pass(&talk, talk.len, false);
	for (uint32_t i = 1; i < 1000; i++) {
		uint32_t create[] = { WINDOW };

		create[2] = i;
		assert_int_equal(commands_take(&talk.commands, (uint8_t *)create, sizeof(create),
					       false), sizeof(create));
	}
	SAY(&talk, GET(999));
	pass(&talk, talk.len, false);
	assert_true(talk.commands.waits);
}

/* One that goes and comes with each new size takes no other's place. */
static void test_window_that_stays(void **state)
{
	struct talk talk = { .len = 0 };

	(void)state;
	SAY(&talk, GREETING, WINDOW);
	pass(&talk, talk.len, false);
	for (uint32_t i = 100; i < 300; i++) {
		uint32_t both[] = { WINDOW, 1, 3, i };

		both[2] = i;
		assert_int_equal(commands_take(&talk.commands, (uint8_t *)both, sizeof(both),
					       false), sizeof(both));
	}
	SAY(&talk, GET(9));
	pass(&talk, talk.len, false);
	assert_true(talk.commands.waits);
}

static void assert_refused(const uint32_t *words, size_t count, const char *why)
{
	struct commands commands = { .error = NULL };
	uint8_t data[128];

	memcpy(data, words, count * 4);
	assert_int_equal(commands_take(&commands, data, count * 4, false), -1);
	assert_string_equal(commands.error, why);
}

#define REFUSED(why, ...) \
	assert_refused((const uint32_t[]){ __VA_ARGS__ }, \
		       sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4, why)

static void test_hostile(void **state)
{
	(void)state;
	REFUSED("the client does not speak the vtest protocol", 0x20544547, 0x5448202f);
	REFUSED("the client does not speak the vtest protocol", 1, 11, 2);
	REFUSED("the client's name is too long", COMMANDS_NAME_MAX + 1, 8);
	REFUSED("the client's name is too long", UINT32_MAX, 8);
	REFUSED("the client greets twice", 0, 8, 0, 8);
	REFUSED("a client's command has a wrong length", 0, 8, 1, 10);
	REFUSED("a client's command has a wrong length", 0, 8, 0, 7, 0, 0);
	REFUSED("a client's command has a wrong length", 0, 8, UINT32_MAX, 11, 2);
	REFUSED("a client's command is too long", 0, 8, UINT32_MAX, 6);
	REFUSED("a client's picture is too large", 0, 8, 11, 4, 1, 0, 4, 0, 0, 0, 0, 1, 1, 1,
		UINT32_MAX);
	REFUSED("a client's picture is too large", 0, 8, 11, 5, 1, 0, 4, 0, 0, 0, 0, 1, 1, 1,
		UINT32_MAX);
	REFUSED("the client's command is none of version 0", 0, 8, 0, 0);
	REFUSED("the client's command is none of version 0", 0, 8, 11, 12);
	REFUSED("the client's command is none of version 0", 0, 8, 0, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_becomes_0),
		cmocka_unit_test(test_window_is_turned_around),
		cmocka_unit_test(test_window_that_is_read),
		cmocka_unit_test(test_window_that_is_read_again),
		cmocka_unit_test(test_others_are_not),
		cmocka_unit_test(test_bulk_passes),
		cmocka_unit_test(test_many_windows),
		cmocka_unit_test(test_window_that_stays),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
