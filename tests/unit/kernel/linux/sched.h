/* SPDX-License-Identifier: MIT */
/* The scheduler. */
#ifndef STANDIN_SCHED_H
#define STANDIN_SCHED_H

#include <linux/preempt.h>
#include <linux/types.h>

#define TASK_COMM_LEN 16
#define PF_IO_WORKER	0x10

struct mm_struct;
struct pid_namespace {
	int unused;
};
#define TASK_RUNNING		0
#define TASK_INTERRUPTIBLE	1
#define TASK_KILLABLE		2
struct task_struct {
	struct mm_struct *mm;
	unsigned int flags;
	void *worker_private;		/* of a worker of io_uring */
	unsigned int state;
	int prio;
	unsigned long nvcsw, nivcsw;	/* times that the processor was another's */
};

extern struct task_struct standin_current;
extern struct pid_namespace init_pid_ns;

#define current (&standin_current)

static inline int task_tgid_nr_ns(struct task_struct *task, struct pid_namespace *ns)
{
	return 4711;
}

#define get_task_comm(buf, task) strcpy(buf, "test")

static inline void cond_resched(void)
{
}

static inline bool need_resched(void)
{
	return false;
}

/* Another process has the processor; the device goes on. */
void yield(void);

/* The caller is asleep until it is woken, from what happened since it set its state. */
void set_current_state(unsigned int state);
#define __set_current_state(value) (current->state = (value))
void schedule(void);

/* A spinning call's turn is over for a moment: what the device does then. */
void cpu_relax(void);

#endif
