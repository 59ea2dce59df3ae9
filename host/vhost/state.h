/* SPDX-License-Identifier: MIT */
/*
 * All that is known of a front end, in one structure.
 *
 * A later step may let a keeper process hold it across an upgrade of the
 * daemon: beside descriptors and what the front end said there is nothing else.
 */
#ifndef HOST_VHOST_STATE_H
#define HOST_VHOST_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "mem/mem.h"
#include "vhost/backend_channel.h"
#include "vhost/message.h"
#include "vhost/virtqueue.h"

struct session {
	struct loop *loop;
	struct device *device;
	void (*ended)(void *context, int why);
	void *context;

	/* The connection. */
	int fd;
	struct loop_watch watch;
	struct message message;		/* the one that is being received */
	bool has_spoken;		/* one has been */
	struct backend_channel backend;

	/* What was agreed on. */
	uint64_t features;		/* of virtio, and bit 30 */
	uint64_t protocol_features;
	uint8_t status;			/* of the virtio device, as the front end set it */

	/* What the guest gave. */
	struct mem mem;
	unsigned int queue_count;
	struct virtqueue *vqs;

	struct loop_task task;		/* looks at rings that started; calls ended() */
	bool broken;			/* the device is: no ring runs until its reset */
	bool over;			/* everything above is closed */
	int why;			/* once over: for ended() */
};

#endif
