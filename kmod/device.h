/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtio device that is ours; lives from probe to remove. What the files that know it have of
 * each other.
 */
#ifndef KMOD_DEVICE_H
#define KMOD_DEVICE_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/workqueue.h>

#include <manyport/wire.h>

#include "pair.h"
#include "port.h"

#define MP_MAX_PORTS 0x8000

/* Where a port comes and goes. */
struct mp_seat {
	struct mp_pair pair;
	struct mp_port *port;		/* or NULL */
	struct mp_port_mode mode;	/* from PORT_MODE, and so @kind */
	u16 kind;
	u32 generation;			/* where a port that comes again goes on */
};

struct mp_device {
	struct virtio_device *vdev;
	dev_t devt;			/* first of max_ports numbers */
	u32 max_ports;

	/* Limits from HELLO [protocol.md 9.1]; constant once ports exist. */
	u32 max_channels, max_io, max_segments;
	u16 version;			/* of the protocol: chosen; constant once ports exist */

	struct virtqueue **vqs;
	struct mp_seat *seats;		/* by a port's id */

	spinlock_t control_lock;	/* guards the control queues and their buffers */
	struct virtqueue *control_in, *control_out;
	struct list_head control_bufs;
	unsigned int control_posted;	/* receive buffers that the device has */
	struct delayed_work control_work; /* delayed when some could not be given to it */
	struct delayed_work absent_work;	/* ports that did not come back after suspend */
	struct notifier_block reboot;
	struct mutex life_mutex;	/* suspend, resume and reboot, one at a time */
	bool is_over;			/* the machine goes down; under life_mutex */
	struct work_struct broken_work;	/* a queue broke: its port's channels end */
	struct work_struct reset_work;	/* the host asked for a reset */
	struct mutex ports_mutex;	/* guards the seats, but for their pairs, and is_going */
	bool is_confirmed;		/* HELLO was exchanged */
	u16 bye;			/* number of the BYE to be answered, or 0 */
	bool has_queues;		/* from queues_find() to queues_delete() */
	bool is_going;
};

/* claim.c: binds the driver to the devices that are ours. */
int mp_claim_start(struct device_driver *driver);
void mp_claim_stop(void);

/* fs.c: the virtio-fs binding. */
bool mp_fs_is(const struct virtio_device *vdev);
bool mp_fs_is_candidate(struct virtio_device *vdev);
unsigned int mp_fs_ports(struct virtio_device *vdev);
int mp_fs_ask(struct virtqueue *vq, void **memory);

/* control.c: the control queues. */
int mp_control_start(struct mp_device *device);
void mp_control_work(struct work_struct *work);
void mp_control_interrupt(struct virtqueue *vq);
void mp_control_bye(struct mp_device *device);
void mp_control_detach(struct mp_device *device);
void mp_control_free(struct mp_device *device);

/* ports.c: ports come, break and go, and their channels with them. */
void mp_ports_event(struct mp_queue *rx, const struct mp_event *event, u32 used);
int mp_ports_add(struct mp_device *device, unsigned int id);
void mp_ports_remove(struct mp_device *device, unsigned int id, unsigned int end);
void mp_ports_suspend(struct mp_device *device);
void mp_ports_absent_work(struct work_struct *work);
void mp_ports_broken_work(struct work_struct *work);

#endif
