// SPDX-License-Identifier: MIT
/* A port's two queues: what an interrupt, a spinning call, the timer and the work item handle. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/errno.h>
#include <linux/preempt.h>

#include "fake_req.h"
#include "fake_vq.h"
#include "kernel.h"
#include "kmod/pair.h"

#define COUNT	200U
#define BUDGET	64U	/* what one interrupt handles at most */

static struct fake_vq rx, tx;
static struct mp_pair pair;
static struct fake_req reqs[COUNT];
static struct work_struct broken_work;
static unsigned int events;

static void on_event(struct mp_queue *queue, const struct mp_event *event, u32 used)
{
	assert_ptr_equal(queue, &pair.rx);
	assert_int_equal(used, sizeof(*event));
	events++;
}

static void on_interrupt(struct fake_vq *fake)
{
	(void)fake;
	mp_pair_interrupt(&pair);
}

static int setup(void **state)
{
	(void)state;
	kernel_reset();
	memset(&pair, 0, sizeof(pair));
	memset(reqs, 0, sizeof(reqs));
	events = 0;
	fake_vq_init(&rx, FAKE_VQ_MAX, true);
	fake_vq_init(&tx, FAKE_VQ_MAX, true);
	rx.interrupt = on_interrupt;
	tx.interrupt = on_interrupt;
	INIT_LIST_HEAD(&broken_work.node);
	mp_pair_init(&pair, on_event, &broken_work);
	mp_pair_attach(&pair, &rx.vq, &tx.vq);
	assert_int_equal(mp_queue_post_events(&pair.rx), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	mp_pair_kill(&pair);
	mp_pair_detach(&pair);
	mp_pair_flush(&pair);
	return 0;
}

static void submit(struct mp_queue *queue, struct fake_req *fake, bool is_lazy)
{
	fake_req_init(fake, queue == &pair.tx ? MP_OP_WRITE : MP_OP_READ, true);
	fake->req.is_lazy = is_lazy;
	assert_true(fake_submit(queue, &fake->req) >= 0);
}

/* The device answers all that the queue has but its first @from, in one go and silently. */
static void answer_all(struct fake_vq *fake, unsigned int from)
{
	while (fake->added_count > from)
		fake_vq_answer(fake, from, sizeof(struct mp_result));
}

static void interrupt(void)
{
	kernel_irq_enter();
	mp_pair_interrupt(&pair);
	kernel_irq_exit();
}

static unsigned int done(void)
{
	return fake_reqs_done(reqs, COUNT);
}

static void an_interrupt_handles_a_budget_and_the_work_item_the_rest(void **state)
{
	unsigned int i, before, rounds = 0;

	(void)state;
	for (i = 0; i < COUNT; i++)
		submit(&pair.tx, &reqs[i], false);
	tx.interrupt = NULL;
	answer_all(&tx, 0);
	interrupt();
	assert_in_range(done(), BUDGET / 2, BUDGET);
	before = done();
	interrupt();	/* the pair is the work item's now */
	assert_int_equal(done(), before);
	for (; done() < COUNT; rounds++) {
		before = done();
		assert_int_equal(kernel_run_work(), 1);
		assert_true(done() > before);
		assert_true(done() - before <= 2 * BUDGET);
	}
	assert_true(rounds > 0);
	while (kernel_run_work())
		;
	submit(&pair.tx, &reqs[0], false);
	tx.interrupt = on_interrupt;
	answer_all(&tx, 0);	/* interrupts are handled again */
	assert_int_equal(reqs[0].done, 1);
}

/* A device that answers WRITEs as fast as they come keeps no reader waiting. */
static void a_full_transmit_queue_leaves_a_part_to_the_receive_queue(void **state)
{
	unsigned int i;

	(void)state;
	submit(&pair.rx, &reqs[0], false);
	for (i = 1; i < COUNT; i++)
		submit(&pair.tx, &reqs[i], false);
	rx.interrupt = NULL;
	tx.interrupt = NULL;
	answer_all(&tx, 0);
	fake_vq_answer(&rx, fake_vq_find(&rx, &reqs[0].req), sizeof(struct mp_result));
	interrupt();
	assert_int_equal(reqs[0].done, 1);
	while (kernel_run_work())
		;
	assert_int_equal(done(), COUNT);
}

static void answer_first(void *fake)
{
	fake_vq_answer(fake, 0, sizeof(struct mp_result));
}

/*
 * The work item has found nothing more, and before it says so an answer comes whose interrupt
 * leaves the pair to it.
 */
static void the_work_item_looks_once_more(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < BUDGET + 1; i++)
		submit(&pair.tx, &reqs[i], false);
	tx.interrupt = NULL;
	for (i = 0; i < BUDGET; i++)
		fake_vq_answer(&tx, 0, sizeof(struct mp_result));
	tx.interrupt = on_interrupt;
	interrupt();
	kernel_at(KERNEL_PREEMPT_ENABLE, NULL, 0, answer_first, &tx);
	while (kernel_run_work())
		;
	assert_int_equal(tx.added_count, 0);
	assert_int_equal(fake_reqs_done(reqs, BUDGET + 1), BUDGET + 1);
}

static void answer_write(struct fake_req *read)
{
	(void)read;
	answer_all(&tx, 0);
}

/* While the answer to a READ is handled one to a lazy WRITE comes: nothing announces that. */
static void what_the_receive_queue_brings_makes_another_pass(void **state)
{
	(void)state;
	submit(&pair.tx, &reqs[0], true);
	submit(&pair.rx, &reqs[1], false);
	reqs[1].on_done = answer_write;
	fake_vq_answer(&rx, rx.added_count - 1, sizeof(struct mp_result));
	assert_int_equal(tx.interrupts, 0);
	assert_int_equal(done(), 2);
}

static void lazy_answers_make_no_interrupt_until_a_channel_waits(void **state)
{
	(void)state;
	submit(&pair.tx, &reqs[0], true);
	submit(&pair.tx, &reqs[1], true);
	fake_vq_answer(&tx, 0, sizeof(struct mp_result));
	assert_int_equal(done(), 0);
	mp_queue_demand(&pair.tx, 1, 0);	/* what is there is found, what comes makes one */
	assert_int_equal(kernel_run_work(), 1);
	assert_int_equal(done(), 1);
	fake_vq_answer(&tx, 0, sizeof(struct mp_result));
	assert_int_equal(done(), 2);
	mp_queue_demand(&pair.tx, -1, 0);
	submit(&pair.tx, &reqs[2], true);
	fake_vq_answer(&tx, 0, sizeof(struct mp_result));
	assert_int_equal(tx.interrupts, 1);
}

static void a_spinning_call_is_not_interrupted_and_leaves_nothing(void **state)
{
	(void)state;
	submit(&pair.tx, &reqs[0], false);
	submit(&pair.rx, &reqs[1], false);
	preempt_disable();
	mp_pair_spin_begin(&pair);
	answer_all(&tx, 0);
	assert_int_equal(tx.interrupts, 0);
	mp_pair_look(&pair);
	assert_int_equal(done(), 1);
	fake_vq_answer(&rx, rx.added_count - 1, sizeof(struct mp_result));
	assert_int_equal(rx.interrupts, 0);
	mp_pair_spin_end(&pair);
	preempt_enable();
	assert_int_equal(done(), 2);
	submit(&pair.rx, &reqs[2], false);
	fake_vq_answer(&rx, rx.added_count - 1, sizeof(struct mp_result));
	assert_int_equal(rx.interrupts, 1);
	assert_int_equal(done(), 3);
}

static void the_timer_looks_and_then_holders_are_users(void **state)
{
	(void)state;
	submit(&pair.tx, &reqs[0], true);
	submit(&pair.tx, &reqs[1], true);
	mp_queue_demand(&pair.tx, 0, 1);
	fake_vq_answer(&tx, 0, sizeof(struct mp_result));
	assert_int_equal(done(), 0);
	assert_int_equal(kernel_end_timers(), 1);
	assert_int_equal(done(), 1);
	fake_vq_answer(&tx, 0, sizeof(struct mp_result));
	assert_int_equal(tx.interrupts, 1);
	assert_int_equal(done(), 2);
	mp_queue_demand(&pair.tx, 0, -1);
	submit(&pair.tx, &reqs[2], true);
	fake_vq_answer(&tx, 0, sizeof(struct mp_result));
	assert_int_equal(tx.interrupts, 1);
}

static void hold_again(void)
{
	mp_queue_demand(&pair.tx, 0, 1);
	mp_queue_demand(&pair.tx, 0, -1);
}

/* A holder that is served in time costs a timer and no interrupt. */
static void a_holder_that_leaves_in_time_is_no_user(void **state)
{
	(void)state;
	submit(&pair.tx, &reqs[0], true);
	hold_again();
	kernel_end_timers();
	fake_vq_answer(&tx, 0, sizeof(struct mp_result));
	assert_int_equal(tx.interrupts, 0);
}

static void a_dead_pair_starts_no_timer_and_hands_all_back(void **state)
{
	(void)state;
	submit(&pair.tx, &reqs[0], false);
	submit(&pair.rx, &reqs[1], true);
	mp_pair_kill(&pair);
	mp_queue_demand(&pair.tx, 0, 1);
	answer_all(&tx, 0);
	interrupt();
	assert_int_equal(done(), 0);
	assert_int_equal(fake_submit(&pair.tx, &reqs[0].req), -ENODEV);
	mp_pair_detach(&pair);
	assert_int_equal(kernel_end_timers(), 0);
	mp_pair_flush(&pair);
	assert_int_equal(done(), 2);
	assert_int_equal(reqs[0].req.error, -ESHUTDOWN);
}

/* An interrupt ends all the same, and the work item lets others run between its rounds. */
static void a_device_that_promises_answers_costs_no_processor(void **state)
{
	unsigned int i;

	(void)state;
	submit(&pair.tx, &reqs[0], false);
	tx.is_lying = true;
	interrupt();
	for (i = 0; i < 10; i++)
		assert_int_equal(kernel_run_work(), 1);
	tx.is_lying = false;
	while (kernel_run_work())
		;
	fake_vq_answer(&tx, 0, sizeof(struct mp_result));
	assert_int_equal(done(), 1);
}

static void events_are_handed_on_and_their_buffers_posted_again(void **state)
{
	unsigned int posted = rx.added_count, i;

	(void)state;
	assert_int_equal(posted, FAKE_VQ_MAX / 4);
	for (i = 0; i < 3 * posted; i++)
		fake_vq_answer(&rx, 0, sizeof(struct mp_event));
	assert_int_equal(events, 3 * posted);
	assert_int_equal(rx.added_count, posted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		CASE(an_interrupt_handles_a_budget_and_the_work_item_the_rest),
		CASE(a_full_transmit_queue_leaves_a_part_to_the_receive_queue),
		CASE(the_work_item_looks_once_more),
		CASE(what_the_receive_queue_brings_makes_another_pass),
		CASE(lazy_answers_make_no_interrupt_until_a_channel_waits),
		CASE(a_spinning_call_is_not_interrupted_and_leaves_nothing),
		CASE(the_timer_looks_and_then_holders_are_users),
		CASE(a_holder_that_leaves_in_time_is_no_user),
		cmocka_unit_test_setup(a_dead_pair_starts_no_timer_and_hands_all_back, setup),
		CASE(a_device_that_promises_answers_costs_no_processor),
		CASE(events_are_handed_on_and_their_buffers_posted_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
