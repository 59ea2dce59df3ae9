// SPDX-License-Identifier: MIT
/* From a process to the service, by copy: what is sent, when, and what becomes of it. */

#include "fake_host.h"
#include "kernel.h"

#define SMALL	64U

/* A WRITE is lazy: its answer lies in the ring until a look finds it. */
static void a_write_returns_before_its_answer_and_needs_no_interrupt(void **state)
{
	struct file *file = host_connect();
	unsigned int before = host.tx.interrupts;

	(void)state;
	assert_int_equal(host_write(file, 0, SMALL, false), SMALL);
	assert_int_equal(host_count(MP_OP_WRITE), 1);
	assert_int_equal(host_request(MP_OP_WRITE, 0)->length, cpu_to_le32(SMALL));
	assert_int_equal(host_request(MP_OP_WRITE, 0)->offset, 0);
	host_answer(MP_OP_WRITE, 0, MP_OK, SMALL);
	assert_int_equal(host.tx.interrupts, before);
	assert_int_equal(host_channel(file)->out.bytes, SMALL);
	kernel_end_timers();
}

/* Small writes behind one that is under way travel together, when it is answered or soon. */
static void writes_behind_another_travel_together(void **state)
{
	struct file *file = host_connect();
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(host_write(file, i * SMALL, SMALL, false), SMALL);
	assert_int_equal(host_count(MP_OP_WRITE), 1);
	host_answer(MP_OP_WRITE, 0, MP_OK, SMALL);
	assert_int_equal(kernel_end_timers(), 1);
	assert_int_equal(host_count(MP_OP_WRITE), 1);
	assert_int_equal(host_request(MP_OP_WRITE, 0)->offset, cpu_to_le64(SMALL));
	assert_int_equal(host_request(MP_OP_WRITE, 0)->length, cpu_to_le32(3 * SMALL));
	host_serve();
	host_poll(file, EPOLLOUT);
	assert_int_equal(host.out_next, 4 * SMALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, host_begin, host_end)
		CASE(a_write_returns_before_its_answer_and_needs_no_interrupt),
		CASE(writes_behind_another_travel_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
