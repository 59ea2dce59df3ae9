/* SPDX-License-Identifier: MIT */
/* Payers of memory: references are counted (kernel.h). */
#ifndef STANDIN_MEMCONTROL_H
#define STANDIN_MEMCONTROL_H

#include <linux/sched.h>

struct mem_cgroup;

struct mem_cgroup *get_mem_cgroup_from_mm(struct mm_struct *mm);
void mem_cgroup_put(struct mem_cgroup *group);

#endif
