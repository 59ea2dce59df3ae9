// SPDX-License-Identifier: MIT
/* A look at what a read would get, and what comes in the middle of it. */

#include <manyport/ioctl.h>

#include "fake_host.h"
#include "kernel.h"

#define BYTES	100U

static char buf[BYTES];

static long peek(struct file *file)
{
	struct manyport_transfer in = {
		.data = (uintptr_t)buf, .size = BYTES,
		.flags = MANYPORT_TRANSFER_PEEK | MANYPORT_TRANSFER_NOWAIT,
	};

	return file->f_op->unlocked_ioctl(file, MANYPORT_IOC_RECV, (uintptr_t)&in);
}

static void say(struct file *file)
{
	host_poll(file, EPOLLIN);
	host_say(BYTES);
	host_serve();
	assert_int_equal(host_channel(file)->in.ready, BYTES);
}

static void a_look_takes_nothing(void **state)
{
	struct file *file = host_connect();

	(void)state;
	say(file);
	assert_int_equal(peek(file), BYTES);
	assert_int_equal(host_read(file, 0, BYTES, true), BYTES);
}

/* An end that a reader of the last generation was not told comes before the bytes of this one. */
static void an_end_that_is_owed_comes_first(void **state)
{
	struct file *file = host_connect();

	(void)state;
	say(file);
	host_channel(file)->in.end_owed = true;
	assert_int_equal(peek(file), 0);
	assert_int_equal(host_read(file, 0, BYTES, true), 0);
	assert_int_equal(peek(file), BYTES);
	assert_int_equal(host_read(file, 0, BYTES, true), BYTES);
}

/* Some bytes are lost with the client, then a write says so, and the next one asks. */
static void write_until_it_asks(void *arg)
{
	struct file *file = arg;
	unsigned int i;

	for (i = 0; i < mp_send_buffer / BYTES + 3; i++)
		host_call(file, false, buf, BYTES, BYTES, true);
	assert_true(host_channel(file)->end.asked);
	assert_int_equal(host_channel(file)->link.phase, MP_PHASE_CONNECTED);
}

/* The bytes are dropped with their generation, once they are not being copied. */
static void the_next_generation_begins_behind_the_look(void **state)
{
	struct file *file = host_connect();

	(void)state;
	say(file);
	host_change(MP_ST_IN_HUP | MP_ST_OUT_END, MP_ST_OUT);
	host_event(host.generation);
	kernel_at(KERNEL_COPY, NULL, 0, write_until_it_asks, file);
	assert_int_equal(peek(file), BYTES);
	assert_int_equal(host_channel(file)->link.phase, MP_PHASE_NAMING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name, begin) cmocka_unit_test_setup_teardown(name, begin, host_end)
		CASE(a_look_takes_nothing, host_begin),
		CASE(an_end_that_is_owed_comes_first, host_begin_fixed),
		CASE(the_next_generation_begins_behind_the_look, host_begin_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
