/* SPDX-License-Identifier: GPL-2.0-only */
/* What needs an interrupt of one virtqueue. All of it is guarded by the lock of its queue. */
#ifndef KMOD_DEMAND_H
#define KMOD_DEMAND_H

#include <linux/hrtimer.h>
#include <linux/types.h>
#include <linux/virtio.h>

struct mp_demand {
	unsigned int users;		/* each needs an interrupt for what is answered */
	unsigned int held;		/* each is a user if the answers are not there soon */
	unsigned int spinners;		/* while calls look themselves: no interrupts */
	bool is_on;			/* interrupts were asked for, and none came since */
	struct hrtimer hold_timer;	/* runs while @held is not 0, and sometimes after that */
};

void mp_demand_reset(struct mp_demand *demand, bool always);
void mp_demand_hold(struct mp_demand *demand);
void mp_demand_unhold(struct mp_demand *demand);
void mp_demand_overdue(struct mp_demand *demand);
void mp_demand_pause(struct mp_demand *demand, struct virtqueue *vq);
bool mp_demand_update(struct mp_demand *demand, struct virtqueue *vq, bool is_crowded);

#endif
