/* SPDX-License-Identifier: MIT */
/* Work items run when the test says so (kernel.h). */
#ifndef STANDIN_WORKQUEUE_H
#define STANDIN_WORKQUEUE_H

#include <linux/hrtimer.h>
#include <linux/list.h>

struct workqueue_struct;
struct work_struct;

struct work_struct {
	void (*func)(struct work_struct *work);
	struct list_head node;		/* while it is queued */
};

struct delayed_work {
	struct work_struct work;
	bool is_waiting;		/* for its time */
};

bool queue_work(struct workqueue_struct *wq, struct work_struct *work);
bool cancel_work_sync(struct work_struct *work);
void flush_workqueue(struct workqueue_struct *wq);
bool queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
			unsigned long delay);
bool mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
		      unsigned long delay);
bool cancel_delayed_work_sync(struct delayed_work *work);

#define INIT_WORK(work, function)					\
	do {								\
		(work)->func = (function);				\
		INIT_LIST_HEAD(&(work)->node);				\
	} while (0)
#define INIT_DELAYED_WORK(dwork, function) INIT_WORK(&(dwork)->work, function)
#define to_delayed_work(item)	container_of(item, struct delayed_work, work)
#define msecs_to_jiffies(ms)	(ms)
#define HZ			1000

#endif
