// SPDX-License-Identifier: GPL-2.0-only
/* The hooks of a debug build; see debug.h. */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/module.h>

#include "debug.h"

static uint stretch_us;
module_param_named(debug_stretch_us, stretch_us, uint, 0644);
MODULE_PARM_DESC(debug_stretch_us, "microseconds that a caller stays where it gave away (0)");

static uint fail_nth;
module_param_named(debug_fail_nth, fail_nth, uint, 0644);
MODULE_PARM_DESC(debug_fail_nth, "each n-th addition to a virtqueue fails; 0: none (0)");

static uint fail_errno = ENOMEM;
module_param_named(debug_fail_errno, fail_errno, uint, 0644);
MODULE_PARM_DESC(debug_fail_errno, "with this error (12: ENOMEM)");

void mp_debug_stretch(void)
{
	uint us = READ_ONCE(stretch_us);

	for (; us > 1000; us -= 1000)
		udelay(1000);
	udelay(us);
}

int mp_debug_fail_add(void)
{
	static atomic_t count;
	uint nth = READ_ONCE(fail_nth);

	if (!nth || atomic_inc_return(&count) % nth)
		return 0;
	return -(int)READ_ONCE(fail_errno);
}
