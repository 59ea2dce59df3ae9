// SPDX-License-Identifier: MIT
/* One virtqueue: what is kept free, what waits, what is given up, what breaks it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/errno.h>

#include "fake_req.h"
#include "fake_vq.h"
#include "kernel.h"
#include "kmod/queue.h"

#define COUNT 64U

static struct fake_vq fake;
static struct mp_queue queue;
static struct fake_req reqs[COUNT], cancel, close_req;
static struct work_struct look_work, broken_work;
static unsigned int looks, breaks;

static void on_look(struct work_struct *work)
{
	(void)work;
	looks++;
}

static void on_broken(struct work_struct *work)
{
	(void)work;
	breaks++;
}

static void on_event(struct mp_queue *rx, const struct mp_event *event, u32 used)
{
	(void)event;
	(void)used;
	/* The room of the event buffer that is being handled is no request's. */
	fake_req_init(&reqs[COUNT - 1], MP_OP_READ, true);
	assert_true(fake_submit(rx, &reqs[COUNT - 1].req) >= 0);
}

static void begin(bool is_rx, unsigned int size, bool has_indirect)
{
	kernel_reset();
	memset(&queue, 0, sizeof(queue));
	memset(reqs, 0, sizeof(reqs));
	looks = 0;
	breaks = 0;
	fake_vq_init(&fake, size, has_indirect);
	INIT_WORK(&look_work, on_look);
	INIT_WORK(&broken_work, on_broken);
	mp_queue_init(&queue, is_rx ? on_event : NULL, &look_work, &broken_work);
	/* Only a pair has holders: here none may start the timer. */
	hrtimer_init(&queue.demand.hold_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	mp_queue_attach(&queue, &fake.vq);
}

static int end(void **state)
{
	(void)state;
	assert_false(fake.is_kick_due);
	mp_queue_kill(&queue);
	mp_queue_detach(&queue);
	mp_queue_flush(&queue);
	return 0;
}

static int submit(struct fake_req *req, u16 op, bool with_payload)
{
	fake_req_init(req, op, with_payload);
	return fake_submit(&queue, &req->req);
}

/* Handles all that was answered, as an interrupt does. */
static void handle(void)
{
	unsigned int budget = COUNT;

	kernel_irq_enter();
	mp_queue_poll(&queue, &budget);
	kernel_irq_exit();
}

static bool is_with_device(const struct fake_req *req)
{
	return fake_vq_find(&fake, &req->req) >= 0;
}

/* [protocol.md 8.4]: however many WRITEs there are, CANCEL or CLOSE goes out at once. */
static void keeps_room_for_urgent(unsigned int size, bool has_indirect, bool both)
{
	unsigned int i;

	begin(false, size, has_indirect);
	for (i = 0; i < COUNT; i++)
		assert_true(submit(&reqs[i], MP_OP_WRITE, true) >= 0);
	assert_false(is_with_device(&reqs[COUNT - 1]));
	assert_true(fake.vq.num_free >= MP_RESERVED_DESCS);
	assert_true(submit(&cancel, MP_OP_CANCEL, false) >= 0);
	assert_true(is_with_device(&cancel));
	if (both) {
		assert_true(submit(&close_req, MP_OP_CLOSE, false) >= 0);
		assert_true(is_with_device(&close_req));
	}
	end(NULL);
}

static void descriptors_are_kept_for_cancel_and_close(void **state)
{
	unsigned int size;

	(void)state;
	/* A WRITE takes 3 without indirect descriptors: each remainder is there. */
	for (size = 8; size < 32; size++) {
		keeps_room_for_urgent(size, false, false);
		keeps_room_for_urgent(size, true, true);
	}
}

static void what_waits_goes_in_order_and_urgent_first(void **state)
{
	unsigned int i;

	(void)state;
	begin(false, 8, true);
	for (i = 0; i < 8; i++)
		submit(&reqs[i], MP_OP_WRITE, true);
	submit(&cancel, MP_OP_CANCEL, false);
	submit(&close_req, MP_OP_CLOSE, false);
	assert_int_equal(fake.vq.num_free, 0);
	assert_false(is_with_device(&reqs[6]));
	fake_vq_answer(&fake, 0, sizeof(struct mp_result));
	handle();
	assert_int_equal(reqs[0].done, 1);
	assert_false(is_with_device(&reqs[6]));	/* two are kept free again, one is there */
	for (i = 0; i < 2; i++)
		fake_vq_answer(&fake, 0, sizeof(struct mp_result));
	handle();
	assert_true(is_with_device(&reqs[6]));
	assert_false(is_with_device(&reqs[7]));
	end(NULL);
	assert_int_equal(fake_reqs_done(reqs, 8), 8);
}

/*
 * In a full ring 50 requests of one sender wait, then a few of a second, one of a third: each
 * sender has its turn, and its own requests stay in order.
 */
static void senders_take_turns(void **state)
{
	static const unsigned int order[] = { 6, 56, 59, 7, 57, 8, 58, 9, 10 };
	unsigned int i;

	(void)state;
	begin(false, 8, true);
	for (i = 0; i < 60; i++) {
		fake_req_init(&reqs[i], MP_OP_WRITE, true);
		reqs[i].req.sender = &reqs[i < 56 ? 0 : i < 59 ? 56 : 59].sender;
		assert_true(fake_submit(&queue, &reqs[i].req) >= 0);
	}
	for (i = 0; i < 6; i++)
		fake_vq_answer(&fake, 0, sizeof(struct mp_result));
	handle();
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		assert_ptr_equal(fake.added[0].token, &reqs[order[i]].req);
		fake_vq_answer(&fake, 0, sizeof(struct mp_result));
		handle();
	}
	/* What is given up, or is left at the end, is out of its turn too. */
	end(NULL);
	assert_int_equal(fake_reqs_done(reqs, 60), 60);
	for (i = 0; i < 60; i++)
		assert_false(reqs[i].sender.is_waiting[MP_LINE_TX] ||
			     reqs[i].sender.behind[MP_LINE_TX]);
}

static void an_event_buffer_gets_its_place_back(void **state)
{
	unsigned int i, posted;

	(void)state;
	begin(true, 16, true);
	assert_int_equal(mp_queue_post_events(&queue), 0);
	posted = fake.added_count;
	for (i = 0; fake.vq.num_free; i++)
		submit(&reqs[i], MP_OP_READ, true);
	fake_vq_answer(&fake, 0, sizeof(struct mp_event));
	handle();
	assert_false(is_with_device(&reqs[COUNT - 1]));
	assert_int_equal(fake.added_count, posted + i);
	end(NULL);
}

static void an_addition_without_memory_is_tried_again(void **state)
{
	(void)state;
	begin(false, 16, true);
	fake.add_error = -ENOMEM;
	assert_int_equal(submit(&reqs[0], MP_OP_WRITE, true), 0);
	assert_int_equal(kernel_end_delays(), 1);
	kernel_run_work();
	assert_false(is_with_device(&reqs[0]));
	fake.add_error = 0;
	assert_int_equal(kernel_end_delays(), 1);
	kernel_run_work();
	assert_true(is_with_device(&reqs[0]));
	assert_int_equal(fake.kicks, 1);
	assert_int_equal(kernel_end_delays(), 0);
	end(NULL);
}

/* Request after request, and never an urgent one [protocol.md 8.6]. */
static void after_many_tries_the_first_is_given_up(void **state)
{
	unsigned int i;

	(void)state;
	begin(false, 16, true);
	fake.add_error = -ENOMEM;
	submit(&reqs[0], MP_OP_WRITE, true);
	submit(&reqs[1], MP_OP_WRITE, true);
	submit(&cancel, MP_OP_CANCEL, false);
	for (i = 0; fake_reqs_done(reqs, 2) < 2; i++) {
		assert_int_equal(kernel_end_delays(), 1);
		kernel_run_work();
		assert_int_equal(reqs[1].done && !reqs[0].done, 0);
	}
	assert_in_range(i, 5, 50);
	assert_int_equal(reqs[0].req.error, -ENOMEM);
	for (i = 0; i < 50; i++) {
		assert_int_equal(kernel_end_delays(), 1);
		kernel_run_work();
	}
	assert_int_equal(cancel.done, 0);
	fake.add_error = 0;
	kernel_end_delays();
	kernel_run_work();
	assert_true(is_with_device(&cancel));
	end(NULL);
}

static void another_failure_breaks_the_queue(void **state)
{
	(void)state;
	begin(false, 16, true);
	submit(&reqs[0], MP_OP_WRITE, true);
	fake.add_error = -EIO;
	assert_int_equal(submit(&reqs[1], MP_OP_WRITE, true), 0);
	kernel_run_work();
	assert_int_equal(breaks, 1);
	fake.add_error = 0;
	assert_int_equal(submit(&reqs[2], MP_OP_WRITE, true), -EIO);
	/* What the device had it may still answer; the rest comes back with the end. */
	fake_vq_answer(&fake, 0, sizeof(struct mp_result));
	handle();
	assert_int_equal(reqs[0].done, 1);
	end(NULL);
	assert_int_equal(reqs[1].done, 1);
	assert_int_equal(reqs[1].req.error, -ESHUTDOWN);
	assert_int_equal(reqs[2].done, 0);
}

static void an_id_that_nobody_added_breaks_the_queue(void **state)
{
	(void)state;
	begin(false, 16, true);
	submit(&reqs[0], MP_OP_WRITE, true);
	fake.is_broken = true;	/* as virtio says of such an id */
	handle();
	kernel_run_work();
	assert_int_equal(breaks, 1);
	assert_int_equal(looks, 0);
	end(NULL);
	assert_int_equal(reqs[0].done, 1);
}

/* A lazy request makes no interrupt, but one that waits for room needs that of others. */
static void a_lazy_request_without_room_makes_others_interrupt(void **state)
{
	unsigned int i;

	(void)state;
	begin(false, 8, true);
	for (i = 0; i < 7; i++) {
		assert_int_equal(fake.wants_interrupts, !i);
		fake_req_init(&reqs[i], MP_OP_WRITE, true);
		reqs[i].req.is_lazy = true;
		fake_submit(&queue, &reqs[i].req);
	}
	assert_false(is_with_device(&reqs[6]));
	assert_true(fake.wants_interrupts);
	fake_vq_answer(&fake, 0, sizeof(struct mp_result));
	handle();
	assert_true(is_with_device(&reqs[6]));
	assert_false(fake.wants_interrupts);
	end(NULL);
}

static void lazy_is_taken_back_only_before_the_device_has_it(void **state)
{
	(void)state;
	begin(false, 16, true);
	fake_req_init(&reqs[0], MP_OP_READ, true);
	reqs[0].req.header.flags = cpu_to_le16(MP_LAZY | MP_READ_NOW);
	fake.add_error = -ENOMEM;
	fake_submit(&queue, &reqs[0].req);
	assert_true(mp_queue_hurry(&queue, &reqs[0].req));
	assert_int_equal(reqs[0].req.header.flags, cpu_to_le16(MP_READ_NOW));
	reqs[0].req.header.flags = cpu_to_le16(MP_LAZY | MP_READ_NOW);
	fake.add_error = 0;
	kernel_end_delays();
	kernel_run_work();
	assert_false(mp_queue_hurry(&queue, &reqs[0].req));
	assert_int_equal(reqs[0].req.header.flags, cpu_to_le16(MP_LAZY | MP_READ_NOW));
	end(NULL);
}

static void a_new_life_begins_with_nothing(void **state)
{
	(void)state;
	begin(false, 16, true);
	mp_queue_demand(&queue, 1, 0);
	submit(&reqs[0], MP_OP_WRITE, true);
	end(NULL);
	assert_int_equal(submit(&reqs[1], MP_OP_WRITE, true), -ENODEV);
	mp_queue_demand(&queue, -1, 0);	/* its channel has ended: too late to count */
	fake_vq_init(&fake, 16, true);
	mp_queue_attach(&queue, &fake.vq);
	fake_req_init(&reqs[2], MP_OP_WRITE, true);
	reqs[2].req.is_lazy = true;
	assert_int_equal(fake_submit(&queue, &reqs[2].req), 1);
	assert_false(fake.wants_interrupts);
	end(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_kept_for_cancel_and_close),
		cmocka_unit_test(what_waits_goes_in_order_and_urgent_first),
		cmocka_unit_test(senders_take_turns),
		cmocka_unit_test(an_event_buffer_gets_its_place_back),
		cmocka_unit_test(an_addition_without_memory_is_tried_again),
		cmocka_unit_test(after_many_tries_the_first_is_given_up),
		cmocka_unit_test(another_failure_breaks_the_queue),
		cmocka_unit_test(an_id_that_nobody_added_breaks_the_queue),
		cmocka_unit_test(a_lazy_request_without_room_makes_others_interrupt),
		cmocka_unit_test(lazy_is_taken_back_only_before_the_device_has_it),
		cmocka_unit_test(a_new_life_begins_with_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
