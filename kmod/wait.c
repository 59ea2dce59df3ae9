// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting: first awake, for a bounded time that is learned, then asleep.
 *
 * An interrupt and a wake-up cost more than most answers take. So a wait first looks at the
 * port's queues itself, with interrupts off at the device. How long it looks is
 * learned for each channel and direction (<manyport/spin.h>), so an idle channel costs
 * nothing. Looking ends as soon as another process could use the processor.
 *
 * Lifetime: the queues' memory is freed behind a grace period that begins when every
 * channel of the port has its error (ports.c). So in an RCU section in which the
 * channel has none they can be touched; a queue that is dead says so itself.
 */
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched/clock.h>
#include <linux/sched/stat.h>

#include "pair.h"
#include "port.h"
#include "wait.h"

static uint poll_us = 100;
module_param(poll_us, uint, 0644);
MODULE_PARM_DESC(poll_us, "microseconds that a call may look for an answer before it sleeps (100)");

#define MP_LOOKS_MAX	4096	/* where the clock is too coarse to end a window */

/* Would a wait begin with looking? */
bool mp_spin_is_on(const struct mp_spin *spin)
{
	return READ_ONCE(spin->window_us) && READ_ONCE(poll_us);
}

static u64 now_us(void)
{
	return local_clock() >> 10;	/* near enough */
}

static bool holds(struct mp_link *link, const struct mp_condition *condition)
{
	bool ret;

	spin_lock_irq(&link->lock);
	ret = condition->holds_locked(condition->of, condition->arg);
	spin_unlock_irq(&link->lock);
	return ret;
}

/* Looks until @end. Returns true when the condition holds. */
static bool look_until(struct mp_link *link, u64 end, const struct mp_condition *is_over)
{
	struct mp_pair *pair = link->port->pair;
	unsigned int looks = 0;
	bool over;

	preempt_disable();	/* no channel of this port gets interrupts while this call spins */
	mp_pair_spin_begin(pair);
	do {
		mp_pair_look(pair);
		over = holds(link, is_over);
		cpu_relax();
	} while (!over && single_task_running() && !need_resched() && !signal_pending(current) &&
		 ++looks < MP_LOOKS_MAX && now_us() < end);
	mp_pair_spin_end(pair);
	preempt_enable();
	return over;
}

static bool look(struct mp_link *link, unsigned int window, const struct mp_condition *is_over)
{
	bool over = false;

	/* With PREEMPT_RT our spinlocks sleep, and a call that spins could be preempted. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) || !window || !single_task_running())
		return false;
	rcu_read_lock();
	if (!READ_ONCE(link->error))
		over = look_until(link, now_us() + window, is_over);
	rcu_read_unlock();
	return over;
}

/*
 * The answers are those of all channels, so the processor is kept while they are handled. With
 * PREEMPT_RT it cannot be, and a work item handles them soon.
 */
static void look_once(struct mp_pair *pair)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		mp_pair_look_later(pair);
		return;
	}
	preempt_disable();
	mp_pair_look(pair);
	preempt_enable();
}

/* Handles the answers that are there already. */
void mp_wait_look(struct mp_link *link)
{
	rcu_read_lock();
	if (!READ_ONCE(link->error))
		look_once(link->port->pair);
	rcu_read_unlock();
}

/* 0 where the clocks of two processors differ that much. */
static u64 us_since(u64 start)
{
	u64 now = now_us();

	return now > start ? now - start : 0;
}

/* Looks for up to @limit microseconds. Returns true when the condition holds. */
static bool wait_awake(struct mp_link *link, struct mp_spin *spin, unsigned int limit,
		       const struct mp_condition *is_over)
{
	if (holds(link, is_over))
		return true;
	if (!look(link, min_t(unsigned int, READ_ONCE(spin->window_us), limit), is_over))
		return false;
	mp_spin_found(spin);
	WRITE_ONCE(link->polled, link->polled + 1);
	return true;
}

/* The READs of a caller that goes to sleep are to make interrupts. */
static void urge(struct mp_link *link)
{
	spin_lock_irq(&link->lock);
	link->waits++;
	link->ops->sleep_locked(link);
	spin_unlock_irq(&link->lock);
}

/*
 * Waits until @is_over holds. @parts: how many requests on the caller's pages are waited for, which
 * the device owes at once: each may take a window, and only SIGKILL ends the wait. Returns 0, or
 * -ERESTARTSYS after a signal.
 */
int mp_wait(struct mp_link *link, struct mp_spin *spin, const struct mp_condition *is_over,
	    unsigned int parts)
{
	unsigned int limit = min(READ_ONCE(poll_us), 10000U) * (1 + parts);
	u64 start = now_us();
	int ret;

	if (wait_awake(link, spin, limit, is_over))
		return 0;
	urge(link);
	if (parts)
		ret = wait_event_killable(link->wait, holds(link, is_over));
	else
		ret = wait_event_interruptible(link->wait, holds(link, is_over));
	if (limit)
		mp_spin_slept(spin, limit, us_since(start));
	return ret;
}
