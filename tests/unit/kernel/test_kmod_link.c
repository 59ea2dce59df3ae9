// SPDX-License-Identifier: MIT
/* A channel and its slot: which answers and events count, and which end the channel. */

#include "fake_host.h"
#include "kernel.h"

static struct file *file;

static struct mp_link *link_of(void)
{
	return &host_channel(file)->link;
}

static int begin(void **state)
{
	host_begin(state);
	file = host_connect();
	return 0;
}

/* A fixed port whose service has ended, and a process that a read has told so. */
static int begin_ended(void **state)
{
	host_begin_fixed(state);
	file = host_connect();
	host_change(MP_ST_IN_HUP | MP_ST_IN_END | MP_ST_OUT_END, 0);
	host_event(host.generation);
	assert_int_equal(host_read(file, 0, 10, false), 0);
	return 0;
}

static void the_newest_state_counts(void **state)
{
	u32 seq = host.seq;

	(void)state;
	host_change(MP_ST_IN, 0);
	host_event(host.generation);
	assert_true(link_of()->bits & MP_ST_IN);
	host.seq = seq;		/* overtaken on its way */
	host.bits &= ~MP_ST_IN;
	host_event(host.generation);
	assert_true(link_of()->bits & MP_ST_IN);
	host.seq = seq + 2;
	host_event(host.generation);
	assert_false(link_of()->bits & MP_ST_IN);
}

static void an_end_is_for_ever(void **state)
{
	(void)state;
	host_change(MP_ST_IN_END, 0);
	host_event(host.generation);
	host_change(0, MP_ST_IN_END | MP_ST_CONNECTED);
	host_event(host.generation);
	assert_int_equal(link_of()->bits & (MP_ST_IN_END | MP_ST_CONNECTED),
			 MP_ST_IN_END | MP_ST_CONNECTED);
}

static void an_event_of_another_generation_or_slot_is_none(void **state)
{
	u64 before = link_of()->events;

	(void)state;
	host_change(MP_ST_FAILED, 0);
	host_event(host.generation + 1);
	host.slot++;
	host_event(host.generation);
	host.slot = MP_CHANNEL_NONE;
	host_event(host.generation);
	host.slot = link_of()->slot;
	host.bits |= 0x8000;
	host_event(host.generation);	/* no state at all */
	assert_int_equal(link_of()->events, before);
	assert_false(link_of()->bits & MP_ST_FAILED);
}

static void ask_for_the_next(void *arg)
{
	u32 generation = link_of()->generation;

	(void)arg;
	assert_int_equal(host_read(file, 0, 10, false), 0);
	assert_int_not_equal(link_of()->generation, generation);
}

/*
 * An event has found its channel by slot and generation, and before it has the channel's lock a
 * read goes on to the next generation. The state is that of the last one's end: the new generation
 * would be over before the device has heard of it.
 */
static void a_generation_may_end_under_an_event(void **state)
{
	(void)state;
	host_change(MP_ST_FAILED, 0);
	kernel_at(KERNEL_LOCK, &link_of()->lock, 0, ask_for_the_next, NULL);
	host_event(host.generation);
	assert_int_equal(link_of()->phase, MP_PHASE_NAMING);
	assert_int_equal(link_of()->bits, 0);
	host_serve();
	assert_int_equal(link_of()->phase, MP_PHASE_CONNECTED);
	assert_int_equal(link_of()->bits, MP_ST_CONNECTED | MP_ST_OUT);
	assert_int_equal(host_write(file, 0, 10, false), 10);
	host_serve();
	assert_int_equal(host.out_next, 10);
}

/* A late answer of the last generation frees its request, and says nothing of this one. */
static void a_late_answer_is_of_its_own_generation(void **state)
{
	struct mp_channel *ch = host_channel(file);

	(void)state;
	ask_for_the_next(NULL);
	assert_int_equal(host_count(MP_OP_CLOSE), 1);
	assert_int_equal(host_count(MP_OP_CONNECT), 1);
	host_change(MP_ST_CLOSED, 0);
	host_answer(MP_OP_CLOSE, 0, MP_OK, 0);
	assert_false(ch->link.is_closed);
	assert_false(ch->link.urgent.close_busy);
	assert_int_equal(ch->link.bits, 0);
	host_serve();
	assert_int_equal(ch->link.phase, MP_PHASE_CONNECTED);
}

static void write_one(void)
{
	assert_int_equal(host_write(file, 0, 10, false), 10);
}

/* The queue sees to it that answers are found; so does this, for a test that wants them now. */
static void look(void)
{
	u8 byte;

	assert_int_equal(host_call(file, true, &byte, 1, 1, true), link_of()->error ?: -EAGAIN);
	kernel_end_timers();
	mp_pair_look_later(&host.pair);
	kernel_run_work();
}

static void breaks(u32 status, u32 count, const char *what)
{
	write_one();
	host_answer_at(MP_OP_WRITE, 0, status, count, count);
	look();
	assert_int_equal(link_of()->error, -ECONNRESET);
	host_expect_warning(what);
	assert_int_equal(host_write(file, 10, 10, false), -ECONNRESET);
}

static void a_channel_that_the_device_does_not_know_is_over(void **state)
{
	(void)state;
	breaks(MP_STALE, 0, "channel unknown");
}

static void a_result_that_makes_no_sense_is_the_end(void **state)
{
	(void)state;
	breaks(MP_OK, 11, "result");
}

static void the_memory_of_the_driver_must_be_reachable(void **state)
{
	(void)state;
	write_one();
	host_answer(MP_OP_WRITE, 0, MP_FAULT, 0);
	look();
	assert_int_equal(link_of()->error, -EIO);
	host_expect_warning("cannot reach");
}

/* Every holder of a channel hears of a queue that broke, and a sleeper wakes. */
static void a_broken_queue_ends_its_channels(void **state)
{
	(void)state;
	host.tx.is_broken = true;
	link_of()->wait = (wait_queue_head_t){ .sleepers = 1 };
	write_one();
	while (kernel_run_work())
		;
	assert_int_equal(link_of()->error, -EIO);
	assert_int_equal(link_of()->wait.wakes, 1);
	assert_int_equal(host_write(file, 10, 10, false), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, host_end)
#define ENDED(name) cmocka_unit_test_setup_teardown(name, begin_ended, host_end)
		CASE(the_newest_state_counts),
		CASE(an_end_is_for_ever),
		CASE(an_event_of_another_generation_or_slot_is_none),
		ENDED(a_generation_may_end_under_an_event),
		ENDED(a_late_answer_is_of_its_own_generation),
		CASE(a_channel_that_the_device_does_not_know_is_over),
		CASE(a_result_that_makes_no_sense_is_the_end),
		CASE(the_memory_of_the_driver_must_be_reachable),
		CASE(a_broken_queue_ends_its_channels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
