// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting: first awake, for a bounded time that is learned, then asleep.
 *
 * An interrupt and a wake-up cost more than most answers take. So a wait first looks at the
 * port's queues itself, with interrupts off at the device. How long it looks is
 * learned for each channel and direction (<manyport/spin.h>), so an idle channel costs
 * nothing.
 *
 * A wait also spins while another process waits for the processor: two switches and an interrupt
 * cost more than the answer takes. But a process that spins in each of its calls would keep the
 * processor until the scheduler takes it away, some milliseconds, while the other's answer may be
 * there already. So a process gives way after turn_us, counted from when it got the processor.
 *
 * Lifetime: the queues' memory is freed behind a grace period that begins when every
 * channel of the port has its error (ports.c). So in an RCU section in which the
 * channel has none they can be touched; a queue that is dead says so itself.
 */
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched/clock.h>
#include <linux/sched/prio.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>

#include "debug.h"
#include "pair.h"
#include "port.h"
#include "wait.h"

static uint poll_us = 100;
module_param(poll_us, uint, 0644);
MODULE_PARM_DESC(poll_us, "microseconds that a call may look for an answer before it sleeps (100)");

static uint turn_us = 500;
module_param(turn_us, uint, 0644);
MODULE_PARM_DESC(turn_us, "microseconds of spinning while others want the processor (500)");

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
	mp_assert(!link->due);
	ret = condition->holds_locked(condition->of, condition->arg);
	spin_unlock_irq(&link->lock);
	return ret;
}

/* The process that spins on this processor, and since when no other one has had it. */
struct mp_turn {
	const struct task_struct *task;		/* compared only */
	unsigned long switches;
	u64 start;
};

static DEFINE_PER_CPU(struct mp_turn, mp_turn);

/* The caller cannot lose the processor. */
static bool turn_is_over(u64 now)
{
	struct mp_turn *turn = this_cpu_ptr(&mp_turn);
	unsigned long switches = current->nvcsw + current->nivcsw;

	if (turn->task != current || turn->switches != switches)
		*turn = (struct mp_turn){ current, switches, now };
	return need_resched() ||
	       (!single_task_running() && now - turn->start >= READ_ONCE(turn_us));
}

enum look_end {
	LOOK_OVER,		/* the condition holds */
	LOOK_TURN,		/* another process is to have the processor */
	LOOK_NOTHING,		/* the window has passed, or a signal came */
};

/* Looks for up to @left microseconds, which it counts down. */
static enum look_end look_in_turn(struct mp_link *link, unsigned int *left,
				  const struct mp_condition *is_over)
{
	struct mp_pair *pair = link->port->pair;
	enum look_end end = LOOK_NOTHING;
	unsigned int looks = 0;
	u64 start, now;

	preempt_disable();	/* no channel of this port gets interrupts while this call spins */
	mp_pair_spin_begin(pair);
	for (start = now = now_us(); now - start < *left; now = now_us()) {
		mp_pair_look(pair);
		if (holds(link, is_over))
			end = LOOK_OVER;
		else if (turn_is_over(now))
			end = LOOK_TURN;
		if (end != LOOK_NOTHING || signal_pending(current) || ++looks == MP_LOOKS_MAX)
			break;
		cpu_relax();
	}
	mp_pair_spin_end(pair);
	preempt_enable();
	*left -= clamp_t(u64, now - start, 1, *left);
	return end;
}

/*
 * Another process has its turn. The caller does not sleep during that turn: so its answer needs no
 * interrupt, and the process that spins next handles it.
 */
static void give_way(void)
{
	if (need_resched())
		cond_resched();
	else
		yield();
}

static bool look(struct mp_link *link, unsigned int window, const struct mp_condition *is_over)
{
	enum look_end end = LOOK_TURN;

	/* With PREEMPT_RT our spinlocks sleep, and a call that spins could be preempted. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return false;
	while (window) {
		rcu_read_lock();
		end = READ_ONCE(link->error) ? LOOK_NOTHING : look_in_turn(link, &window, is_over);
		rcu_read_unlock();
		/* A yield would cost a deadline its budget, and let no lower priority run. */
		if (end != LOOK_TURN || current->prio < MAX_RT_PRIO)
			break;
		give_way();
	}
	return end == LOOK_OVER;
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

/* The same, for a caller that has no channel: a port that leaves waits for it (ports.c). */
void mp_wait_look_at_port(struct mp_port *port)
{
	rcu_read_lock();
	if (!READ_ONCE(port->is_gone) && !READ_ONCE(port->rx->is_dead))
		look_once(port->pair);
	rcu_read_unlock();
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
	mp_link_unlock(link, 0);
}

/* A call that sleeps, and when it was woken last: in us, 0 for never. */
struct mp_sleeper {
	wait_queue_entry_t entry;
	u64 woken;
};

static int sleeper_wake(wait_queue_entry_t *entry, unsigned int mode, int flags, void *key)
{
	struct mp_sleeper *sleeper = container_of(entry, struct mp_sleeper, entry);

	WRITE_ONCE(sleeper->woken, now_us());
	return default_wake_function(entry, mode, flags, key);
}

/* Returns 0, -ERESTARTSYS after a signal that @state lets through, or -ETIMEDOUT. */
static int sleep_until(struct mp_link *link, unsigned int state,
		       const struct mp_condition *is_over, struct mp_sleeper *sleeper)
{
	int ret = 0;

	init_waitqueue_func_entry(&sleeper->entry, sleeper_wake);
	sleeper->entry.private = current;
	add_wait_queue(&link->wait, &sleeper->entry);
	for (;;) {
		set_current_state(state);
		if (holds(link, is_over))
			break;
		if (state == TASK_INTERRUPTIBLE && READ_ONCE(link->port->is_silent)) {
			ret = -ETIMEDOUT;
			break;
		}
		if (signal_pending_state(state, current)) {
			ret = -ERESTARTSYS;
			break;
		}
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	remove_wait_queue(&link->wait, &sleeper->entry);
	return ret;
}

/*
 * Waits until @is_over holds. @parts: how many requests on the caller's pages are waited for, which
 * the device owes at once: each may take a window, and only SIGKILL ends the wait. Returns 0, or
 * -ERESTARTSYS after a signal, or -ETIMEDOUT: the device is silent [protocol.md 10.10]. That ends
 * no wait for the caller's pages, since the device may still write to them.
 */
int mp_wait(struct mp_link *link, struct mp_spin *spin, const struct mp_condition *is_over,
	    unsigned int parts)
{
	unsigned int limit = min(READ_ONCE(poll_us), 10000U) * (1 + parts);
	struct mp_sleeper sleeper = { .woken = 0 };
	u64 start = now_us();
	int ret;

	if (wait_awake(link, spin, limit, is_over))
		return 0;
	urge(link);
	ret = sleep_until(link, parts ? TASK_KILLABLE : TASK_INTERRUPTIBLE, is_over, &sleeper);
	/* What counts is how long the answer took, not how long others kept the processor. */
	if (limit)
		mp_spin_slept(spin, limit, sleeper.woken > start ? sleeper.woken - start : 0);
	return ret;
}
