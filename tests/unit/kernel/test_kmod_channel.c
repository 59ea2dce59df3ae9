// SPDX-License-Identifier: MIT
/* One call each way at a time: what a call finds that may not wait for another. */

#include "fake_host.h"
#include "kernel.h"

#define BYTES 100U

static struct file *file;
static ssize_t got;

static int begin(void **state)
{
	host_begin(state);
	file = host_connect();
	got = 0;
	return 0;
}

/* A process that waits for an edge, as epoll does. */
static void watch(void)
{
	host_channel(file)->link.wait = (wait_queue_head_t){ .sleepers = 1 };
}

static unsigned int edges(void)
{
	return host_channel(file)->link.wait.wakes;
}

static void read_meanwhile(void *arg)
{
	(void)arg;
	got = host_read(file, 0, BYTES, true);
	assert_int_equal(edges(), 0);
}

/*
 * A reader that may not wait meets another one in its copy. It was told IN, and is told EAGAIN: so
 * the other one makes an edge when it leaves, or the bytes that are left would be waited for.
 */
static void a_reader_in_the_way_makes_an_edge(void **state)
{
	(void)state;
	host_poll(file, EPOLLIN);
	host_say(BYTES);
	host_serve();
	watch();
	kernel_at(KERNEL_COPY, NULL, 0, read_meanwhile, NULL);
	assert_int_equal(host_read(file, 0, BYTES / 2, false), BYTES / 2);
	assert_int_equal(got, -EAGAIN);
	assert_int_equal(edges(), 1);
	assert_true(host_channel(file)->link.wait.key & EPOLLIN);
	assert_int_equal(host_read(file, BYTES / 2, BYTES, true), BYTES / 2);
	assert_int_equal(edges(), 1);
}

static void write_meanwhile(void *arg)
{
	(void)arg;
	got = host_write(file, 0, BYTES, true);
}

static void a_writer_in_the_way_makes_an_edge(void **state)
{
	(void)state;
	watch();
	kernel_at(KERNEL_COPY, NULL, 0, write_meanwhile, NULL);
	assert_int_equal(host_write(file, 0, BYTES, false), BYTES);
	assert_int_equal(got, -EAGAIN);
	assert_int_equal(edges(), 1);
	assert_true(host_channel(file)->link.wait.key & EPOLLOUT);
}

static void leave(void *arg)
{
	struct mp_channel *ch = host_channel(file);

	(void)arg;
	mp_channel_unlock(ch, &ch->read_mutex, EPOLLIN);
}

/* The holder leaves when the other has found the mutex taken and has not said so yet. */
static void a_contender_looks_once_more(void **state)
{
	struct mp_channel *ch = host_channel(file);

	(void)state;
	watch();
	assert_int_equal(mp_channel_lock(ch, &ch->read_mutex, EPOLLIN, false), 0);
	kernel_at(KERNEL_LOCK, &ch->link.lock, 0, leave, NULL);
	assert_int_equal(mp_channel_lock(ch, &ch->read_mutex, EPOLLIN, true), 0);
	mp_channel_unlock(ch, &ch->read_mutex, EPOLLIN);
}

/* It leaves when the other has said so, and before that one's second look. */
static void the_second_look_and_the_edge_may_both_be(void **state)
{
	struct mp_channel *ch = host_channel(file);

	(void)state;
	watch();
	assert_int_equal(mp_channel_lock(ch, &ch->read_mutex, EPOLLIN, false), 0);
	kernel_at(KERNEL_TRYLOCK, &ch->read_mutex, 1, leave, NULL);
	assert_int_equal(mp_channel_lock(ch, &ch->read_mutex, EPOLLIN, true), 0);
	assert_int_equal(edges(), 1);
	mp_channel_unlock(ch, &ch->read_mutex, EPOLLIN);
	assert_int_equal(edges(), 1);
}

/* What one direction waits for is no edge of the other. */
static void the_other_direction_keeps_its_contender(void **state)
{
	struct mp_channel *ch = host_channel(file);

	(void)state;
	watch();
	assert_int_equal(mp_channel_lock(ch, &ch->read_mutex, EPOLLIN, false), 0);
	assert_int_equal(mp_channel_lock(ch, &ch->read_mutex, EPOLLIN, true), -EAGAIN);
	assert_int_equal(host_write(file, 0, BYTES, false), BYTES);
	assert_int_equal(edges(), 0);
	mp_channel_unlock(ch, &ch->read_mutex, EPOLLIN);
	assert_int_equal(edges(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, host_end)
		CASE(a_reader_in_the_way_makes_an_edge),
		CASE(a_writer_in_the_way_makes_an_edge),
		CASE(a_contender_looks_once_more),
		CASE(the_second_look_and_the_edge_may_both_be),
		CASE(the_other_direction_keeps_its_contender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
