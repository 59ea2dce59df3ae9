// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module that commits the fault its parameter names, to prove that the worlds report the fault.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static char *fault = "none";
module_param(fault, charp, 0);
MODULE_PARM_DESC(fault, "none, warn, oops, leak, use-after-free, lock-order, sleep, stay, "
		 "deprecated");

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);
static DEFINE_SPINLOCK(spin);

static noinline void leak(void)
{
	int i;

	/* Several leaks: kmemleak misses a block whose address is still in a register or stack. */
	for (i = 0; i < 8; i++)
		if (!kmalloc(100 + i, GFP_KERNEL))
			pr_info("nothing to leak\n");
}

static noinline void use_after_free(void)
{
	char *object = kmalloc(64, GFP_KERNEL);

	if (!object)
		return;
	OPTIMIZER_HIDE_VAR(object);
	kfree(object);
	WRITE_ONCE(object[3], 1);
}

static void lock_both_ways(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);
	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static void sleep_in_atomic(void)
{
	spin_lock(&spin);
	msleep(1);
	spin_unlock(&spin);
}

static int __init fault_init(void)
{
	if (!strcmp(fault, "warn"))
		WARN(1, "asked to\n");
	else if (!strcmp(fault, "oops"))
		WRITE_ONCE(*(int *)NULL, 1);
	else if (!strcmp(fault, "leak"))
		leak();
	else if (!strcmp(fault, "use-after-free"))
		use_after_free();
	else if (!strcmp(fault, "lock-order"))
		lock_both_ways();
	else if (!strcmp(fault, "sleep"))
		sleep_in_atomic();
	else if (!strcmp(fault, "stay"))
		__module_get(THIS_MODULE);
	else if (!strcmp(fault, "deprecated"))	/* the words that newer kernels log */
		pr_warn("workqueue: work func fault enqueued on deprecated workqueue.\n");
	return 0;
}

static void __exit fault_exit(void)
{
}

module_init(fault_init);
module_exit(fault_exit);
MODULE_DESCRIPTION("Does wrong on request");
MODULE_LICENSE("GPL");
