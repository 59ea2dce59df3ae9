// SPDX-License-Identifier: MIT
/* iovec arithmetic and the list. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/iov.h"
#include "base/list.h"

static char text[] = "abcdefghij";

/* "abc", "", "defg", "hij" */
static void make(struct iovec iov[4])
{
	iov[0] = (struct iovec){ text, 3 };
	iov[1] = (struct iovec){ text + 3, 0 };
	iov[2] = (struct iovec){ text + 3, 4 };
	iov[3] = (struct iovec){ text + 7, 3 };
}

static void assert_bytes(const struct iovec *iov, int count, const char *expected)
{
	char buf[32];
	size_t len = iov_copy_out(iov, count, 0, buf, sizeof(buf));

	assert_int_equal(len, strlen(expected));
	assert_memory_equal(buf, expected, len);
}

static void size_sums_up(void **state)
{
	struct iovec iov[4];
	struct iovec huge[2] = { { NULL, SIZE_MAX - 1 }, { NULL, 2 } };

	(void)state;
	make(iov);
	assert_int_equal(iov_size(iov, 4), 10);
	assert_int_equal(iov_size(iov, 0), 0);
	assert_true(iov_size(huge, 1) == SIZE_MAX - 1);
	assert_true(iov_size(huge, 2) == SIZE_MAX);
}

static void clip_at_every_length(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 12; len++) {
		size_t kept = len < 10 ? len : 10;
		struct iovec iov[4];
		int count;

		make(iov);
		count = iov_clip(iov, 4, len);
		assert_int_equal(iov_size(iov, count), kept);
		assert_true(len == 0 ? count == 0 : count >= 1);
	}
}

static void advance_at_every_length(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 12; len++) {
		struct iovec iov[4], *at = iov;
		int count;

		make(iov);
		count = iov_advance(&at, 4, len);
		assert_bytes(at, count, text + (len < 10 ? len : 10));
		/* The rest begins with a byte: a caller may look at its first iovec. */
		assert_true(count == 0 || at->iov_len > 0);
	}
}

static void copy_in_and_out(void **state)
{
	char buf[10] = "..........", out[4];
	struct iovec iov[2] = { { buf, 4 }, { buf + 4, 6 } };

	(void)state;
	assert_int_equal(iov_copy_in(iov, 2, 3, "XYZ", 3), 3);
	assert_memory_equal(buf, "...XYZ....", 10);
	assert_int_equal(iov_copy_in(iov, 2, 8, "1234", 4), 2);
	assert_memory_equal(buf, "...XYZ..12", 10);
	assert_int_equal(iov_copy_out(iov, 2, 2, out, 4), 4);
	assert_memory_equal(out, ".XYZ", 4);
	assert_int_equal(iov_copy_out(iov, 2, 10, out, 4), 0);
}

struct item {
	int value;
	struct list link;
};

static void list_keeps_order(void **state)
{
	struct list head = LIST_HEAD_INIT(head), other = LIST_HEAD_INIT(other), *at, *save;
	struct item items[4];
	int expected = 0;

	(void)state;
	assert_null(list_first(&head, struct item, link));
	assert_null(list_pop(&head));
	for (int i = 0; i < 4; i++) {
		items[i].value = i;
		list_init(&items[i].link);
		assert_false(list_is_linked(&items[i].link));
	}
	list_add_tail(&head, &items[1].link);
	list_add_tail(&head, &items[2].link);
	list_add_head(&head, &items[0].link);
	list_add_tail(&other, &items[3].link);
	list_splice_tail(&other, &head);
	assert_true(list_is_empty(&other));
	list_splice_tail(&other, &head);
	list_for_each(at, &head)
		assert_int_equal(list_entry(at, struct item, link)->value, expected++);
	assert_int_equal(expected, 4);
	list_for_each_safe(at, save, &head)
		if (list_entry(at, struct item, link)->value % 2)
			list_del(at);
	list_del(&items[1].link);
	assert_ptr_equal(list_first(&head, struct item, link), &items[0]);
	assert_ptr_equal(list_pop(&head), &items[0].link);
	assert_ptr_equal(list_pop(&head), &items[2].link);
	assert_true(list_is_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(size_sums_up),
		cmocka_unit_test(clip_at_every_length),
		cmocka_unit_test(advance_at_every_length),
		cmocka_unit_test(copy_in_and_out),
		cmocka_unit_test(list_keeps_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
