// SPDX-License-Identifier: MIT
/* Requests: what is asked, and which answers make sense. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/errno.h>

#include "fake_req.h"

static struct fake_req fake;

/* The device answers @fake with @status and @count, and says that it wrote @used bytes. */
static int answer(u32 status, u32 count, u32 used, struct mp_result *result)
{
	fake.req.result = (struct mp_result){
		.status = cpu_to_le32(status),
		.count = cpu_to_le32(count),
	};
	fake.req.used = used;
	return mp_req_answer(&fake.req, result, MP_VERSION);
}

static void a_payload_is_what_the_header_says(void **state)
{
	(void)state;
	fake_req_init(&fake, MP_OP_WRITE, true);
	assert_int_equal(fake.req.header.length, cpu_to_le32(sizeof(fake.data)));
	assert_int_equal(fake.req.sg_count, 1);
	assert_ptr_equal(fake.req.sg->data, fake.data);
	assert_int_equal(fake.req.sg->length, sizeof(fake.data));
	assert_false(fake.req.payload_in);
}

static void an_answer_is_copied_and_checked(void **state)
{
	struct mp_result result;

	(void)state;
	fake_req_init(&fake, MP_OP_WRITE, true);
	assert_int_equal(answer(MP_OK, 64, sizeof(result), &result), 0);
	fake.req.result.count = 0;	/* the device changes its mind: too late */
	assert_int_equal(result.count, cpu_to_le32(64));
	assert_int_equal(answer(MP_OK, 65, sizeof(result), &result), -EPROTO);
	assert_int_equal(answer(MP_OK, 1, sizeof(result) - 1, &result), -EPROTO);
	assert_int_equal(answer(0xffff, 0, sizeof(result), &result), -EPROTO);
}

static void a_read_brought_no_more_than_was_written(void **state)
{
	struct mp_result result;

	(void)state;
	fake_req_init(&fake, MP_OP_READ, true);
	assert_int_equal(answer(MP_OK, 64, sizeof(result) + 64, &result), 0);
	assert_int_equal(answer(MP_OK, 64, sizeof(result) + 63, &result), -EPROTO);
}

static void without_an_answer_the_reason_counts(void **state)
{
	struct mp_result result;

	(void)state;
	fake_req_init(&fake, MP_OP_WRITE, true);
	fake.req.error = -ESHUTDOWN;
	assert_int_equal(answer(MP_OK, 64, sizeof(result), &result), -ESHUTDOWN);
	fake.req.error = -ENOMEM;
	assert_int_equal(answer(MP_OK, 64, sizeof(result), &result), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_payload_is_what_the_header_says),
		cmocka_unit_test(an_answer_is_copied_and_checked),
		cmocka_unit_test(a_read_brought_no_more_than_was_written),
		cmocka_unit_test(without_an_answer_the_reason_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
