/* SPDX-License-Identifier: MIT */
/*
 * One virtqueue as the front end describes it: where it lies, who kicks, who is
 * called, and whether it runs.
 *
 * A ring runs while the front end wants it to (kick descriptor, enabled, size and
 * addresses known) and its memory is there. The front end may say these things in
 * any order and again at any time:
 *
 *	KICK		begins the ring		GET_BASE	ends it
 *	ENABLE 1/0	continues / pauses, the indices stay
 *	NUM, BASE	pause a running ring until KICK, ENABLE 1 or ADDR: its
 *			front end (User Mode Linux) sets it up again without
 *			having ended it
 *
 * From the return of whatever stops a ring on, nothing touches its memory.
 */
#ifndef HOST_VHOST_VIRTQUEUE_H
#define HOST_VHOST_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "ring/ring.h"
#include "vhost/wire.h"

struct device;

/* Where a call or an error is signalled. */
struct virtqueue_signal {
	int fd;				/* -1: nowhere */
	bool is_socket;			/* else an eventfd */
};

struct virtqueue {
	struct loop *loop;
	struct device *device;
	const struct mem *mem;
	unsigned int queue;
	void (*kicked)(struct virtqueue *vq);	/* after each kick; may end everything */
	void *context;				/* of kicked() */

	struct ring ring;
	struct loop_watch kick;		/* watched while the ring runs */
	int kick_fd;			/* -1: the ring has not begun */
	struct virtqueue_signal call, error;
	bool enabled, has_addr, held;	/* held: paused by NUM or BASE */
	bool running;
	bool look;			/* started, and not looked at since */
	uint16_t base;			/* where to continue, while it does not run */
};

/* Sets everything to "not there"; @vq->queue and the pointers above are the caller's. */
void virtqueue_init(struct virtqueue *vq);
/* Stops the ring and closes what the front end gave. */
void virtqueue_fini(struct virtqueue *vq);

/*
 * Starts the ring if it should run and does not. @features: of virtio. Returns 0 (also
 * when it should not run), -EFAULT (its memory is not there), or what watching the kick
 * descriptor gave. Does not look into the ring: virtqueue_look() does.
 */
int virtqueue_start(struct virtqueue *vq, uint64_t features);
void virtqueue_stop(struct virtqueue *vq);

/* Looks at a ring that was started since: a kick may have come before. */
void virtqueue_look(struct virtqueue *vq);

/* A validated message each. Those with @fd own it from the call on, whatever they return. */
void virtqueue_set_num(struct virtqueue *vq, uint32_t num);
void virtqueue_set_base(struct virtqueue *vq, uint16_t base);
void virtqueue_set_addr(struct virtqueue *vq, const struct vhost_user_vring_addr *addr);
void virtqueue_set_enabled(struct virtqueue *vq, bool enabled);
int virtqueue_set_kick(struct virtqueue *vq, int fd);	/* an eventfd, or -EINVAL */
int virtqueue_set_call(struct virtqueue *vq, int fd);	/* eventfd, socket or -1, or -EINVAL */
int virtqueue_set_error(struct virtqueue *vq, int fd);	/* likewise */
/* Ends the ring: it waits for its next kick descriptor. */
void virtqueue_end(struct virtqueue *vq);
/* Ends the ring, too. Returns the index to continue from. */
uint16_t virtqueue_get_base(struct virtqueue *vq);

/* Tell the front end; nothing waits. */
void virtqueue_call(struct virtqueue *vq);
void virtqueue_signal_error(struct virtqueue *vq);

#endif
