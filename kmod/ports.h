/* SPDX-License-Identifier: GPL-2.0-only */
/* The ports of a device: they come, break and go, and their channels with them. */
#ifndef KMOD_PORTS_H
#define KMOD_PORTS_H

#include <linux/types.h>
#include <linux/workqueue.h>

#include <manyport/wire.h>

struct mp_device;
struct mp_queue;

void mp_ports_event(struct mp_queue *rx, const struct mp_event *event, u32 used);
int mp_ports_add(struct mp_device *device, unsigned int id);
void mp_ports_remove(struct mp_device *device, unsigned int id);
void mp_ports_remove_all(struct mp_device *device);
void mp_ports_suspend(struct mp_device *device);
void mp_ports_absent_work(struct work_struct *work);
void mp_ports_broken_work(struct work_struct *work);

#endif
