// SPDX-License-Identifier: GPL-2.0-only
/*
 * One virtqueue and everything that the device holds of it.
 *
 * A request is owned by its queue from mp_queue_submit() until its done() is
 * called. It is on exactly one list: waiting or urgent (no descriptor yet) or
 * inflight (the device may touch it). Nothing on inflight is freed before the
 * device has given it back or the virtqueue has been deleted: some transports
 * reset without telling the device [protocol.md 10.5].
 *
 * An addition may fail though there is room: for lack of memory (a mapping, or what virtio
 * itself allocates) it is tried again by a work item, also with nothing in flight, and after
 * MP_TRIES in a row the first request that waits ends with -ENOMEM instead of an answer. CLOSE,
 * CANCEL and event buffers are tried for ever [protocol.md 8.6]. Any other failure, or an id in
 * the used ring that was not added, breaks the queue: nothing more is added until the next life,
 * and the port's channels end with -EIO [protocol.md 10.7].
 *
 * Everything that the device writes is hostile.
 */
#include <linux/errno.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "debug.h"
#include "queue.h"
#include "work.h"

/* Additions that fail: tried again after 1, 2, 4 ... MP_RETRY_MS, so for a third of a second. */
#define MP_TRIES	10
#define MP_RETRY_MS	64U

static void mp_queue_retry_work(struct work_struct *work);

void mp_queue_init(struct mp_queue *queue, mp_event_handler *event, struct work_struct *look_work,
		   struct work_struct *broken_work)
{
	queue->event = event;
	queue->look_work = look_work;
	queue->broken_work = broken_work;
	queue->is_dead = true;
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->inflight);
	INIT_LIST_HEAD(&queue->urgent);
	INIT_LIST_HEAD(&queue->waiting);
	INIT_DELAYED_WORK(&queue->retry_work, mp_queue_retry_work);
}

static bool is_rx(const struct mp_queue *queue)
{
	return queue->event;
}

static enum mp_line line_of(const struct mp_queue *queue)
{
	return is_rx(queue) ? MP_LINE_RX : MP_LINE_TX;
}

/* The device begins a life: @vq is fresh. Its interrupts may come already. */
void mp_queue_attach(struct mp_queue *queue, struct virtqueue *vq)
{
	spin_lock_irq(&queue->lock);
	queue->vq = vq;
	queue->has_indirect = virtio_has_feature(vq->vdev, VIRTIO_RING_F_INDIRECT_DESC);
	queue->is_dead = false;
	queue->is_broken = false;
	queue->tries = 0;
	queue->events_posted = 0;
	mp_silence_reset(&queue->silence);
	mp_demand_reset(&queue->demand, is_rx(queue));
	spin_unlock_irq(&queue->lock);
}

/*
 * How many descriptors must stay free of this request: those for CANCEL and CLOSE
 * on the transmit queue [protocol.md 8.4], those of the event buffers that are
 * about to go back on the receive queue [protocol.md 11.3].
 */
static unsigned int kept_locked(const struct mp_queue *queue, const struct mp_req *req)
{
	if (is_rx(queue))
		return queue->event_count - queue->events_posted;
	return req->is_urgent ? 0 : MP_RESERVED_DESCS;
}

/* 0, -ENOSPC (no room yet), -ENOMEM (another time), any other: the ring is broken. */
static int add_locked(struct mp_queue *queue, struct mp_req *req)
{
	struct scatterlist header, result, *sgs[4];
	unsigned int out = 0, in = 0, need;

	lockdep_assert_held(&queue->lock);
	if (req->is_joined && !req->payload_in) {
		memcpy(sg_virt(req->sg), &req->header, sizeof(req->header));
	} else {
		sg_init_one(&header, &req->header, sizeof(req->header));
		sgs[out++] = &header;
	}
	if (req->sg && !req->payload_in)
		sgs[out++] = req->sg;
	if (!req->is_joined || !req->payload_in) {
		sg_init_one(&result, &req->result, sizeof(req->result));
		sgs[out + in++] = &result;
	}
	if (req->sg && req->payload_in)
		sgs[out + in++] = req->sg;

	need = queue->has_indirect ? 1 : 2 + req->sg_count;
	if (queue->vq->num_free < need + kept_locked(queue, req))
		return -ENOSPC;
	return mp_debug_fail_add() ?:
	       virtqueue_add_sgs(queue->vq, sgs, out, in, req, GFP_ATOMIC);
}

/*
 * Senders take turns: queue->waiting has one request of each that has any waiting, and the others
 * of a sender wait behind that one, in a ring without a head. So before a request that comes now
 * goes at most one of each other sender.
 */
static void wait_locked(struct mp_queue *queue, struct mp_req *req)
{
	struct mp_sender *sender = req->sender;
	enum mp_line line = line_of(queue);

	if (req->is_urgent) {
		list_add_tail(&req->node, &queue->urgent);
	} else if (!sender->is_waiting[line]) {
		sender->is_waiting[line] = true;
		list_add_tail(&req->node, &queue->waiting);
	} else if (sender->behind[line]) {
		list_add_tail(&req->node, sender->behind[line]);
	} else {
		INIT_LIST_HEAD(&req->node);
		sender->behind[line] = &req->node;
	}
}

/* @req, which is first, waits no more: the next one of its sender goes to the end. */
static void turn_ends_locked(struct mp_queue *queue, struct mp_req *req)
{
	struct mp_sender *sender = req->sender;
	enum mp_line line = line_of(queue);
	struct list_head *next = sender->behind[line];

	list_del_init(&req->node);
	if (req->is_urgent)
		return;
	sender->is_waiting[line] = next;
	if (!next)
		return;
	sender->behind[line] = list_empty(next) ? NULL : next->next;
	list_move_tail(next, &queue->waiting);
}

/* Moves what waits into the ring as far as that goes; counts in @added. Returns 0 or -errno. */
static int add_waiting_locked(struct mp_queue *queue, struct list_head *list,
			      unsigned int *added)
{
	struct mp_req *req;
	int ret;

	while (!list_empty(list)) {
		req = list_first_entry(list, struct mp_req, node);
		ret = add_locked(queue, req);
		if (ret)
			return ret;
		turn_ends_locked(queue, req);
		list_add_tail(&req->node, &queue->inflight);
		req->is_added = true;
		++*added;
	}
	return 0;
}

static int post_events_locked(struct mp_queue *queue, unsigned int *added)
{
	struct scatterlist sg;
	unsigned int i;
	int ret;

	for (i = 0; i < queue->event_count; i++) {
		struct mp_event_buf *buf = &queue->events[i];

		if (buf->is_posted)
			continue;
		sg_init_one(&sg, &buf->event, sizeof(buf->event));
		ret = mp_debug_fail_add() ?:
		      virtqueue_add_inbuf(queue->vq, &sg, 1, buf, GFP_ATOMIC);
		if (ret)
			return ret;
		buf->is_posted = true;
		queue->events_posted++;
		++*added;
	}
	return 0;
}

/*
 * The ring cannot be used any more in this life: the port's channels end. What the device
 * still gives back is taken, the rest stays its own until the queues are deleted.
 */
static void break_locked(struct mp_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	if (queue->is_broken)
		return;
	queue->is_broken = true;
	queue_work(mp_workqueue, queue->broken_work);
}

/* An addition failed with @error: is it to be tried again, and when? */
static void add_failed_locked(struct mp_queue *queue, int error)
{
	if (error == -ENOMEM)
		queue_delayed_work(mp_workqueue, &queue->retry_work,
				   msecs_to_jiffies(min(1U << queue->tries, MP_RETRY_MS)));
	else if (error != -ENOSPC)
		break_locked(queue);
}

/*
 * Puts what waits into the ring. Returns true when something is in it that was not. What waits for
 * memory keeps back all that is behind it: a CLOSE and the CONNECT that follows stay in order.
 */
static bool fill_locked(struct mp_queue *queue)
{
	unsigned int added = 0;
	int ret = 0;

	lockdep_assert_held(&queue->lock);
	if (queue->is_dead || queue->is_broken)
		return false;
	if (queue->events_posted < queue->event_count)
		ret = post_events_locked(queue, &added);
	if (!ret)
		ret = add_waiting_locked(queue, &queue->urgent, &added);
	if (!ret)
		ret = add_waiting_locked(queue, &queue->waiting, &added);
	if (added || ret != -ENOMEM)
		queue->tries = 0;
	if (ret)
		add_failed_locked(queue, ret);
	if (added && !is_rx(queue) && !queue->silence.is_watched)
		mp_silence_watch(&queue->silence);
	return added;
}

/*
 * Tells the device what was added, as mp_queue_submit() asked for: with no lock held, since this
 * may take as long as a visit to the VMM, and in the RCU section in which that was asked. The queue
 * was alive then, and its virtqueue is reset and deleted a grace period after the queue is dead.
 */
void mp_queue_notify(struct mp_queue *queue)
{
	unsigned long flags;

	if (virtqueue_notify(queue->vq))
		return;
	spin_lock_irqsave(&queue->lock, flags);
	break_locked(queue);
	spin_unlock_irqrestore(&queue->lock, flags);
}

/* Puts what waits into the ring. Returns true when mp_queue_notify() is due. */
static bool refill_locked(struct mp_queue *queue)
{
	return fill_locked(queue) && virtqueue_kick_prepare(queue->vq);
}

/* Drops the lock; @kick: refill_locked() said so. */
static void unlock_and_kick(struct mp_queue *queue, unsigned long flags, bool kick)
	__releases(&queue->lock)
{
	if (!kick) {
		spin_unlock_irqrestore(&queue->lock, flags);
		return;
	}
	mp_queue_begin_kick();
	spin_unlock_irqrestore(&queue->lock, flags);
	mp_queue_notify(queue);
	mp_queue_end_kick();
}

/* As mp_demand_update(). */
static bool update_locked(struct mp_queue *queue)
{
	bool is_crowded = !list_empty(&queue->waiting) || !list_empty(&queue->urgent);

	lockdep_assert_held(&queue->lock);
	return !queue->is_dead && mp_demand_update(&queue->demand, queue->vq, is_crowded);
}

/* The same, where the caller cannot handle what is there. */
static void update_later_locked(struct mp_queue *queue)
{
	if (update_locked(queue))
		queue_work(mp_workqueue, queue->look_work);
}

/*
 * So many more channels (@users) wait for answers to lazy requests, so many more (@holders) hold
 * bytes back until what is under way has been answered: 1, 0 or -1. A dead queue counts nothing:
 * its channels have ended, and the next life begins with none.
 */
void mp_queue_demand(struct mp_queue *queue, int users, int holders)
{
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	if (!queue->is_dead) {
		mp_assert(users >= 0 || queue->demand.users);
		queue->demand.users += users;
		if (holders > 0)
			mp_demand_hold(&queue->demand);
		else if (holders < 0)
			mp_demand_unhold(&queue->demand);
		update_later_locked(queue);
	}
	spin_unlock_irqrestore(&queue->lock, flags);
}

/* The device is silent, or no longer: the port hears of it. */
static void set_silent_locked(struct mp_queue *queue, bool is_silent)
{
	if (queue->silence.is_silent == is_silent || queue->is_dead)
		return;
	queue->silence.is_silent = is_silent;
	queue_work(mp_workqueue, queue->broken_work);
}

/* What is there has been handled: does the device answer? */
void mp_queue_watch(struct mp_queue *queue)
{
	unsigned long flags;
	bool is_waiting;

	spin_lock_irqsave(&queue->lock, flags);
	is_waiting = !list_empty(&queue->inflight) && !queue->is_dead;
	set_silent_locked(queue, mp_silence_look(&queue->silence, is_waiting));
	spin_unlock_irqrestore(&queue->lock, flags);
}

/*
 * Hands @req to the device, now or when there is a descriptor. Returns 1 when the caller is to call
 * mp_queue_notify() once it holds no lock, 0 when the device need not be told, -ENODEV when the
 * queue is dead, -EIO when it is broken: then @req is still the caller's and done() is not called.
 */
int mp_queue_submit(struct mp_queue *queue, struct mp_req *req)
{
	unsigned long flags;
	int ret;

	spin_lock_irqsave(&queue->lock, flags);
	ret = queue->is_dead ? -ENODEV : queue->is_broken ? -EIO : 0;
	if (ret)
		goto out;
	req->error = 0;
	req->is_added = false;
	queue->demand.users += !req->is_lazy;
	if (req->is_held)
		mp_demand_hold(&queue->demand);
	wait_locked(queue, req);
	ret = refill_locked(queue);
	update_later_locked(queue);
out:
	spin_unlock_irqrestore(&queue->lock, flags);
	return ret;
}

/*
 * A caller waits for the answer to @req, which said that it may be looked at late. Returns
 * true when it says so no more: it still waits to be added, and the device has not seen it.
 */
bool mp_queue_hurry(struct mp_queue *queue, struct mp_req *req)
{
	unsigned long flags;
	bool waits;

	spin_lock_irqsave(&queue->lock, flags);
	waits = !req->is_added;
	if (waits)
		req->header.flags &= ~cpu_to_le16(MP_LAZY);
	spin_unlock_irqrestore(&queue->lock, flags);
	return waits;
}

/*
 * @req is of @generation from now on, if it still waits to be added, so that no device has seen it.
 * Returns true if so.
 */
bool mp_queue_renew(struct mp_queue *queue, struct mp_req *req, u32 generation)
{
	unsigned long flags;
	bool waits;

	spin_lock_irqsave(&queue->lock, flags);
	waits = !req->is_added;
	if (waits)
		req->header.generation = cpu_to_le32(generation);
	spin_unlock_irqrestore(&queue->lock, flags);
	return waits;
}

/*
 * Gives the device its event buffers: at most a quarter of the ring. Returns 0, -ENOMEM,
 * -EIO (the queue is broken).
 */
int mp_queue_post_events(struct mp_queue *queue)
{
	unsigned int count = clamp(virtqueue_get_vring_size(queue->vq) / 4, 1U, MP_EVENTS_MAX + 0U);
	unsigned long flags;
	bool kick = false;
	int ret = 0;

	if (!queue->events)
		queue->events = kcalloc(count, sizeof(*queue->events), GFP_KERNEL);
	if (!queue->events)
		return -ENOMEM;
	spin_lock_irqsave(&queue->lock, flags);
	if (queue->is_broken) {
		ret = -EIO;
	} else if (!queue->is_dead) {
		queue->event_count = count;
		kick = refill_locked(queue);
	}
	unlock_and_kick(queue, flags, kick);
	return ret;
}

/* @req is on no list any more, and no user waits in this queue for its answer. */
static void leave_locked(struct mp_queue *queue, struct mp_req *req)
{
	lockdep_assert_held(&queue->lock);
	list_del_init(&req->node);
	queue->demand.users -= !req->is_lazy;
	if (req->is_held)
		mp_demand_unhold(&queue->demand);
}

/* Is @buf, which came back, an event buffer? Its place alone says so. All else is a request. */
static bool is_event_locked(const struct mp_queue *queue, const struct mp_event_buf *buf)
{
	return buf >= queue->events && buf < queue->events + queue->event_count;
}

/* A used buffer, or NULL. A request is the caller's from here on. */
static void *take_locked(struct mp_queue *queue, u32 *used)
{
	struct mp_req *req;

	if (queue->is_dead)
		return NULL;
	req = virtqueue_get_buf(queue->vq, used);
	if (!req && virtqueue_is_broken(queue->vq))
		break_locked(queue);
	if (!req || is_event_locked(queue, (void *)req))
		return req;
	leave_locked(queue, req);
	queue->silence.answers++;
	set_silent_locked(queue, false);
	req->used = *used;
	return req;
}

/*
 * Copies what an event buffer brought. From here on the buffer waits to be posted again, and its
 * descriptor is kept for that: an event makes requests, which would take it otherwise.
 */
static void take_event_locked(struct mp_queue *queue, struct mp_event_buf *buf,
			      struct mp_event *event)
{
	memcpy(event, &buf->event, sizeof(*event));
	barrier();	/* only the copy is looked at from here on */
	buf->is_posted = false;
	queue->events_posted--;
}

/*
 * Handles up to @budget used buffers, each with the lock dropped. Returns how many there were. The
 * caller cannot lose the processor (pair.c).
 */
static unsigned int drain_locked(struct mp_queue *queue, unsigned int budget, unsigned long *flags)
	__must_hold(&queue->lock)
{
	struct mp_event event;
	unsigned int found;
	struct mp_req *req;
	bool is_event;
	u32 used;

	for (found = 0; found < budget && (req = take_locked(queue, &used)); found++) {
		is_event = is_event_locked(queue, (void *)req);
		if (is_event)
			take_event_locked(queue, (void *)req, &event);
		spin_unlock_irqrestore(&queue->lock, *flags);
		mp_assert(IS_ENABLED(CONFIG_PREEMPT_RT) || !preemptible());
		if (is_event)
			queue->event(queue, &event, used);
		else
			req->done(req);
		spin_lock_irqsave(&queue->lock, *flags);
	}
	return found;
}

/*
 * Handles up to *@budget used buffers, and counts them there; fills what became free. The device
 * makes no interrupts during this; from before the last look on one counts again, so that none is
 * lost. Returns true when more may be there that an interrupt should have said, and did not.
 */
bool mp_queue_poll(struct mp_queue *queue, unsigned int *budget)
{
	bool more = false, kick = false;
	unsigned int found;
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	if (!queue->is_dead) {
		mp_demand_pause(&queue->demand, queue->vq);
		found = drain_locked(queue, *budget, &flags);
		*budget -= found;
		kick = found && refill_locked(queue);
		more = update_locked(queue);
	}
	unlock_and_kick(queue, flags, kick);
	return more;
}

/*
 * One call more (@by is 1) or less (-1) looks for itself: no interrupts while one does. Returns as
 * mp_queue_poll().
 */
bool mp_queue_spin(struct mp_queue *queue, int by)
{
	unsigned long flags;
	bool more;

	spin_lock_irqsave(&queue->lock, flags);
	queue->demand.spinners += by;
	more = update_locked(queue);
	spin_unlock_irqrestore(&queue->lock, flags);
	return more;
}

/* The hold timer has ended. Returns as mp_queue_poll(). */
bool mp_queue_overdue(struct mp_queue *queue)
{
	unsigned long flags;
	bool more;

	spin_lock_irqsave(&queue->lock, flags);
	mp_demand_overdue(&queue->demand);
	more = update_locked(queue);
	spin_unlock_irqrestore(&queue->lock, flags);
	return more;
}

/* The first request that waits, when it has been tried often enough, else NULL. */
static struct mp_req *give_up_locked(struct mp_queue *queue)
{
	struct mp_req *req;

	if (queue->tries < MP_TRIES || list_empty(&queue->waiting))
		return NULL;
	req = list_first_entry(&queue->waiting, struct mp_req, node);
	turn_ends_locked(queue, req);
	leave_locked(queue, req);
	req->error = -ENOMEM;
	mod_delayed_work(mp_workqueue, &queue->retry_work, 1);	/* for the one behind it */
	return req;
}

/*
 * Tries again what was not added for lack of memory. At most one request is given up each
 * time; its owner may send another instead.
 */
static void mp_queue_retry_work(struct work_struct *work)
{
	struct mp_queue *queue = container_of(to_delayed_work(work), struct mp_queue, retry_work);
	struct mp_req *req = NULL;
	unsigned long flags;
	bool kick;

	spin_lock_irqsave(&queue->lock, flags);
	queue->tries = min(queue->tries + 1, MP_TRIES + 0U);
	kick = refill_locked(queue);
	if (!queue->is_dead && !queue->is_broken)
		req = give_up_locked(queue);
	unlock_and_kick(queue, flags, kick);
	if (req)
		req->done(req);
}

/* From the return on nothing is added, taken or notified. */
void mp_queue_kill(struct mp_queue *queue)
{
	spin_lock_irq(&queue->lock);
	queue->is_dead = true;
	spin_unlock_irq(&queue->lock);
}

/* The device has been reset: undo the mappings, while the virtqueue exists. */
void mp_queue_detach(struct mp_queue *queue)
{
	cancel_delayed_work_sync(&queue->retry_work);
	while (virtqueue_detach_unused_buf(queue->vq))
		;	/* our own lists know what it was */
	queue->vq = NULL;
}

/* The virtqueue is deleted and the device touches nothing any more: every request is over. */
void mp_queue_flush(struct mp_queue *queue)
{
	struct mp_req *req, *next;
	LIST_HEAD(over);

	spin_lock_irq(&queue->lock);
	list_splice_tail_init(&queue->inflight, &over);
	list_splice_tail_init(&queue->urgent, &over);
	while (!list_empty(&queue->waiting)) {
		req = list_first_entry(&queue->waiting, struct mp_req, node);
		turn_ends_locked(queue, req);
		list_add_tail(&req->node, &over);
	}
	queue->events_posted = 0;
	queue->event_count = 0;
	spin_unlock_irq(&queue->lock);
	/* The next life's queue may have another size. */
	kfree(queue->events);
	queue->events = NULL;

	list_for_each_entry_safe(req, next, &over, node) {
		list_del_init(&req->node);
		req->error = -ESHUTDOWN;
		req->done(req);
	}
}
