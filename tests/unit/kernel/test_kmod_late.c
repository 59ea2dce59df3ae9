// SPDX-License-Identifier: MIT
/* What a process is told that asks now and then: of a connection, of bytes that have come. */
#include <sys/ioctl.h>

#include "fake_host.h"
#include "kernel.h"

#define BYTES 100U

static const char name[] = "echo";
static struct file *file;

static ssize_t name_it(void)
{
	return host_call(file, false, (char *)name, 4, 4, true);
}

/*
 * Until a call has collected the answer to the naming, a poll says no IN. So that call makes the
 * edge, or a process that waits for edges would wait for bytes that are there.
 */
static void a_late_answer_brings_the_edge_of_its_bytes(void **state)
{
	wait_queue_head_t *wait;

	(void)state;
	file = host_open();
	wait = &host_channel(file)->link.wait;
	assert_int_equal(name_it(), -EAGAIN);
	host_serve();
	host_poll(file, EPOLLIN | EPOLLOUT);
	host_say(BYTES);
	host_serve();
	assert_false(host_poll(file, EPOLLIN | EPOLLOUT) & EPOLLIN);
	*wait = (wait_queue_head_t){ .sleepers = 1 };
	assert_int_equal(name_it(), 4);
	assert_int_equal(wait->wakes, 1);
	assert_true(wait->key & EPOLLIN);
	assert_int_equal(host_read(file, 0, BYTES, true), BYTES);
}

/* A process that has never read nor polled, and asks until there is something to read. */
static void who_asks_how_many_bytes_there_are_gets_them(void **state)
{
	int count = -1;

	(void)state;
	file = host_connect();
	host_say(BYTES);
	host_serve();
	assert_int_equal(file->f_op->unlocked_ioctl(file, FIONREAD, (unsigned long)&count), 0);
	host_serve();
	assert_int_equal(file->f_op->unlocked_ioctl(file, FIONREAD, (unsigned long)&count), 0);
	assert_int_equal(count, BYTES);
	assert_int_equal(host_read(file, 0, BYTES, true), BYTES);
}

/* The device says CLOSED without an interrupt at first [protocol.md 7.8]. */
static void an_open_finds_the_channel_that_has_closed(void **state)
{
	void (*interrupt)(struct fake_vq *vq) = host.rx.interrupt;

	(void)state;
	host.port.max_channels = 1;
	file = host_connect();
	host_close(file);
	host_answer(MP_OP_CLOSE, 0, MP_OK, 0);
	host.rx.interrupt = NULL;
	host_change(MP_ST_CLOSED, MP_ST_CONNECTED | MP_ST_IN | MP_ST_OUT);
	host_event(host.generation);
	host.rx.interrupt = interrupt;
	assert_int_equal(host.port.ledger.channels, 1);
	file = host_open();
	assert_int_equal(host.port.ledger.channels, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, host_begin, host_end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(a_late_answer_brings_the_edge_of_its_bytes),
		CASE(who_asks_how_many_bytes_there_are_gets_them),
		CASE(an_open_finds_the_channel_that_has_closed),
	};

	return cmocka_run_group_tests_name("kmod late", tests, NULL, NULL);
}
