// SPDX-License-Identifier: MIT
/* CANCEL and CLOSE share one request: each goes when it is due, or when the other is back. */

#include <manyport/ioctl.h>

#include "fake_host.h"
#include "kernel.h"

#define BYTES	100U

static struct file *file;
static unsigned int step;

static struct mp_channel *ch(void)
{
	return host_channel(file);
}

static int begin(void **state)
{
	host_begin(state);
	file = host_connect();
	step = 0;
	return 0;
}

static void abort_channel(void)
{
	assert_int_equal(file->f_op->unlocked_ioctl(file, MANYPORT_IOC_ABORT, 0), 0);
}

static bool send_signal(void)
{
	kernel_send_signal(false);
	return true;
}

/* A reader that sleeps, and leaves without bytes. */
static void read_and_leave(void)
{
	kernel_play(send_signal);
	assert_int_equal(host_read(file, 0, BYTES, false), -ERESTARTSYS);
	kernel_end_signal();
}

static void a_reader_that_leaves_takes_its_read_back(void **state)
{
	(void)state;
	read_and_leave();
	assert_int_equal(host_count(MP_OP_CANCEL), 1);
	host_serve();
	assert_int_equal(host_count(MP_OP_READ), 0);
	assert_int_equal(ch()->in.busy, 0);
}

/*
 * A READ that was sent behind a CANCEL is not covered by it. While that CANCEL is out the next
 * one cannot go: so it goes behind the answer.
 */
static void a_cancel_that_is_due_goes_behind_the_last_one(void **state)
{
	(void)state;
	read_and_leave();
	host_answer(MP_OP_READ, 0, MP_CANCELLED, 0);
	read_and_leave();
	assert_int_equal(host_count(MP_OP_READ), 1);
	assert_int_equal(host_count(MP_OP_CANCEL), 1);
	host_answer(MP_OP_CANCEL, 0, MP_OK, 0);
	assert_int_equal(host_count(MP_OP_CANCEL), 1);
	host_serve();
	assert_int_equal(ch()->in.busy, 0);
	assert_false(ch()->link.urgent.cancel_again);
}

static void a_cancel_that_has_nothing_left_to_do_is_not_sent(void **state)
{
	(void)state;
	read_and_leave();
	host_answer(MP_OP_READ, 0, MP_CANCELLED, 0);
	read_and_leave();
	host_answer(MP_OP_READ, 0, MP_CANCELLED, 0);
	host_answer(MP_OP_CANCEL, 0, MP_OK, 0);
	assert_int_equal(host_count(MP_OP_CANCEL), 0);
}

/* The reader sleeps: the service says something, and the READ for it is lazy. */
static bool answer_a_sleeper(void)
{
	switch (step++) {
	case 0:		/* the CANCEL before */
		host_answer(MP_OP_CANCEL, 0, MP_OK, 0);
		return true;
	case 1:
		host_say(BYTES);
		host_serve();
		return true;
	default:
		return false;
	}
}

/*
 * Where reads and writes take turns a lazy READ is at the device, for whose answer no interrupt
 * comes. A reader that goes to sleep has it taken back, also when a CANCEL is out already:
 * else the reader would sleep over its bytes.
 */
static void a_sleeper_is_woken_though_a_cancel_was_out(void **state)
{
	(void)state;
	host_say(BYTES);
	kernel_play(host_step);
	assert_int_equal(host_read(file, 0, BYTES, false), BYTES);
	ch()->in.turn = false;
	kernel_play(send_signal);
	assert_int_equal(host_read(file, BYTES, BYTES, false), -ERESTARTSYS);
	kernel_end_signal();
	host_answer(MP_OP_READ, 0, MP_CANCELLED, 0);
	assert_int_equal(host_count(MP_OP_CANCEL), 1);
	ch()->in.turn = true;
	assert_int_equal(host_write(file, 0, BYTES, false), BYTES);
	host_answer(MP_OP_WRITE, 0, MP_OK, BYTES);
	assert_true(host_request(MP_OP_READ, 0)->flags & cpu_to_le16(MP_LAZY));
	kernel_play(answer_a_sleeper);
	assert_int_equal(host_read(file, BYTES, BYTES, false), BYTES);
}

/* --- CLOSE ---------------------------------------------------------------- */

static void close_waits_for_what_is_under_way_and_says_how_much_it_was(void **state)
{
	(void)state;
	assert_int_equal(host_write(file, 0, BYTES, false), BYTES);
	host_close(file);
	assert_int_equal(host_count(MP_OP_CLOSE), 0);
	host_answer(MP_OP_WRITE, 0, MP_OK, BYTES);
	kernel_end_timers();
	assert_int_equal(host_count(MP_OP_CLOSE), 1);
	assert_int_equal(host_request(MP_OP_CLOSE, 0)->offset, cpu_to_le64(BYTES));
	assert_int_equal(host_request(MP_OP_CLOSE, 0)->flags, 0);
	host_serve();
	while (kernel_run_work())
		;
	assert_int_equal(host.port.ledger.channels, 0);
}

static void close_goes_behind_a_cancel(void **state)
{
	(void)state;
	read_and_leave();
	host_close(file);
	assert_int_equal(host_count(MP_OP_CLOSE), 0);
	host_answer(MP_OP_READ, 0, MP_CANCELLED, 0);
	host_answer(MP_OP_CANCEL, 0, MP_OK, 0);
	assert_int_equal(host_count(MP_OP_CLOSE), 1);
	host_serve();
}

static void an_abort_says_so(void **state)
{
	(void)state;
	abort_channel();
	assert_int_equal(host_count(MP_OP_CLOSE), 1);
	assert_int_equal(host_request(MP_OP_CLOSE, 0)->flags, cpu_to_le16(MP_CLOSE_ABORT));
	abort_channel();
	assert_int_equal(host_count(MP_OP_CLOSE), 1);
	host_serve();
	assert_int_equal(host_read(file, 0, BYTES, false), -ECONNRESET);
}

/* An answer to CLOSE that breaks a rule is followed by one more, with ABORT, and by no third. */
static void a_close_that_is_answered_wrongly_is_sent_once_more(void **state)
{
	(void)state;
	host_close(file);
	host_answer(MP_OP_CLOSE, 0, MP_BUSY, 0);
	kernel_end_timers();
	host_expect_warning("close");
	assert_int_equal(host_count(MP_OP_CLOSE), 1);
	assert_int_equal(host_request(MP_OP_CLOSE, 0)->flags, cpu_to_le16(MP_CLOSE_ABORT));
	host_answer(MP_OP_CLOSE, 0, MP_BUSY, 0);
	kernel_end_timers();
	assert_int_equal(host_count(MP_OP_CLOSE), 0);
	while (kernel_run_work())
		;
	assert_int_equal(host.port.ledger.channels, 0);
}

static void a_channel_that_was_never_named_is_not_closed_at_the_device(void **state)
{
	struct file *unnamed = host_open();

	(void)state;
	host_close(unnamed);
	assert_int_equal(host_count(MP_OP_CLOSE), 0);
	while (kernel_run_work())
		;
	assert_int_equal(host.port.ledger.channels, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, host_end)
		CASE(a_reader_that_leaves_takes_its_read_back),
		CASE(a_cancel_that_is_due_goes_behind_the_last_one),
		CASE(a_cancel_that_has_nothing_left_to_do_is_not_sent),
		CASE(a_sleeper_is_woken_though_a_cancel_was_out),
		CASE(close_waits_for_what_is_under_way_and_says_how_much_it_was),
		CASE(close_goes_behind_a_cancel),
		CASE(an_abort_says_so),
		CASE(a_close_that_is_answered_wrongly_is_sent_once_more),
		CASE(a_channel_that_was_never_named_is_not_closed_at_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
