// SPDX-License-Identifier: MIT
/* The log: one line each, never waiting, nothing forged, losses told. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

static int saved_stderr, reader;
static char text[1 << 17];

static int setup(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	saved_stderr = dup(STDERR_FILENO);
	reader = -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	if (reader >= 0)
		close(reader);
	log_setup(LOG_LEVEL_INFO);
	return 0;
}

/* Standard error becomes @ends[1]; reading happens at @ends[0], without waiting. */
static void use(int ends[2])
{
	reader = ends[0];
	fcntl(reader, F_SETFL, O_NONBLOCK);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
}

static void use_pipe(void)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	use(ends);
}

static void use_socket(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	use(ends);
}

static const char *output(void)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(reader, text + len, sizeof(text) - 1 - len)) > 0)
		len += n;
	text[len] = '\0';
	return text;
}

static void lines_have_name_and_level(void **state)
{
	char expected[256];

	(void)state;
	use_pipe();
	log_setup(LOG_LEVEL_INFO);
	log_error("one %d", 1);
	log_warning("two");
	log_info("three");
	log_debug("four");
	snprintf(expected, sizeof(expected), "%s: error: one 1\n%s: warning: two\n%s: three\n",
		 program_invocation_short_name, program_invocation_short_name,
		 program_invocation_short_name);
	assert_string_equal(output(), expected);
	log_setup(LOG_LEVEL_ERROR);
	log_warning("not this");
	assert_string_equal(output(), "");
}

static void journal_gets_priorities(void **state)
{
	char stream[64];
	struct stat st;

	(void)state;
	use_socket();
	fstat(STDERR_FILENO, &st);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_setup(LOG_LEVEL_DEBUG);
	log_error("a");
	log_warning("b");
	log_info("c");
	log_debug("d");
	assert_string_equal(output(), "<3>a\n<4>b\n<6>c\n<7>d\n");
	/* The variable is inherited; the stream may have been redirected since. */
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_setup(LOG_LEVEL_DEBUG);
	log_error("a");
	assert_non_null(strstr(output(), ": error: a\n"));
}

static void a_line_is_one_line(void **state)
{
	char longest[5000];
	const char *out;

	(void)state;
	use_pipe();
	log_setup(LOG_LEVEL_INFO);
	log_info("%s", "a\nforged: line\r\x1b[1m\x7f");
	assert_non_null(strstr(output(), ": a?forged: line??[1m?\n"));
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	log_info("%s", longest);
	out = output();
	assert_int_equal(strlen(out), 1024);
	assert_string_equal(out + 1020, "...\n");
}

/* Logs without a reader until nothing goes in any more, then reads. */
static void loses_and_tells(void)
{
	uint64_t before = log_lost(), lost;
	const char *told;
	char expected[64];
	int lines = 0;

	for (int i = 0; i < 20000; i++)
		log_info("line %d", i);
	lost = log_lost() - before;
	assert_true(lost > 0 && lost < 20000);
	for (const char *at = output(); (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 20000 - lost);
	log_info("again");
	snprintf(expected, sizeof(expected), "warning: %ju log lines were lost\n", (uintmax_t)lost);
	told = strstr(output(), expected);
	assert_non_null(told);
	assert_non_null(strstr(told, ": again\n"));
	log_info("once");
	assert_null(strstr(output(), "lost"));
	assert_int_equal(log_lost() - before, lost);
}

static void full_pipe_does_not_block(void **state)
{
	int flags;

	(void)state;
	use_pipe();
	log_setup(LOG_LEVEL_INFO);
	flags = fcntl(STDERR_FILENO, F_GETFL);
	assert_false(flags & O_NONBLOCK);	/* others share this open file */
	loses_and_tells();
}

static void full_socket_does_not_block(void **state)
{
	(void)state;
	use_socket();
	log_setup(LOG_LEVEL_INFO);
	assert_false(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK);
	loses_and_tells();
	/* A journal that is gone is a lost line, not a SIGPIPE. */
	close(reader);
	reader = -1;
	log_info("to nobody");
}

/* The way without /proc, which is also that of before log_setup(): so this test is first. */
static void full_pipe_without_setup_does_not_block(void **state)
{
	(void)state;
	use_pipe();
	loses_and_tells();
}

static void closed_stderr_is_harmless(void **state)
{
	uint64_t before = log_lost();
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	close(STDERR_FILENO);
	log_setup(LOG_LEVEL_INFO);
	log_info("nowhere");
	use(ends);	/* what takes its number later is not the log's */
	log_info("nowhere");
	assert_int_equal(log_lost() - before, 2);
	assert_string_equal(output(), "");
}

/* --- Limits ---------------------------------------------------------------- */

static uint64_t skipped_ms;

/* The clock of the log, which the tests alone move. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	const uint64_t ms = 1000000 + skipped_ms;

	(void)clock;
	ts->tv_sec = ms / 1000;
	ts->tv_nsec = ms % 1000 * 1000000;
	return 0;
}

static int count_lines(const char *out)
{
	int lines = 0;

	while ((out = strchr(out, '\n'))) {
		lines++;
		out++;
	}
	return lines;
}

static void limit_is_a_token_bucket(void **state)
{
	struct log_limit limit = { 0 };
	char expected[64];
	int lines;

	(void)state;
	use_pipe();
	log_setup(LOG_LEVEL_INFO);
	for (int i = 0; i < 100; i++)
		log_limited(&limit, LOG_LEVEL_DEBUG, "not printed, takes no token");
	log_info("tells what other tests lost");
	output();
	for (int i = 0; i < 1000; i++)
		log_limited(&limit, LOG_LEVEL_INFO, "line %d", i);
	lines = count_lines(output());
	assert_true(lines >= 10 && lines < 20);
	skipped_ms += 3000;
	log_limited(&limit, LOG_LEVEL_INFO, "later");
	snprintf(expected, sizeof(expected), ": %d lines like the next were left out\n",
		 1000 - lines);
	assert_non_null(strstr(output(), expected));
	assert_non_null(strstr(text, ": later\n"));
	log_limited(&limit, LOG_LEVEL_INFO, "once more");
	assert_int_equal(count_lines(output()), 1);
	log_tell_left_out(true);
	assert_string_equal(output(), "");
	while (!log_limit_is_spent(&limit))
		log_limited(&limit, LOG_LEVEL_INFO, "the last ones");
	output();
	log_limited(&limit, LOG_LEVEL_INFO, "too much");
	log_limit_skip(&limit, LOG_LEVEL_INFO);
	log_limit_skip(&limit, LOG_LEVEL_DEBUG);
	assert_string_equal(output(), "");
	log_tell_left_out(true);
	assert_non_null(strstr(output(), ": 2 lines like this were left out: the last ones\n"));
}

static uint32_t armed_ms;

static void note_armed(void *context, uint32_t ms)
{
	(void)context;
	assert_int_equal(armed_ms, 0);
	armed_ms = ms;
}

/* What a burst left out is told when the burst is over, though nothing more comes. */
static void what_was_left_out_is_told(void **state)
{
	struct log_limit limit = { 0 }, other = { 0 };

	(void)state;
	use_pipe();
	log_setup(LOG_LEVEL_INFO);
	log_set_timer(note_armed, NULL);
	for (int i = 0; i < 10; i++)
		log_limited(&limit, LOG_LEVEL_WARNING, "line %d", i);
	assert_int_equal(armed_ms, 0);
	for (int i = 10; i < 15; i++)
		log_limited(&limit, LOG_LEVEL_WARNING, "line %d", i);
	assert_true(armed_ms > 9000 && armed_ms <= 10001);
	for (int i = 0; i < 11; i++)
		log_limited(&other, LOG_LEVEL_INFO, "other");
	assert_int_equal(count_lines(output()), 20);

	/* Too early: the timer goes on for the rest. */
	armed_ms = 0;
	skipped_ms += 4000;
	log_tell_left_out(false);
	assert_string_equal(output(), "");
	assert_true(armed_ms > 5000 && armed_ms <= 6001);
	skipped_ms += armed_ms;
	armed_ms = 0;
	log_tell_left_out(false);
	assert_non_null(strstr(output(), ": warning: 5 lines like this were left out: line 9\n"));
	if (armed_ms)
		skipped_ms += armed_ms;
	armed_ms = 0;
	log_tell_left_out(false);
	assert_int_equal(armed_ms, 0);

	/* At the end nothing is waited for. */
	for (int i = 0; i < 12; i++)
		log_limited(&limit, LOG_LEVEL_WARNING, "last");
	output();
	log_tell_left_out(true);
	assert_non_null(strstr(output(), ": 2 lines like this were left out: last\n"));
	log_set_timer(NULL, NULL);
}

static void each_kind_has_its_own_limit(void **state)
{
	struct log_limits limits = { NULL };
	struct log_limit *a = log_limits_get(&limits, 1, "db");

	(void)state;
	use_pipe();
	log_setup(LOG_LEVEL_INFO);
	assert_ptr_equal(log_limits_get(&limits, 1, "db"), a);
	assert_ptr_not_equal(log_limits_get(&limits, 1, "web"), a);
	assert_ptr_not_equal(log_limits_get(&limits, 2, "db"), a);
	assert_ptr_not_equal(log_limits_get(&limits, 1, NULL), a);
	for (int i = 0; i < 20; i++)
		log_limited(a, LOG_LEVEL_INFO, "noise");
	output();
	log_limited(log_limits_get(&limits, 2, "db"), LOG_LEVEL_INFO, "another kind");
	log_limited(log_limits_get(&limits, 1, "web"), LOG_LEVEL_INFO, "another service");
	for (int i = 0; i < 2; i++)
		log_limited_here(LOG_LEVEL_INFO, "another place");
	assert_int_equal(count_lines(output()), 4);
	/* The limits may be gone when it is told. */
	log_limits_free(&limits);
	log_tell_left_out(true);
	assert_non_null(strstr(output(), ": 10 lines like this were left out: noise\n"));
}

static void escape_keeps_text_printable(void **state)
{
	char buf[64], small[6];

	(void)state;
	assert_string_equal(log_escape(buf, sizeof(buf), "plain text", 10), "plain text");
	assert_string_equal(log_escape(buf, sizeof(buf), "a\nb\0c\\d\"\xff", 9),
			    "a\\x0ab\\x00c\\x5cd\\x22\\xff");
	assert_string_equal(log_escape(buf, sizeof(buf), "", 0), "");
	assert_string_equal(log_escape(buf, sizeof(buf), NULL, 0), "");
	/* Cut, but never inside an escape. */
	assert_string_equal(log_escape(small, sizeof(small), "abcdefgh", 8), "abcde");
	assert_string_equal(log_escape(small, sizeof(small), "ab\n", 3), "ab");
	assert_string_equal(log_escape(small, sizeof(small), "a\nb", 3), "a\\x0a");
	assert_string_equal(log_escape(small, 1, "abc", 3), "");
	assert_ptr_equal(log_escape(small, 0, "abc", 3), small);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(full_pipe_without_setup_does_not_block),
		LOG_TEST(lines_have_name_and_level),
		LOG_TEST(journal_gets_priorities),
		LOG_TEST(a_line_is_one_line),
		LOG_TEST(full_pipe_does_not_block),
		LOG_TEST(full_socket_does_not_block),
		LOG_TEST(closed_stderr_is_harmless),
		LOG_TEST(limit_is_a_token_bucket),
		LOG_TEST(what_was_left_out_is_told),
		LOG_TEST(each_kind_has_its_own_limit),
		LOG_TEST(escape_keeps_text_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
