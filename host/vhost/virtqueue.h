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
 *
 * What the front end said is in the kept_ring, whose numbers name the descriptors here. Each order
 * of stores is one that a successor can go on from: a message that was acted on by half is acted on
 * again.
 */
#ifndef HOST_VHOST_VIRTQUEUE_H
#define HOST_VHOST_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "ring/ring.h"
#include "vhost/kept.h"
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
	struct kept *kept;
	struct kept_ring *said;		/* in @kept */
	unsigned int queue;
	void (*kicked)(struct virtqueue *vq);	/* after each kick; may end everything */
	void *context;				/* of kicked() */

	struct ring ring;
	struct loop_watch kick;		/* watched while the ring runs */
	int kick_fd;			/* -1: the ring has not begun */
	struct virtqueue_signal call, error;
	bool look;			/* started, and not looked at since */
};

/* No descriptor is there; @vq->queue and the pointers above are the caller's. */
void virtqueue_init(struct virtqueue *vq);
/* Stops the ring, closes what the front end gave, and forgets what it said. */
void virtqueue_fini(struct virtqueue *vq);

/*
 * The ring of an earlier process, whose descriptors (or -1) these are; owns them from the call on.
 * Returns 0 or -EINVAL.
 */
int virtqueue_adopt(struct virtqueue *vq, int kick, int call, int error);

/*
 * Starts the ring if it should run and does not. @features: of virtio. Returns 0 (also
 * when it should not run), -EFAULT (its memory is not there), or what watching the kick
 * descriptor gave. Does not look into the ring: virtqueue_look() does.
 */
int virtqueue_start(struct virtqueue *vq, uint64_t features);
/*
 * Goes on with a ring that ran in an earlier process or program, whose last call may have been
 * lost: the caller calls, behind what it gives back. Returns -EINVAL too: it cannot have run.
 */
int virtqueue_start_again(struct virtqueue *vq, uint64_t features);
void virtqueue_stop(struct virtqueue *vq);
/* The same, for virtqueue_start_again(), here or in another program. */
void virtqueue_pause(struct virtqueue *vq);

/* Looks at a ring that was started since: a kick may have come before. */
void virtqueue_look(struct virtqueue *vq);

/*
 * A validated message each. Those with @fd own it from the call on, whatever they return; @number
 * is its number.
 */
void virtqueue_set_num(struct virtqueue *vq, uint32_t num);
void virtqueue_set_base(struct virtqueue *vq, uint16_t base);
void virtqueue_set_addr(struct virtqueue *vq, const struct vhost_user_vring_addr *addr);
void virtqueue_set_enabled(struct virtqueue *vq, bool enabled);
int virtqueue_set_kick(struct virtqueue *vq, int fd, uint32_t number);	/* an eventfd */
/* An eventfd, a socket or -1. */
int virtqueue_set_call(struct virtqueue *vq, int fd, uint32_t number);
int virtqueue_set_error(struct virtqueue *vq, int fd, uint32_t number);
/* Ends the ring: it waits for its next kick descriptor. */
void virtqueue_end(struct virtqueue *vq);
/* Ends the ring, too. Returns the index to continue from. */
uint16_t virtqueue_get_base(struct virtqueue *vq);

/* Tell the front end; nothing waits. */
void virtqueue_call(struct virtqueue *vq);
void virtqueue_signal_error(struct virtqueue *vq);

#endif
