// SPDX-License-Identifier: GPL-2.0-only
/*
 * A port's two queues, looked at together.
 *
 * All answers and events are handled by pair_poll(), which does a bounded amount of work. It
 * is called by an interrupt, by a call that spins or looks once, and by the timer of channels
 * that hold bytes back. Where the budget was not enough the pair is scheduled: a work item goes on,
 * and interrupts leave the pair alone until it has found nothing more. So a device that answers
 * on and on costs processor time, but neither a long interrupt nor a processor.
 *
 * The answers are those of all channels, and one that was taken is in no ring any more: no
 * interrupt will come for it. So a caller must not lose the processor with an answer in its hand,
 * or other channels wait until the scheduler comes back to it. (With PREEMPT_RT only the threads
 * of interrupts and the work item handle answers.)
 */
#include <linux/kernel.h>
#include <linux/preempt.h>
#include <linux/sched.h>

#include "compat_timer.h"
#include "pair.h"
#include "work.h"

#define MP_PAIR_BUDGET 64	/* answers and events, and passes that find some */

/*
 * Handles what is there, transmit first, until the receive queue brings nothing [protocol.md
 * 6.8]: an answer to CANCEL says that others lie in the receive queue, and an event there may
 * mean that an answer which no caller waits for lies in the transmit queue. A pass costs one of the
 * @budget, too: a device may promise answers and give none. The transmit queue gets half of what is
 * left, or a device that answers WRITEs as fast as they come would keep the readers waiting.
 * Returns true when the budget is used up: the caller sees to it that what is left is handled.
 * Else an interrupt comes for what comes next, where it is needed.
 */
static bool pair_poll(struct mp_pair *pair, unsigned int budget)
{
	while (budget) {
		unsigned int half = --budget / 2, tx_left = budget - half, rx_left;
		bool more = mp_queue_poll(&pair->tx, &tx_left);

		more |= !tx_left;
		rx_left = half + tx_left;
		more |= mp_queue_poll(&pair->rx, &rx_left);
		if (rx_left == half + tx_left && !more)
			return false;
		budget = rx_left;
	}
	return true;
}

/* Handles what is there soon, from the work item. */
void mp_pair_look_later(struct mp_pair *pair)
{
	WRITE_ONCE(pair->is_scheduled, true);
	queue_work(mp_workqueue, &pair->work);
}

/* Handles what is there: a part of it here. The caller cannot lose the processor. */
void mp_pair_look(struct mp_pair *pair)
{
	if (pair_poll(pair, MP_PAIR_BUDGET))
		mp_pair_look_later(pair);
}

void mp_pair_interrupt(struct mp_pair *pair)
{
	if (!READ_ONCE(pair->is_scheduled))
		mp_pair_look(pair);
}

/* pair_poll() from where the processor can be lost. */
static bool poll_in_process(struct mp_pair *pair)
{
	bool more;

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return pair_poll(pair, MP_PAIR_BUDGET);
	preempt_disable();
	more = pair_poll(pair, MP_PAIR_BUDGET);
	preempt_enable();
	return more;
}

/* Runs in process context, so other work can run between two budgets. */
static void pair_work(struct work_struct *work)
{
	struct mp_pair *pair = container_of(work, struct mp_pair, work);
	bool more = poll_in_process(pair);

	if (!more) {
		WRITE_ONCE(pair->is_scheduled, false);
		/*
		 * Pairs with the load in mp_pair_interrupt(), which comes after the device has
		 * written its answer. Either that load sees false, and the interrupt handles the
		 * answer; or the answer is there for the look below. Without the barrier or
		 * that look an answer could stay in the ring and never be handled.
		 */
		smp_mb();
		more = poll_in_process(pair);
	}
	if (more)
		mp_pair_look_later(pair);
	cond_resched();
}

/* Also a lazy answer, which lay in the ring, shows that the device is there. */
static void pair_watch(struct work_struct *work)
{
	struct mp_pair *pair = container_of(to_delayed_work(work), struct mp_pair, tx.silence.work);

	if (poll_in_process(pair))
		mp_pair_look_later(pair);
	mp_queue_watch(&pair->tx);
}

/* A call looks for itself from here on, inside an RCU section that it does not sleep in. */
void mp_pair_spin_begin(struct mp_pair *pair)
{
	mp_queue_spin(&pair->rx, 1);
	mp_queue_spin(&pair->tx, 1);
}

/* From here on interrupts count again, where they are needed; what came before is handled. */
void mp_pair_spin_end(struct mp_pair *pair)
{
	bool more = mp_queue_spin(&pair->tx, -1);

	if (mp_queue_spin(&pair->rx, -1) || more)
		mp_pair_look(pair);
}

/* What is answered lets the held bytes go; for the rest an interrupt says when. */
static enum hrtimer_restart hold_ends(struct hrtimer *timer)
{
	struct mp_pair *pair = container_of(timer, struct mp_pair, tx.demand.hold_timer);

	mp_pair_look(pair);
	if (mp_queue_overdue(&pair->tx))
		mp_pair_look(pair);
	return HRTIMER_NORESTART;
}

void mp_pair_init(struct mp_pair *pair, mp_event_handler *event, struct work_struct *broken_work)
{
	INIT_WORK(&pair->work, pair_work);
	mp_queue_init(&pair->rx, event, &pair->work, broken_work);
	mp_queue_init(&pair->tx, NULL, &pair->work, broken_work);
	INIT_DELAYED_WORK(&pair->tx.silence.work, pair_watch);
	/* Only a transmit queue has holders. */
	mp_hrtimer_setup(&pair->tx.demand.hold_timer, hold_ends, CLOCK_MONOTONIC,
			 HRTIMER_MODE_REL_SOFT);
}

/* The device begins a life: the virtqueues are fresh. Their interrupts may come already. */
void mp_pair_attach(struct mp_pair *pair, struct virtqueue *rx, struct virtqueue *tx)
{
	WRITE_ONCE(pair->is_scheduled, false);
	mp_queue_attach(&pair->rx, rx);
	mp_queue_attach(&pair->tx, tx);
}

/* From the return on nothing is added, taken or notified. */
void mp_pair_kill(struct mp_pair *pair)
{
	mp_queue_kill(&pair->rx);
	mp_queue_kill(&pair->tx);
}

/* The device has been reset: undo the mappings, while the virtqueues exist. */
void mp_pair_detach(struct mp_pair *pair)
{
	hrtimer_cancel(&pair->tx.demand.hold_timer);
	cancel_delayed_work_sync(&pair->tx.silence.work);
	cancel_work_sync(&pair->work);
	mp_queue_detach(&pair->rx);
	mp_queue_detach(&pair->tx);
}

/* The virtqueues are deleted: every request is over. Runs in process context, without locks. */
void mp_pair_flush(struct mp_pair *pair)
{
	cancel_work_sync(&pair->work);	/* an interrupt may have queued it after that */
	mp_queue_flush(&pair->rx);
	mp_queue_flush(&pair->tx);
}
