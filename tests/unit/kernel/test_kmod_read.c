// SPDX-License-Identifier: MIT
/* From the service to a process, by copy: what is asked for, kept and told. */

#include <linux/atomic.h>
#include <sys/socket.h>

#include <manyport/ioctl.h>

#include "fake_host.h"
#include "kernel.h"
#include "kmod/calls.h"

#define BYTES	100U
#define LARGE	200000U

static struct file *file;
static unsigned int step;

static struct mp_in *in_of(void)
{
	return &host_channel(file)->in;
}

static long memory(void)
{
	return atomic_long_read(&host.port.ledger.bytes);
}

static int begin(void **state)
{
	host_begin(state);
	file = host_connect();
	step = 0;
	return 0;
}

static u16 read_flags(unsigned int nth)
{
	return le16_to_cpu(host_request(MP_OP_READ, nth)->flags);
}

/* The READ behind the event buffers: result and bytes are one piece. */
static void expect_two_pieces(void)
{
	const struct fake_added *last = &host.rx.added[host.rx.added_count - 1];

	assert_int_equal(last->out, 1);
	assert_int_equal(last->in, 1);
}

static bool say_something(void)
{
	if (step++)
		return false;
	assert_int_equal(host_count(MP_OP_READ), 1);
	assert_int_equal(read_flags(0), 0);	/* it may be parked, and is announced */
	expect_two_pieces();
	host_say(BYTES);
	return host_step();
}

static void a_reader_waits_with_one_read_at_the_device(void **state)
{
	(void)state;
	kernel_play(say_something);
	assert_int_equal(host_read(file, 0, 2 * BYTES, false), BYTES);
	/* Nothing is under way, so nothing is kept. */
	assert_int_equal(memory(), 0);
	host_change(MP_ST_IN_HUP, 0);
	host_event(host.generation);
	assert_int_equal(memory(), 0);
}

static bool give_back_then_say(void)
{
	switch (step++) {
	case 0:
		host_answer(MP_OP_READ, 0, MP_CANCELLED, 0);
		return true;
	case 1:
		assert_int_equal(host_count(MP_OP_READ), 1);
		host_say(BYTES);
		return host_step();
	default:
		return false;
	}
}

/* A parked READ comes back by a CANCEL for another reader, or when the ring stops. */
static void a_reader_whose_read_came_back_with_nothing_asks_again(void **state)
{
	(void)state;
	kernel_play(give_back_then_say);
	assert_int_equal(host_read(file, 0, BYTES, false), BYTES);
	assert_int_equal(step, 2);
}

/* The driver adds again, and each time there is no memory. */
static bool try_again(void)
{
	kernel_end_delays();
	kernel_run_work();
	return true;
}

/* One call ends for lack of memory; the next asks for bytes, as if there had been none. */
static void the_next_read_asks_where_one_found_no_memory(void **state)
{
	(void)state;
	host.rx.add_error = -ENOMEM;
	kernel_play(try_again);
	assert_int_equal(host_read(file, 0, BYTES, false), -ENOMEM);
	host.rx.add_error = 0;
	kernel_play(say_something);
	assert_int_equal(host_read(file, 0, BYTES, false), BYTES);
}

static void forget_meanwhile(void *arg)
{
	(void)arg;
	assert_int_equal(file->f_op->unlocked_ioctl(file, MANYPORT_IOC_SHUTDOWN, SHUT_RD), 0);
}

/* What one process copies another one may give up; it is dropped when it was copied. */
static void what_is_copied_is_forgotten_behind_the_copy(void **state)
{
	(void)state;
	host_say(BYTES);
	kernel_play(host_step);
	kernel_at(KERNEL_COPY, NULL, 0, forget_meanwhile, NULL);
	assert_int_equal(host_read(file, 0, BYTES / 2, false), BYTES / 2);
	assert_int_equal(in_of()->ready, 0);
	assert_false(in_of()->copying);
	assert_false(in_of()->forget);
	assert_int_equal(memory(), 0);
	assert_int_equal(host_read(file, BYTES / 2, BYTES, false), 0);
}

static void abort_meanwhile(void *arg)
{
	(void)arg;
	assert_int_equal(file->f_op->unlocked_ioctl(file, MANYPORT_IOC_ABORT, 0), 0);
}

static void an_abort_waits_for_the_copy_too(void **state)
{
	(void)state;
	host_say(BYTES);
	kernel_play(host_step);
	kernel_at(KERNEL_COPY, NULL, 0, abort_meanwhile, NULL);
	assert_int_equal(host_read(file, 0, BYTES, false), BYTES);
	assert_int_equal(memory(), 0);
	assert_int_equal(host_read(file, BYTES, BYTES, false), -ECONNRESET);
}

static void bytes_that_the_process_cannot_take_are_not_lost(void **state)
{
	u8 data[BYTES];

	(void)state;
	host_say(BYTES);
	kernel_play(host_step);
	assert_int_equal(host_call(file, true, data, BYTES, 0, false), -EFAULT);
	assert_int_equal(host_call(file, true, data, BYTES, 10, false), 10);
	assert_int_equal(host_read(file, 10, BYTES, false), BYTES - 10);
}

/* A service that talks on, and a polled reader: four READs or more are under way. */
static u64 stream(void)
{
	u64 offset = 0;
	ssize_t ret;

	host_poll(file, EPOLLIN);
	host_say(4 << 20);
	while (host_count(MP_OP_READ) < 4) {
		ret = host_read(file, offset, 65536, true);
		if (ret > 0)
			offset += ret;
		else if (host_count(MP_OP_READ) < 4)
			host_step();
	}
	while (in_of()->ready)
		offset += host_read(file, offset, 65536, true);
	assert_true(host_count(MP_OP_READ) >= 4);
	assert_int_equal(offset, host.in_next);
	return offset;
}

static void behind_a_short_one_nothing_is_asked_until_all_are_back(void **state)
{
	u64 offset = stream();
	unsigned int count = host_count(MP_OP_READ);

	(void)state;
	host_answer(MP_OP_READ, 0, MP_OK, BYTES);
	assert_int_equal(host_count(MP_OP_READ), count - 1);
	assert_int_equal(host_read(file, offset, 2 * BYTES, true), BYTES);
	assert_int_equal(host_count(MP_OP_READ), count - 1);
	while (--count) {
		assert_int_equal(host_count(MP_OP_READ), count);
		host_answer(MP_OP_READ, 0, MP_ORDER, 0);
	}
	assert_int_equal(host_count(MP_OP_READ), 1);
	assert_int_equal(host_request(MP_OP_READ, 0)->offset, cpu_to_le64(offset + BYTES));
	host_step();
	assert_int_equal(host_read(file, offset + BYTES, BYTES, true), BYTES);
}

static void bytes_behind_a_gap_are_the_end(void **state)
{
	u64 offset = stream(), second = le64_to_cpu(host_request(MP_OP_READ, 1)->offset);

	(void)state;
	host_answer(MP_OP_READ, 0, MP_OK, BYTES);
	host_answer_at(MP_OP_READ, 0, MP_OK, BYTES, second + BYTES);
	host_expect_warning("bytes behind a gap");
	assert_true(host_read(file, offset, BYTES, true) >= -ECONNRESET);
	assert_int_equal(host_read(file, offset + BYTES, BYTES, true), -ECONNRESET);
}

static void reads_lie(u32 status, u32 count, u64 offset, const char *what)
{
	host_poll(file, EPOLLIN);
	host_say(BYTES);
	assert_int_equal(host_count(MP_OP_READ), 1);
	host_answer_at(MP_OP_READ, 0, status, count, offset);
	host_expect_warning(what);
	assert_int_equal(host_read(file, 0, BYTES, true), -ECONNRESET);
}

static void an_order_without_a_short_one_is_the_end(void **state)
{
	(void)state;
	reads_lie(MP_ORDER, 0, 0, "read order");
}

static void again_arms(void **state)
{
	(void)state;
	reads_lie(MP_AGAIN, 0, 0, "read again");
}

static void an_offset_is_behind_the_bytes(void **state)
{
	(void)state;
	reads_lie(MP_OK, BYTES, BYTES + 1, "read offset");
}

static void nothing_is_no_bytes_before_the_end(void **state)
{
	(void)state;
	reads_lie(MP_OK, 0, 0, "empty read");
}

static void the_end_comes_behind_the_bytes(void **state)
{
	(void)state;
	host_say(BYTES);
	host_change(MP_ST_IN_HUP, 0);
	kernel_play(host_step);
	assert_int_equal(host_read(file, 0, BYTES, false), BYTES);
	host_change(MP_ST_IN_END, MP_ST_IN);
	host_event(host.generation);
	assert_int_equal(host_read(file, BYTES, BYTES, false), 0);
	assert_int_equal(host_read(file, BYTES, BYTES, true), 0);
}

/* A polled channel: IN means bytes, and a reader that may not wait gets them. */
static void a_polled_channel_is_fetched_for(void **state)
{
	(void)state;
	assert_false(host_poll(file, EPOLLIN) & EPOLLIN);
	in_of()->half.link->wait = (wait_queue_head_t){ .sleepers = 1 };
	host_say(BYTES);
	assert_false(in_of()->half.link->wait.key & EPOLLIN);	/* a hope */
	assert_int_equal(read_flags(0), MP_READ_NOW);
	host_step();
	assert_true(in_of()->half.link->wait.key & EPOLLIN);
	assert_int_equal(host_read(file, 0, BYTES, true), BYTES);
	assert_int_equal(host_read(file, BYTES, BYTES, true), -EAGAIN);
}

/* Programs read messages of some bytes into large buffers: their size says nothing. */
static void a_large_buffer_makes_no_large_read(void **state)
{
	(void)state;
	host_poll(file, EPOLLIN);
	host_say(BYTES);
	host_serve();
	assert_int_equal(host_read(file, 0, 60000, true), BYTES);
	assert_int_equal(host_write(file, 0, BYTES, true), BYTES);
	assert_int_equal(host_count(MP_OP_READ), 1);	/* ahead of the write */
	assert_in_range(le32_to_cpu(host_request(MP_OP_READ, 0)->length), 1, 4096);
}

/* The device is always faster than the reader: no read ever finds nothing. */
static void a_poller_that_always_finds_bytes_gets_larger_reads(void **state)
{
	unsigned int reads = 0;
	u64 offset = 0;
	ssize_t ret;

	(void)state;
	host_poll(file, EPOLLIN);
	host_say(1 << 20);
	while (offset < 1 << 20) {
		host_serve();
		ret = host_read(file, offset, 65536, true);
		assert_true(ret > 0);
		offset += ret;
		reads++;
	}
	assert_in_range(reads, 1, 32);	/* 270 if each brought a page */
}

/* Without memory a poll says IN, and the read that follows tries again. */
static void a_poller_without_memory_is_told_to_read(void **state)
{
	(void)state;
	host_poll(file, EPOLLIN);
	kernel_fail_allocs(2);
	host_say(BYTES);
	assert_int_equal(host_count(MP_OP_READ), 0);
	assert_true(host_poll(file, EPOLLIN) & EPOLLIN);
	assert_int_equal(host_read(file, 0, BYTES, true), -EAGAIN);
	host_serve();
	assert_int_equal(host_read(file, 0, BYTES, true), BYTES);
}

static bool kill_reader(void)
{
	kernel_send_signal(false);
	return true;
}

/* A reader that leaves has its READ taken back, and what the READ brings all the same is kept. */
static void a_reader_that_leaves_loses_nothing(void **state)
{
	(void)state;
	kernel_play(kill_reader);
	assert_int_equal(host_read(file, 0, BYTES, false), -ERESTARTSYS);
	kernel_end_signal();
	assert_int_equal(host_count(MP_OP_CANCEL), 1);
	host.said = BYTES;
	host_answer(MP_OP_READ, 0, MP_OK, BYTES);
	host_serve();
	assert_int_equal(host_read(file, 0, BYTES, true), BYTES);
	assert_int_equal(host_count(MP_OP_CANCEL), 0);
}

static bool kill_for_good(void)
{
	kernel_send_signal(true);
	return true;
}

/* A large read is killed while its READ is at the device, which then answers. */
static void be_killed_in_a_large_read(void)
{
	static u8 pages[LARGE] __aligned(PAGE_SIZE);

	host_say(LARGE);
	kernel_play(kill_for_good);
	assert_int_equal(host_call(file, true, pages + 1, LARGE - 1, LARGE - 1, host.is_registered),
			 -EINTR);
	kernel_end_signal();
	assert_int_equal(host_count(MP_OP_READ), 1);
	host_serve();
}

static void what_a_killed_readers_pages_got_is_for_the_next(void **state)
{
	(void)state;
	be_killed_in_a_large_read();
	assert_int_equal(host_read(file, 0, BYTES, true), -EAGAIN);
	kernel_run_work();
	assert_int_equal(kernel_pinned(), 0);
	assert_int_equal(host_read(file, 0, BYTES, true), BYTES);
	assert_int_equal(host_read(file, BYTES, LARGE, true), LARGE - 1 - BYTES);
	host_serve();
	assert_int_equal(host_read(file, LARGE - 1, BYTES, true), 1);
}

static void what_a_killed_readers_pages_got_ends_with_the_half(void **state)
{
	(void)state;
	be_killed_in_a_large_read();
	assert_int_equal(mp_shutdown(host_channel(file), SHUT_RD), 0);
	kernel_run_work();
	assert_int_equal(kernel_pinned(), 0);
	assert_int_equal(host_read(file, 0, BYTES, true), 0);
}

/* io_uring lets its pages go when the call returns: each has a reference until the answer. */
static void a_killed_workers_pages_have_references(void **state)
{
	(void)state;
	host.is_registered = true;
	current->flags = PF_IO_WORKER;
	current->worker_private = file;
	be_killed_in_a_large_read();
	assert_int_equal(kernel_pinned(), DIV_ROUND_UP(LARGE, PAGE_SIZE));
	kernel_run_work();
	assert_int_equal(kernel_pinned(), 0);
	host.is_registered = false;
	assert_int_equal(host_read(file, 0, LARGE, true), LARGE - 1);
}

/* The thread that takes submissions must not wait: it has the flag, and is no worker. */
static void registered_pages_are_read_into_by_a_worker_only(void **state)
{
	static u8 pages[LARGE] __aligned(PAGE_SIZE);
	struct mp_half *half = &host_channel(file)->in.half;

	(void)state;
	host.is_registered = true;
	kernel_play(host_step);
	while (half->bytes < 4 * LARGE) {
		bool is_worker = half->bytes >= 2 * LARGE;

		if (half->bytes == host.said)
			host_say(LARGE);
		current->flags = half->bytes >= LARGE ? PF_IO_WORKER : 0;
		current->worker_private = is_worker ? file : NULL;
		host_call(file, true, pages, LARGE, LARGE, true);
		assert_true(is_worker || !half->zero_copy);
		host_serve();
	}
	assert_true(half->zero_copy >= LARGE);
	assert_int_equal(kernel_pinned(), 0);
	assert_int_equal(kernel_dirtied(), 0);	/* that takes the page's lock */
}

/* Such as a block request's, which a server of disks may register: a reference keeps none. */
static void a_drivers_pages_are_copied(void **state)
{
	static u8 pages[LARGE] __aligned(PAGE_SIZE);
	struct mp_half *half = &host_channel(file)->in.half;

	(void)state;
	host.is_registered = true;
	kernel_registers_pinned(false);
	current->flags = PF_IO_WORKER;
	current->worker_private = file;
	kernel_play(host_step);
	while (half->bytes < 4 * LARGE) {
		if (half->bytes == host.said)
			host_say(LARGE);
		host_call(file, true, pages, LARGE, LARGE, true);
		host_serve();
	}
	kernel_registers_pinned(true);
	assert_int_equal(half->zero_copy, 0);
	assert_int_equal(kernel_pinned(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, host_end)
		CASE(a_reader_waits_with_one_read_at_the_device),
		CASE(the_next_read_asks_where_one_found_no_memory),
		CASE(a_reader_whose_read_came_back_with_nothing_asks_again),
		CASE(what_is_copied_is_forgotten_behind_the_copy),
		CASE(an_abort_waits_for_the_copy_too),
		CASE(bytes_that_the_process_cannot_take_are_not_lost),
		CASE(behind_a_short_one_nothing_is_asked_until_all_are_back),
		CASE(bytes_behind_a_gap_are_the_end),
		CASE(an_order_without_a_short_one_is_the_end),
		CASE(again_arms),
		CASE(an_offset_is_behind_the_bytes),
		CASE(nothing_is_no_bytes_before_the_end),
		CASE(the_end_comes_behind_the_bytes),
		CASE(a_polled_channel_is_fetched_for),
		CASE(a_large_buffer_makes_no_large_read),
		CASE(a_poller_that_always_finds_bytes_gets_larger_reads),
		CASE(a_poller_without_memory_is_told_to_read),
		CASE(a_reader_that_leaves_loses_nothing),
		CASE(what_a_killed_readers_pages_got_is_for_the_next),
		CASE(what_a_killed_readers_pages_got_ends_with_the_half),
		CASE(a_killed_workers_pages_have_references),
		CASE(registered_pages_are_read_into_by_a_worker_only),
		CASE(a_drivers_pages_are_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
