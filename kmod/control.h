/* SPDX-License-Identifier: GPL-2.0-only */
/* The control queues of a device. */
#ifndef KMOD_CONTROL_H
#define KMOD_CONTROL_H

#include <linux/virtio.h>
#include <linux/workqueue.h>

struct mp_device;

int mp_control_start(struct mp_device *device);
void mp_control_work(struct work_struct *work);
void mp_control_interrupt(struct virtqueue *vq);
void mp_control_bye(struct mp_device *device);
void mp_control_detach(struct mp_device *device);
void mp_control_free(struct mp_device *device);

#endif
