// SPDX-License-Identifier: MIT
/* Records: what was written is read, and what makes no sense is told. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/record.h"

#define TAG	1
#define OTHER	2

static struct record *record;

static int setup(void **state)
{
	(void)state;
	record = record_create();
	return record ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	record_destroy(record);
	record = NULL;
	return 0;
}

/* What was written, to be read. */
static void turn(void)
{
	struct record *written = record;
	int fd = dup(record_finish(written));

	record = record_open(fd);
	assert_non_null(record);
	record_destroy(written);
}

static void test_values(void **state)
{
	uint64_t u64 = UINT64_MAX - 1;
	uint32_t u32 = 4711;
	uint16_t u16 = 65535;
	bool yes = true, no = false;
	char text[8] = "hello", empty[8] = "";
	size_t len = 3;
	void *bytes;

	(void)state;
	assert_false(record_is_reading(record));
	for (int i = 0; i < 2; i++) {
		record_u64(record, &u64);
		record_u32(record, &u32);
		record_u16(record, &u16);
		record_bool(record, &yes);
		record_bool(record, &no);
		record_text(record, text, sizeof(text));
		record_text(record, empty, sizeof(empty));
		bytes = record_bytes(record, i ? NULL : "a\0b", &len);
		if (i)
			break;
		assert_null(bytes);
		u64 = u32 = u16 = yes = 0;
		no = true;
		len = 0;
		strcpy(text, "");
		turn();
	}
	assert_true(record_is_reading(record));
	assert_true(record_is_good(record));
	assert_true(u64 == UINT64_MAX - 1 && u32 == 4711 && u16 == 65535 && yes && !no);
	assert_string_equal(text, "hello");
	assert_string_equal(empty, "");
	assert_int_equal(len, 3);
	assert_memory_equal(bytes, "a\0b", 3);
	free(bytes);
}

/* An older program has written less: the rest stays as it was. A frame may be left early. */
static void test_frames(void **state)
{
	uint64_t value;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(record_begin(record, TAG));
		record_number(record, i, 10);
		record_number(record, 99, 100);
		record_end(record);
	}
	assert_true(record_begin(record, OTHER));
	record_end(record);
	turn();
	assert_false(record_begin(record, OTHER));
	for (int i = 0; record_begin(record, TAG); i++) {
		value = record_number(record, 77, 10);
		assert_int_equal(value, i);
		record_end(record);
	}
	assert_true(record_begin(record, OTHER));
	assert_int_equal(record_number(record, 77, 100), 77);
	assert_false(record_begin(record, TAG));
	record_end(record);
	assert_false(record_begin(record, TAG));
	assert_true(record_is_good(record));
}

static void test_out_of_range(void **state)
{
	(void)state;
	record_number(record, 11, 11);
	record_number(record, 5, 5);
	turn();
	assert_int_equal(record_number(record, 3, 10), 3);
	assert_false(record_is_good(record));
	/* From here on nothing is read. */
	assert_int_equal(record_number(record, 3, 10), 3);
	assert_false(record_begin(record, TAG));
}

static void test_text_is_too_long(void **state)
{
	char text[8] = "abcdefg", room[4] = "x";

	(void)state;
	record_text(record, text, sizeof(text));
	turn();
	record_text(record, room, sizeof(room));
	assert_string_equal(room, "x");
	assert_false(record_is_good(record));
}

static void test_large(void **state)
{
	const size_t size = 5 << 20;
	uint8_t *data = malloc(size), *back;
	size_t len = size;

	(void)state;
	for (size_t i = 0; i < size; i++)
		data[i] = i * 7 + i / 253;
	record_begin(record, TAG);
	record_bytes(record, data, &len);
	for (int i = 0; i < 1000; i++)
		record_fd(record, STDERR_FILENO + 1 + i);
	record_end(record);
	assert_int_equal(record_finish(record), record_finish(record));
	turn();
	assert_true(record_begin(record, TAG));
	back = record_bytes(record, NULL, &len);
	assert_int_equal(len, size);
	assert_memory_equal(back, data, size);
	free(back);
	free(data);
}

static int open_fd(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_true(fd > STDERR_FILENO);
	return fd;
}

static bool survives(int fd)
{
	return !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* Each descriptor is given out once; who asks for none gets none; the rest is closed. */
static void test_descriptors(void **state)
{
	int first = open_fd(), second = open_fd(), third = open_fd(), memfd;

	(void)state;
	assert_int_equal(record_fd(record, first), first);
	assert_int_equal(record_fd(record, -1), -1);
	record_fd(record, second);
	record_fd(record, first);
	record_fd(record, third);
	memfd = record_finish(record);
	assert_false(survives(memfd));
	record_pass_fds(record, true);
	assert_true(survives(first) && survives(second) && survives(third) && survives(memfd));
	/* It did not come to it; and now it does. */
	record_pass_fds(record, false);
	assert_false(survives(first) || survives(second) || survives(third) || survives(memfd));
	record_pass_fds(record, true);
	turn();
	assert_int_equal(record_fd(record, -1), first);
	assert_false(survives(first));
	assert_int_equal(record_fd(record, -1), -1);
	assert_int_equal(record_fd(record, -1), second);
	assert_true(record_is_good(record));
	assert_int_equal(record_fd(record, -1), -1);
	assert_false(record_is_good(record));
	record_close_rest(record);
	assert_true(fcntl(first, F_GETFD) >= 0 && fcntl(second, F_GETFD) >= 0);
	assert_int_equal(fcntl(third, F_GETFD), -1);
	close(first);
	close(second);
}

/* Standard files are not handed over: the program that comes next has its own. */
static void test_standard_descriptor(void **state)
{
	(void)state;
	record_fd(record, STDERR_FILENO);
	assert_false(record_is_good(record));
	assert_true(record_finish(record) < 0);
}

static void check_refused(const void *bytes, size_t len, int error)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(write(fd, bytes, len), len);
	errno = 0;
	assert_null(record_open(fd));
	assert_int_equal(errno, error);
	close(fd);
}

static void test_no_record(void **state)
{
	struct { char magic[8]; uint64_t version, at, count; } header = {
		"mprecord", RECORD_VERSION, sizeof(header), 0,
	};
	int pipes[2];

	(void)state;
	check_refused("", 0, EPROTO);
	check_refused("mprecord", 8, EPROTO);
	header.magic[0] = 'x';
	check_refused(&header, sizeof(header), EPROTO);
	header.magic[0] = 'm';
	header.version++;
	check_refused(&header, sizeof(header), ENOTSUP);
	header.version--;
	header.at++;
	check_refused(&header, sizeof(header), EPROTO);
	header.at = 8;
	check_refused(&header, sizeof(header), EPROTO);
	header.at = sizeof(header);
	header.count = 1;
	check_refused(&header, sizeof(header), EPROTO);
	assert_int_equal(pipe(pipes), 0);
	assert_null(record_open(pipes[0]));
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text_is_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_standard_descriptor, setup, teardown),
		cmocka_unit_test(test_no_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
