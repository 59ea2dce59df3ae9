/* SPDX-License-Identifier: GPL-2.0-only */
/* One virtqueue, and everything that the device holds of it. */
#ifndef KMOD_QUEUE_H
#define KMOD_QUEUE_H

#include <linux/list.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/workqueue.h>

#include <manyport/wire.h>

#include "demand.h"
#include "dma.h"
#include "req.h"
#include "silence.h"

#define MP_EVENTS_MAX 64

/* Belongs to its queue from setup to flush. */
struct mp_event_buf {
	bool is_posted;
	struct mp_event event mp_dma_aligned; /* the device writes: copy before use */
};
MP_ASSERT_ALONE(struct mp_event_buf, event, sizeof(struct mp_event_buf));

struct mp_queue;

/*
 * The device reports @event, a copy of which it wrote @used bytes. Interrupts may be off, and
 * nothing of the queue is locked.
 */
typedef void mp_event_handler(struct mp_queue *queue, const struct mp_event *event, u32 used);

struct mp_queue {
	mp_event_handler *event;	/* of a receive queue; NULL of a transmit queue */
	struct work_struct *look_work;	/* the pair's, for answers that make no interrupt */
	struct work_struct *broken_work; /* the device's, for a queue that breaks */
	bool has_indirect;		/* a request needs one descriptor, whatever its length */

	spinlock_t lock;		/* guards all below */
	struct virtqueue *vq;
	bool is_dead;			/* nothing may be added any more */
	bool is_broken;			/* nothing may be added; the device may still answer */
	unsigned int tries;		/* of additions in a row that failed for lack of memory */
	struct delayed_work retry_work;	/* the next */
	struct list_head inflight;	/* the device holds them */
	struct list_head urgent, waiting; /* for a descriptor: in order; senders in turn */
	unsigned int event_count, events_posted;
	struct mp_event_buf *events;	/* rx only */

	struct mp_silence silence;	/* of a transmit queue */
	struct mp_demand demand;
};

void mp_queue_init(struct mp_queue *queue, mp_event_handler *event, struct work_struct *look_work,
		   struct work_struct *broken_work);
void mp_queue_attach(struct mp_queue *queue, struct virtqueue *vq);
int mp_queue_submit(struct mp_queue *queue, struct mp_req *req);
/*
 * Around the unlock and the kick that was prepared before it. The RCU section begins under the
 * lock, while the queue is alive. A sender that adds to the ring now counts on this kick, so the
 * processor is kept until it is made; with PREEMPT_RT, whose locks are not let go so, a moment
 * without stays.
 */
static inline void mp_queue_begin_kick(void)
	__acquires(RCU)
{
	rcu_read_lock();
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		preempt_disable();
}

static inline void mp_queue_end_kick(void)
	__releases(RCU)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		preempt_enable();
	rcu_read_unlock();
}

void mp_queue_notify(struct mp_queue *queue);
bool mp_queue_hurry(struct mp_queue *queue, struct mp_req *req);
bool mp_queue_renew(struct mp_queue *queue, struct mp_req *req, u32 generation);
int mp_queue_post_events(struct mp_queue *queue);
void mp_queue_demand(struct mp_queue *queue, int users, int holders);
bool mp_queue_poll(struct mp_queue *queue, unsigned int *budget);
bool mp_queue_spin(struct mp_queue *queue, int by);
void mp_queue_watch(struct mp_queue *queue);
bool mp_queue_overdue(struct mp_queue *queue);
void mp_queue_kill(struct mp_queue *queue);
void mp_queue_detach(struct mp_queue *queue);
void mp_queue_flush(struct mp_queue *queue);

#endif
