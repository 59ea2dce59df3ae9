// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of one virtqueue: asked for while a user needs them.
 *
 * A user is a request under way that is not lazy, or a channel that waits for the answers to its
 * lazy ones; a receive queue has one for ever. Without users answers lie in the ring until
 * the queue is looked at for another reason: the other queue's interrupt, a call, the timer.
 *
 * A holder can wait for a short time: a channel with bytes that go out when what is under way has
 * been answered, a CLOSE. The first one starts the timer. What is answered before it ends is
 * handled by a look at the queue, and lets the holders go; those that are left become users, and
 * their answers make interrupts.
 *
 * While a call spins there are no interrupts, whatever is counted.
 */
#include <linux/ktime.h>
#include <linux/module.h>

#include "debug.h"
#include "demand.h"

static uint hold_us = 200;
module_param(hold_us, uint, 0644);
MODULE_PARM_DESC(hold_us, "microseconds that a small write behind others may wait for more (200)");

/* A fresh virtqueue makes interrupts. @always: so does this one for ever. */
void mp_demand_reset(struct mp_demand *demand, bool always)
{
	demand->users = always;
	demand->held = 0;
	demand->is_on = true;
}

void mp_demand_hold(struct mp_demand *demand)
{
	u64 ns = (u64)READ_ONCE(hold_us) * NSEC_PER_USEC;

	if (!demand->held++)
		hrtimer_start(&demand->hold_timer, ns_to_ktime(ns), HRTIMER_MODE_REL_SOFT);
}

/* Holders have no names: where some are users already, one that is not goes first. */
void mp_demand_unhold(struct mp_demand *demand)
{
	mp_assert(demand->held || demand->users);
	if (demand->held)
		demand->held--;
	else if (demand->users)
		demand->users--;
}

/* The timer has ended, and what was there then has been handled: holders waited long enough. */
void mp_demand_overdue(struct mp_demand *demand)
{
	demand->users += demand->held;
	demand->held = 0;
}

/* The queue is being looked at: an interrupt would say nothing new. Until mp_demand_update(). */
void mp_demand_pause(struct mp_demand *demand, struct virtqueue *vq)
{
	virtqueue_disable_cb(vq);
	demand->is_on = false;
}

/*
 * Asks for interrupts, or for none, as it is now. @is_crowded: a request, perhaps a lazy one,
 * waits for descriptors. Returns true when answers are there that would not make an interrupt
 * any more: the caller sees to it that they are handled.
 */
bool mp_demand_update(struct mp_demand *demand, struct virtqueue *vq, bool is_crowded)
{
	bool is_needed = !demand->spinners && (demand->users || is_crowded);

	if (is_needed == demand->is_on)
		return false;
	if (!is_needed) {
		mp_demand_pause(demand, vq);
		return false;
	}
	demand->is_on = true;
	return !virtqueue_enable_cb(vq) && !virtqueue_is_broken(vq);
}
