// SPDX-License-Identifier: MIT
/* From a process to the service, by copy: what is sent, when, and what becomes of it. */

#include <sys/socket.h>

#include <manyport/ioctl.h>

#include "fake_host.h"
#include "kernel.h"
#include "kmod/calls.h"

#define SMALL	64U
#define CHUNK	65536U	/* as long as one gets */
#define LARGE	100000U	/* on the caller's pages */

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

/* Handles what was answered: the queue's own time for that. */
static void look(void)
{
	kernel_end_timers();
	mp_pair_look_later(&host.pair);
	kernel_run_work();
}

/* Nothing is added to a chunk that goes out at once, nor to its memory; the next one has room. */
static void what_goes_at_once_takes_little_memory(void **state)
{
	struct file *file = host_connect();

	(void)state;
	assert_int_equal(host_write(file, 0, SMALL, false), SMALL);
	assert_int_equal(atomic_long_read(&host.port.ledger.bytes), MP_POOL_SMALL_BYTES);
	assert_int_equal(host_write(file, SMALL, SMALL, false), SMALL);
	assert_true(atomic_long_read(&host.port.ledger.bytes) > CHUNK);
	host_serve();
	look();
	host_serve();
	look();
	assert_int_equal(host.out_next, 2 * SMALL);
}

/* With the service full what is written waits, and is filled further. */
static void what_waits_for_room_has_a_page(void **state)
{
	struct file *file = host_connect();

	(void)state;
	host.room = 0;
	host_change(0, MP_ST_OUT);
	host_event(host.generation);
	assert_int_equal(host_write(file, 0, SMALL, false), SMALL);
	assert_int_equal(host_count(MP_OP_WRITE), 0);
	assert_int_equal(atomic_long_read(&host.port.ledger.bytes), 4096);
	assert_int_equal(host_write(file, SMALL, SMALL, false), SMALL);
	assert_int_equal(atomic_long_read(&host.port.ledger.bytes), 4096);
}

/* The service takes a part: what is left goes from there, once there is room. */
static void a_short_write_goes_on_where_the_service_is(void **state)
{
	struct file *file = host_connect();

	(void)state;
	host.room = 10;
	assert_int_equal(host_write(file, 0, SMALL, false), SMALL);
	assert_int_equal(host.tx.added[0].out, 1);	/* header and bytes are one piece */
	assert_int_equal(host.tx.added[0].in, 1);
	host_step();
	look();
	assert_int_equal(host_count(MP_OP_WRITE), 0);
	assert_int_equal(host_channel(file)->out.bytes, SMALL - 10);
	host.room = UINT64_MAX;
	host_change(MP_ST_OUT, 0);
	host_event(host.generation);
	assert_int_equal(host_request(MP_OP_WRITE, 0)->offset, cpu_to_le64(10));
	assert_int_equal(host_request(MP_OP_WRITE, 0)->length, cpu_to_le32(SMALL - 10));
	assert_int_equal(host.tx.added[0].out, 1);
	host_serve();
	look();
	assert_int_equal(host.out_next, SMALL);
	assert_int_equal(host_channel(file)->out.bytes, 0);
}

/* Three full chunks are under way; the first comes back short, the others with ORDER. */
static void behind_a_short_one_all_come_back_first(void **state)
{
	struct file *file = host_connect();

	(void)state;
	assert_int_equal(host_write(file, 0, 3 * CHUNK, true), 3 * CHUNK);
	assert_int_equal(host_count(MP_OP_WRITE), 3);
	host_answer(MP_OP_WRITE, 0, MP_OK, 1000);
	host_answer(MP_OP_WRITE, 0, MP_ORDER, 0);
	look();
	assert_int_equal(host_count(MP_OP_WRITE), 1);
	host_answer(MP_OP_WRITE, 0, MP_ORDER, 0);
	look();
	assert_int_equal(host_count(MP_OP_WRITE), 3);
	assert_int_equal(host_request(MP_OP_WRITE, 0)->offset, cpu_to_le64(1000));
	assert_int_equal(host_request(MP_OP_WRITE, 1)->offset, cpu_to_le64(CHUNK));
	host_serve();
	look();
	assert_int_equal(host.out_next, 3 * CHUNK);
}

static void write_lies(u32 status, u32 count, u64 offset, const char *what)
{
	struct file *file = host_connect();

	assert_int_equal(host_write(file, 0, SMALL, false), SMALL);
	host_answer_at(MP_OP_WRITE, 0, status, count, offset);
	look();
	host_expect_warning(what);
	assert_int_equal(host_write(file, SMALL, SMALL, false), -ECONNRESET);
	assert_int_equal(atomic_long_read(&host.port.ledger.bytes), 0);
}

static void an_order_for_the_first_is_the_end(void **state)
{
	(void)state;
	write_lies(MP_ORDER, 0, 0, "write order");
}

static void again_arms(void **state)
{
	(void)state;
	write_lies(MP_AGAIN, 0, 0, "write again");
}

static void an_offset_is_behind_the_bytes(void **state)
{
	(void)state;
	write_lies(MP_OK, SMALL, SMALL - 1, "write offset");
}

/* What was accepted and not taken is owed as an error, once, and its memory is given back. */
static void the_end_of_the_service_drops_what_it_did_not_take(void **state)
{
	struct file *file = host_connect();

	(void)state;
	assert_int_equal(host_write(file, 0, SMALL, false), SMALL);
	assert_int_equal(host_write(file, SMALL, SMALL, false), SMALL);
	host_change(MP_ST_OUT_END, 0);
	host_answer(MP_OP_WRITE, 0, MP_ENDED, 0);
	look();
	assert_int_equal(atomic_long_read(&host.port.ledger.bytes), 0);
	assert_int_equal(host_channel(file)->out.error, -EPIPE);
	assert_int_equal(host_write(file, 2 * SMALL, SMALL, false), -EPIPE);
	assert_int_equal(host_channel(file)->out.error, 0);
}

static void answer_meanwhile(void *arg)
{
	(void)arg;
	host_answer(MP_OP_WRITE, 0, MP_OK, SMALL);
	look();
	assert_int_equal(host_count(MP_OP_WRITE), 0);
}

/* The last chunk is being filled further when its turn comes: it goes with all of its bytes. */
static void a_chunk_is_not_sent_while_it_is_being_filled(void **state)
{
	struct file *file = host_connect();

	(void)state;
	assert_int_equal(host_write(file, 0, SMALL, false), SMALL);
	assert_int_equal(host_write(file, SMALL, SMALL, false), SMALL);
	kernel_at(KERNEL_COPY, NULL, 0, answer_meanwhile, NULL);
	assert_int_equal(host_write(file, 2 * SMALL, SMALL, false), SMALL);
	assert_int_equal(host_request(MP_OP_WRITE, 0)->length, cpu_to_le32(2 * SMALL));
	host_serve();
	assert_int_equal(host.out_next, 3 * SMALL);
}

static void abort_meanwhile(void *arg)
{
	struct file *file = arg;

	assert_int_equal(file->f_op->unlocked_ioctl(file, MANYPORT_IOC_ABORT, 0), 0);
}

/* The channel is given up while a writer fills a chunk, a new one or the last one. */
static void what_is_being_filled_is_dropped_behind_that(void **state)
{
	struct file *file = host_connect();
	unsigned int before;

	for (before = 0; before < 3; before++, file = host_connect()) {
		unsigned int i;

		for (i = 0; i < before; i++)
			assert_int_equal(host_write(file, i * SMALL, SMALL, false), SMALL);
		kernel_at(KERNEL_COPY, NULL, 0, abort_meanwhile, file);
		assert_int_equal(host_write(file, before * SMALL, SMALL, false), -ECONNRESET);
		host_close(file);
		host_serve();
		look();
		while (kernel_run_work())
			;
	}
	(void)state;
}

/* The send buffer is full: who may wait does so, and all of it arrives. */
static void a_writer_waits_for_room_and_all_arrives(void **state)
{
	struct file *file = host_connect();

	(void)state;
	kernel_play(host_step);
	assert_int_equal(host_write(file, 0, 10 * CHUNK - 1, false), 10 * CHUNK - 1);
	assert_int_equal(file->f_op->fsync(file, 0, 0, 0), 0);
	assert_int_equal(host.out_next, 10 * CHUNK - 1);
	assert_int_equal(kernel_pinned(), 0);
}

static void a_full_channel_says_so_and_then_makes_an_edge(void **state)
{
	struct file *file = host_connect();
	wait_queue_head_t *wait = &host_channel(file)->link.wait;
	ssize_t ret, done = 0;

	(void)state;
	host.room = 0;
	while ((ret = host_write(file, done, CHUNK, true)) > 0) {
		done += ret;
		host_serve();
	}
	assert_int_equal(ret, -EAGAIN);
	assert_in_range(done, mp_send_buffer - CHUNK, mp_send_buffer + CHUNK);
	assert_false(host_poll(file, EPOLLOUT) & EPOLLOUT);
	*wait = (wait_queue_head_t){ .sleepers = 1 };
	host.room = UINT64_MAX;
	host_change(MP_ST_OUT, 0);
	host_event(host.generation);
	host_serve();
	look();
	assert_true(wait->key & EPOLLOUT);
	assert_int_equal(host.out_next, done);
}

static bool kill_for_good(void)
{
	kernel_send_signal(true);
	return true;
}

/* What the device takes of pages that it has is the end of what is written. */
static void the_end_is_told_when_pages_are_back(void **state)
{
	static u8 pages[LARGE] __aligned(PAGE_SIZE);
	struct file *file = host_connect();
	unsigned int i;

	(void)state;
	for (i = 0; i < LARGE; i++)
		pages[i] = host_byte(i);
	kernel_play(kill_for_good);
	assert_int_equal(host_call(file, false, pages, LARGE, LARGE, false), -EINTR);
	kernel_end_signal();
	assert_int_equal(mp_shutdown(host_channel(file), SHUT_WR), 0);
	assert_int_equal(host_write(file, 0, SMALL, true), -EPIPE);
	assert_int_equal(host_count(MP_OP_SHUTDOWN), 0);
	while (host_count(MP_OP_WRITE) > 1)
		host_answer(MP_OP_WRITE, 1, MP_ORDER, 0);
	host_answer(MP_OP_WRITE, 0, MP_OK, SMALL);
	kernel_run_work();
	assert_int_equal(host_count(MP_OP_SHUTDOWN), 1);
	assert_int_equal(host_request(MP_OP_SHUTDOWN, 0)->offset, cpu_to_le64(SMALL));
	host_serve();
}

/* A write finds the service's end, before the answer to a write that the service did not take. */
static void an_end_that_a_write_has_told_is_no_error_later(void **state)
{
	struct file *file = host_connect();

	(void)state;
	assert_int_equal(host_write(file, 0, SMALL, false), SMALL);
	host_change(MP_ST_OUT_END, 0);
	host_event(host.generation);
	assert_int_equal(host_write(file, SMALL, SMALL, false), -EPIPE);
	assert_false(host_poll(file, EPOLLOUT | EPOLLERR) & EPOLLERR);
	host_answer(MP_OP_WRITE, 0, MP_ENDED, 0);
	look();
	assert_int_equal(host_channel(file)->out.bytes, 0);
	assert_false(host_poll(file, EPOLLOUT | EPOLLERR) & EPOLLERR);
	assert_int_equal(file->f_op->fsync(file, 0, 0, 0), 0);
}

/* The EPIPE of a half that the process has shut says nothing of what was written before. */
static void what_is_lost_behind_a_shutdown_is_told(void **state)
{
	struct file *file = host_connect();

	(void)state;
	assert_int_equal(host_write(file, 0, SMALL, false), SMALL);
	assert_int_equal(mp_shutdown(host_channel(file), SHUT_WR), 0);
	assert_int_equal(host_write(file, SMALL, SMALL, false), -EPIPE);
	host_change(MP_ST_OUT_END, 0);
	host_event(host.generation);
	host_answer(MP_OP_WRITE, 0, MP_ENDED, 0);
	look();
	assert_true(host_poll(file, EPOLLOUT | EPOLLERR) & EPOLLERR);
	assert_int_equal(file->f_op->fsync(file, 0, 0, 0), -EPIPE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, host_begin, host_end)
		CASE(a_write_returns_before_its_answer_and_needs_no_interrupt),
		CASE(what_goes_at_once_takes_little_memory),
		CASE(what_waits_for_room_has_a_page),
		CASE(writes_behind_another_travel_together),
		CASE(a_short_write_goes_on_where_the_service_is),
		CASE(behind_a_short_one_all_come_back_first),
		CASE(an_order_for_the_first_is_the_end),
		CASE(again_arms),
		CASE(an_offset_is_behind_the_bytes),
		CASE(the_end_of_the_service_drops_what_it_did_not_take),
		CASE(a_chunk_is_not_sent_while_it_is_being_filled),
		CASE(what_is_being_filled_is_dropped_behind_that),
		CASE(a_writer_waits_for_room_and_all_arrives),
		CASE(a_full_channel_says_so_and_then_makes_an_edge),
		CASE(the_end_is_told_when_pages_are_back),
		CASE(an_end_that_a_write_has_told_is_no_error_later),
		CASE(what_is_lost_behind_a_shutdown_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
