// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "kernel.h"
#include "process.h"
#include "kmod/debug.h"
#include "kmod/work.h"

struct user_namespace init_user_ns;

static LIST_HEAD(queued);	/* work items */
static LIST_HEAD(delayed);	/* delayed ones, before their time */
static LIST_HEAD(timers);
static unsigned int preempt_count, irq_count, rcu_count, lock_count;
static int kicks_due;
static bool irqs_are_off;
static struct {
	const void *object;
	unsigned int skip;
	void (*hook)(void *arg);
	void *arg;
} hooks[KERNEL_MOMENTS];
static kuid_t caller_uid;
static struct user_namespace *caller_ns;
static bool caller_is_privileged;

void standin_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: WARN_ON(%s)\n", file, line, what);
	abort();
}

static void forget(struct list_head *list)
{
	while (!list_empty(list))
		list_del_init(list->next);
}

void kernel_reset(void)
{
	forget(&queued);
	forget(&delayed);
	forget(&timers);
	preempt_count = 0;
	irq_count = 0;
	irqs_are_off = false;
	rcu_count = 0;
	lock_count = 0;
	kicks_due = 0;
	memset(hooks, 0, sizeof(hooks));
	process_reset();
	kernel_set_caller(0, &init_user_ns, true);
}

/* --- Work and timers ------------------------------------------------------ */

bool queue_work(struct workqueue_struct *wq, struct work_struct *work)
{
	(void)wq;
	if (!list_empty(&work->node))
		return false;
	list_add_tail(&work->node, &queued);
	return true;
}

bool cancel_work_sync(struct work_struct *work)
{
	bool was_queued = !list_empty(&work->node);

	list_del_init(&work->node);
	return was_queued;
}

bool queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
			unsigned long delay)
{
	(void)wq;
	(void)delay;
	if (!list_empty(&work->work.node))
		return false;
	list_add_tail(&work->work.node, &delayed);
	return true;
}

bool mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
		      unsigned long delay)
{
	bool was_queued = cancel_delayed_work_sync(work);

	queue_delayed_work(wq, work, delay);
	return was_queued;
}

bool cancel_delayed_work_sync(struct delayed_work *work)
{
	return cancel_work_sync(&work->work);
}

unsigned int kernel_run_work(void)
{
	struct work_struct *work;
	unsigned int count = 0;
	LIST_HEAD(now);

	list_splice_tail_init(&queued, &now);
	while (!list_empty(&now)) {
		work = list_first_entry(&now, struct work_struct, node);
		list_del_init(&work->node);
		work->func(work);
		count++;
	}
	return count;
}

void flush_workqueue(struct workqueue_struct *wq)
{
	(void)wq;
	kernel_run_work();
}

unsigned int kernel_end_delays(void)
{
	unsigned int count = 0;

	for (; !list_empty(&delayed); count++)
		list_move_tail(delayed.next, &queued);
	return count;
}

void hrtimer_init(struct hrtimer *timer, clockid_t clock, enum hrtimer_mode mode)
{
	(void)clock;
	(void)mode;
	INIT_LIST_HEAD(&timer->node);
}

void hrtimer_start(struct hrtimer *timer, ktime_t time, enum hrtimer_mode mode)
{
	(void)time;
	(void)mode;
	list_del_init(&timer->node);
	list_add_tail(&timer->node, &timers);
}

int hrtimer_cancel(struct hrtimer *timer)
{
	list_del_init(&timer->node);
	return 0;
}

unsigned int kernel_end_timers(void)
{
	struct hrtimer *timer;
	unsigned int count = 0;
	LIST_HEAD(now);

	list_splice_tail_init(&timers, &now);
	while (!list_empty(&now)) {
		timer = list_first_entry(&now, struct hrtimer, node);
		list_del_init(&timer->node);
		kernel_irq_enter();
		timer->function(timer);
		kernel_irq_exit();
		count++;
	}
	return count;
}

/* --- Where the code under test runs --------------------------------------- */

void kernel_irq_enter(void)
{
	irq_count++;
}

void kernel_irq_exit(void)
{
	WARN_ON_ONCE(!irq_count);
	irq_count--;
}

void kernel_at(enum kernel_moment moment, const void *object, unsigned int skip,
	       void (*hook)(void *arg), void *arg)
{
	hooks[moment].object = object;
	hooks[moment].skip = skip;
	hooks[moment].hook = hook;
	hooks[moment].arg = arg;
}

/* The hook runs as on another processor: where this one is does not count for it. */
void kernel_reached(enum kernel_moment moment, const void *object)
{
	unsigned int old_preempt = preempt_count, old_irq = irq_count;
	void (*hook)(void *arg) = hooks[moment].hook;
	bool old_irqs_off = irqs_are_off;

	if (!hook || hooks[moment].object != object)
		return;
	if (hooks[moment].skip) {
		hooks[moment].skip--;
		return;
	}
	hooks[moment].hook = NULL;
	preempt_count = 0;
	irq_count = 0;
	irqs_are_off = false;
	hook(hooks[moment].arg);
	preempt_count = old_preempt;
	irq_count = old_irq;
	irqs_are_off = old_irqs_off;
}

void preempt_disable(void)
{
	preempt_count++;
}

void preempt_enable(void)
{
	WARN_ON_ONCE(!preempt_count);
	if (!--preempt_count)
		kernel_reached(KERNEL_PREEMPT_ENABLE, NULL);
}

bool preemptible(void)
{
	return !preempt_count && !irq_count && !irqs_are_off;
}

unsigned long standin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags = irqs_are_off;

	kernel_reached(KERNEL_LOCK, lock);
	WARN_ON_ONCE(lock->is_locked || (!lock_count && kicks_due));
	lock->is_locked = true;
	lock_count++;
	irqs_are_off = true;
	return flags;
}

void spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	WARN_ON_ONCE(!lock->is_locked);
	lock->is_locked = false;
	lock_count--;
	irqs_are_off = flags;
}

void rcu_read_lock(void)
{
	rcu_count++;
}

void rcu_read_unlock(void)
{
	WARN_ON_ONCE(!rcu_count);
	rcu_count--;
}

void kernel_kick_due(int by)
{
	WARN_ON_ONCE(by < 0 && (lock_count || !rcu_count));
	kicks_due += by;
}

/* These two are for process context only. */
void spin_lock_irq(spinlock_t *lock)
{
	WARN_ON_ONCE(irqs_are_off || irq_count);
	standin_lock_irqsave(lock);
}

void spin_unlock_irq(spinlock_t *lock)
{
	spin_unlock_irqrestore(lock, false);
}

/* --- The caller ----------------------------------------------------------- */

void kernel_set_caller(unsigned int uid, struct user_namespace *ns, bool is_privileged)
{
	caller_uid = (kuid_t){ uid };
	caller_ns = ns;
	caller_is_privileged = is_privileged;
}

struct user_namespace *current_user_ns(void)
{
	return caller_ns;
}

kuid_t current_fsuid(void)
{
	return caller_uid;
}

kgid_t current_fsgid(void)
{
	return (kgid_t){ caller_uid.val };
}

bool ns_capable_noaudit(struct user_namespace *ns, int capability)
{
	(void)capability;
	return ns == &init_user_ns && caller_is_privileged;
}

/* --- The hooks of a debug build: a test has its own means ------------------ */

int mp_debug_fail_add(void)
{
	return 0;
}

void mp_debug_stretch(void)
{
}

void mp_debug_opened(void)
{
}
