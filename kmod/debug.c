// SPDX-License-Identifier: GPL-2.0-only
/* The hooks of a debug build; see debug.h. */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/wait.h>

#include "debug.h"

static uint stretch_us;
module_param_named(debug_stretch_us, stretch_us, uint, 0644);
MODULE_PARM_DESC(debug_stretch_us, "microseconds that a caller sleeps where it gave away (0)");

static atomic_t stretched;
module_param_named(debug_stretched, stretched.counter, int, 0444);
MODULE_PARM_DESC(debug_stretched, "how many callers have slept there");

static uint fail_nth;
module_param_named(debug_fail_nth, fail_nth, uint, 0644);
MODULE_PARM_DESC(debug_fail_nth, "each n-th addition to a virtqueue fails; 0: none (0)");

static atomic_t fail_left;
module_param_named(debug_fail_left, fail_left.counter, int, 0644);
MODULE_PARM_DESC(debug_fail_left, "behind so many failures debug_fail_nth is 0; 0: no limit (0)");

static uint fail_errno = ENOMEM;
module_param_named(debug_fail_errno, fail_errno, uint, 0644);
MODULE_PARM_DESC(debug_fail_errno, "with this error (12: ENOMEM)");

static atomic_t failed_adds;
module_param_named(debug_failed_adds, failed_adds.counter, int, 0444);
MODULE_PARM_DESC(debug_failed_adds, "how many additions have failed so");

/*
 * interrupt	no failure: the control queue's interrupt comes before the queue is known
 * find_vqs	finding the virtqueues, behind an interrupt of the control queue
 * ready	the start of the control queues, when a port is there and was opened
 * node		making a port's node, when it was opened
 * fs_ask	a virtio-fs device's answer to the question whether it is manyport
 * fs_silent	no failure: the device's answer to that is not seen
 * port_add	no failure: the message that adds a port is not seen
 */
static char fail[16];
module_param_string(debug_fail, fail, sizeof(fail), 0644);
MODULE_PARM_DESC(debug_fail, "the step that fails once, see above ()");

static atomic_t opens = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(opens_wait);

void mp_debug_stretch(void)
{
	uint us = READ_ONCE(stretch_us);

	might_sleep();
	if (!us)
		return;
	atomic_inc(&stretched);
	usleep_range(us, us + us / 8 + 1);
}

int mp_debug_fail_add(void)
{
	static atomic_t count;
	uint nth = READ_ONCE(fail_nth);

	if (!nth || atomic_inc_return(&count) % nth)
		return 0;
	atomic_inc(&failed_adds);
	if (atomic_read(&fail_left) && atomic_dec_and_test(&fail_left))
		WRITE_ONCE(fail_nth, 0);
	return -(int)READ_ONCE(fail_errno);
}

int mp_debug_fail(const char *step)
{
	bool fails;

	kernel_param_lock(THIS_MODULE);
	/* A writer's newline counts as the end. */
	fails = strlen(step) == strcspn(fail, "\n") && !strncmp(fail, step, strlen(step));
	if (fails)
		fail[0] = '\0';
	kernel_param_unlock(THIS_MODULE);
	return fails ? -ENOMEM : 0;
}

int mp_debug_fail_after_open(const char *step)
{
	int before = atomic_read(&opens), ret = mp_debug_fail(step);

	if (ret)
		wait_event_timeout(opens_wait, atomic_read(&opens) != before, 30 * HZ);
	return ret;
}

void mp_debug_opened(void)
{
	atomic_inc(&opens);
	wake_up(&opens_wait);
}
