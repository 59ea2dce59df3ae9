/* SPDX-License-Identifier: MIT */
/*
 * A session: what lasts as long as the process, beside what it keeps for a successor (kept.h).
 */
#ifndef HOST_VHOST_STATE_H
#define HOST_VHOST_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "mem/mem.h"
#include "vhost/backend_channel.h"
#include "vhost/kept.h"
#include "vhost/virtqueue.h"

struct session {
	struct loop *loop;
	struct device *device;
	void (*ended)(void *context, int why);
	void *context;

	/* The connection. */
	int fd;
	struct loop_watch watch;
	bool has_more;			/* there may be messages, and the others came first */
	struct backend_channel backend;

	struct kept *kept;
	struct kept_state *said;	/* in @kept: what the front end said */
	bool is_repeat;			/* the message may have been acted on */

	/* What the guest gave. */
	struct mem mem;
	unsigned int queue_count;
	struct virtqueue *vqs;

	struct loop_task task;		/* looks at rings that started; calls ended() */
	bool is_left;			/* to another process, with its connection */
	bool over;			/* everything above is closed */
	int why;			/* once over: for ended() */
};

#endif
