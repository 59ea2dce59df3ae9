// SPDX-License-Identifier: GPL-2.0-only
/*
 * Channels: one per open.
 *
 * Lifetime: mp_channel_open() gives the file its reference, each request in
 * flight holds another, the port's slot table a third. release() drops the file's and sees
 * to it that CLOSE is sent once nothing is in flight on the transmit queue [protocol.md 8.3].
 * An abort has CLOSE sent the same way while the file is still open.
 * The table's goes when the device says CLOSED, when there was never a
 * CONNECT, or with the port. The last one frees, from a work item, because it
 * may be dropped in an interrupt.
 */
#include <linux/memcontrol.h>
#include <linux/slab.h>

#include "debug.h"
#include "manyport.h"

/* Of their own size: a port may have tens of thousands. */
static struct kmem_cache *channel_cache;

int mp_channel_init_cache(void)
{
	channel_cache = KMEM_CACHE(mp_channel, SLAB_ACCOUNT);
	return channel_cache ? 0 : -ENOMEM;
}

void mp_channel_destroy_cache(void)
{
	kmem_cache_destroy(channel_cache);
}

static void channel_free_work(struct work_struct *work)
{
	struct mp_channel *ch = container_of(work, struct mp_channel, free_work);
	struct mp_port *port = ch->port;

	mp_write_drop_locked(ch);	/* nobody else is left: no lock needed */
	mp_read_forget_locked(ch);
	mp_account_close(ch->account);
	put_cred(ch->cred);
	mem_cgroup_put(ch->memcg);
	kfree(ch->connect_req);
	kfree(ch->name);
	kmem_cache_free(channel_cache, ch);
	put_device(&port->dev);
}

static void channel_release_ref(struct kref *ref)
{
	struct mp_channel *ch = container_of(ref, struct mp_channel, ref);

	queue_work(mp_workqueue, &ch->free_work);
}

void mp_channel_get(struct mp_channel *ch)
{
	kref_get(&ch->ref);
}

void mp_channel_put(struct mp_channel *ch)
{
	kref_put(&ch->ref, channel_release_ref);
}

/* A reference to the channel in @slot if it is of @generation, else NULL. */
struct mp_channel *mp_channel_find(struct mp_port *port, u32 slot, u32 generation)
{
	struct mp_channel *ch;
	unsigned long flags;

	xa_lock_irqsave(&port->channels, flags);
	ch = xa_load(&port->channels, slot);
	if (ch && READ_ONCE(ch->generation) == generation)
		mp_channel_get(ch);
	else
		ch = NULL;
	xa_unlock_irqrestore(&port->channels, flags);
	return ch;
}

/* Gives the slot back; drops the table's reference. Once. */
static void slot_free(struct mp_channel *ch)
{
	struct mp_port *port = ch->port;
	struct mp_channel *old;
	unsigned long flags;

	xa_lock_irqsave(&port->channels, flags);
	old = xa_load(&port->channels, ch->slot);
	if (old == ch)
		__xa_erase(&port->channels, ch->slot);
	xa_unlock_irqrestore(&port->channels, flags);
	if (old == ch)
		mp_channel_put(ch);
}

static struct mp_channel *channel_alloc(struct mp_port *port)
{
	struct mp_channel *ch = kmem_cache_zalloc(channel_cache, GFP_KERNEL);

	if (!ch)
		return NULL;
	kref_init(&ch->ref);
	ch->port = port;
	ch->cred = get_current_cred();
	ch->memcg = get_mem_cgroup_from_mm(current->mm);
	ch->pid = task_tgid_nr_ns(current, &init_pid_ns);
	get_task_comm(ch->comm, current);
	INIT_WORK(&ch->free_work, channel_free_work);
	mutex_init(&ch->read_mutex);
	mutex_init(&ch->write_mutex);
	init_waitqueue_head(&ch->wait);
	spin_lock_init(&ch->lock);
	INIT_LIST_HEAD(&ch->in_fetches);
	INIT_LIST_HEAD(&ch->out_chunks);
	mp_spin_init(&ch->in_spin);
	mp_spin_init(&ch->out_spin);
	ch->generation = mp_port_next_generation(port);
	return ch;
}

/*
 * A new channel on @port: local, no round trip. Returns it with the caller's
 * reference, or ERR_PTR: -EBUSY (a limit), -ENODEV (port gone), -EIO (port broken), -ENOMEM.
 */
struct mp_channel *mp_channel_open(struct mp_port *port)
{
	struct mp_account *account;
	struct mp_channel *ch;
	int ret;

	account = mp_account_open(&port->ledger, port->max_channels);
	if (IS_ERR(account))
		return ERR_CAST(account);
	ch = channel_alloc(port);
	if (!ch) {
		mp_account_close(account);
		return ERR_PTR(-ENOMEM);
	}
	ch->account = account;
	get_device(&port->dev);
	mp_channel_get(ch);	/* the table's */
	ret = xa_alloc_cyclic_irq(&port->channels, &ch->slot, ch,
				  XA_LIMIT(0, port->max_channels - 1), &port->slot_hint,
				  GFP_KERNEL_ACCOUNT);
	if (ret < 0) {
		mp_channel_put(ch);
		mp_channel_put(ch);
		return ERR_PTR(ret == -ENOMEM ? ret : -EBUSY);
	}
	if (READ_ONCE(port->is_gone)) {
		slot_free(ch);
		mp_channel_put(ch);
		return ERR_PTR(-ENODEV);
	}
	/* Either this is seen, or port_break() finds the channel in the table. */
	if (READ_ONCE(port->is_broken)) {
		slot_free(ch);
		mp_channel_put(ch);
		return ERR_PTR(-EIO);
	}
	mp_debug_opened();
	return ch;
}

static void channel_wake(struct mp_channel *ch, __poll_t key)
{
	/* All kinds of sleepers: a shutdown waits killable only. */
	wake_up_poll(&ch->wait, key);
	if (key & EPOLLIN)
		kill_fasync(&ch->fasync, SIGIO, POLL_IN);
	if (key & EPOLLOUT)
		kill_fasync(&ch->fasync, SIGIO, POLL_OUT);
}

/*
 * The device's answer to @req, as all requests see it. Returns 0 when @answer holds a result that
 * matches its request and is about the channel as it is now, or why nothing came that counts:
 *
 * -ESHUTDOWN, -ENOMEM	no answer: the queue died, or gave the request up
 * -ESTALE		the answer is of a generation that is over (a fixed port's); or MP_STALE
 *			after CLOSE: the device has closed the channel and forgotten it, perhaps
 *			while this request was on its way [protocol.md 6.7, 8.3]
 * -EPROTO		the answer breaks a rule, which has failed the channel [protocol.md 10.7]:
 *			it does not match its request, or it says MP_STALE or MP_BAD_STATE before
 *			CLOSE was sent. No request but CONNECT is sent before the device has said
 *			CONNECTED, none that reaches beyond the final offset of a SHUTDOWN, and
 *			only CLOSE ends a channel at the device [protocol.md 4.2, 6.3, 6.4].
 */
static int answer_locked(struct mp_channel *ch, const struct mp_req *req,
			 struct mp_result *answer, __poll_t *wake)
{
	int ret = mp_req_answer(req, answer, ch->port->version);
	u32 status = ret ? MP_OK : le32_to_cpu(answer->status);

	if (!mp_channel_is_current_locked(ch, req))
		return -ESTALE;
	if (status == MP_STALE && ch->close_sent) {
		ch->is_closed = true;
		ch->bits |= MP_ST_CLOSED;
		return -ESTALE;
	}
	if (status == MP_STALE || (status == MP_BAD_STATE && !ch->close_sent)) {
		*wake |= mp_channel_protocol_error_locked(ch, "channel unknown");
		return -EPROTO;
	}
	if (ret == -EPROTO)
		*wake |= mp_channel_protocol_error_locked(ch, "result");
	return ret;
}

/*
 * What the queue calls for every request when it is over. taken() comes before the state: what
 * came is counted before progress asks for more behind it. It may give the request's memory away
 * or send it again, so @req is not touched behind it. The state of an answer that ended the
 * channel is not taken over: what that device says is believed no more.
 */
static void request_done(struct mp_req *req)
{
	struct mp_channel *ch = req->channel;
	struct mp_result answer;
	unsigned long flags;
	__poll_t wake = 0;
	int ret, error;

	spin_lock_irqsave(&ch->lock, flags);
	ret = answer_locked(ch, req, &answer, &wake);
	error = ch->error;
	wake |= req->taken(req, ret, &answer);
	if (!ret && ch->error == error)
		wake |= mp_channel_apply_locked(ch, &answer.state);
	wake |= mp_channel_progress_locked(ch);
	spin_unlock_irqrestore(&ch->lock, flags);
	mp_channel_settle(ch, wake);
	mp_channel_put(ch);	/* the request's */
}

/*
 * Hands @req to the device: mp_req_init() and a payload are done. The request holds a reference
 * until it is over, and its taken() is called exactly once. Returns 0, or -ESHUTDOWN or -EIO
 * (still the caller's).
 */
int mp_channel_send_locked(struct mp_channel *ch, struct mp_queue *queue, struct mp_req *req,
			   u16 op, u16 flags, u64 offset)
{
	int ret;

	lockdep_assert_held(&ch->lock);
	if (ch->error == -ENODEV)
		return -ESHUTDOWN;	/* the queue may not exist any more */
	req->channel = ch;
	req->done = request_done;
	req->is_urgent = op == MP_OP_CANCEL || op == MP_OP_CLOSE;
	/* No caller waits for the answer to CLOSE, and it keeps nothing else from going out. */
	req->is_held = op == MP_OP_CLOSE;
	req->is_lazy = op == MP_OP_CLOSE ||
		       ((op == MP_OP_READ || op == MP_OP_WRITE) && (flags & MP_LAZY));
	req->header.op = cpu_to_le16(op);
	req->header.flags = cpu_to_le16(flags);
	req->header.offset = cpu_to_le64(offset);
	req->header.channel = cpu_to_le32(ch->slot);
	req->header.generation = cpu_to_le32(ch->generation);
	mp_channel_get(ch);
	ret = mp_queue_submit(queue, req);
	if (ret < 0) {
		mp_channel_put(ch);	/* never the last: the caller has one */
		return ret;
	}
	ch->requests++;
	ch->kicks += ret;
	return 0;
}

/* The channel is over: every call gets @error from now on. Returns what to wake. */
__poll_t mp_channel_fail_locked(struct mp_channel *ch, int error)
{
	lockdep_assert_held(&ch->lock);
	if (ch->error == -ENODEV || ch->error == error)
		return 0;
	mp_write_uncount_locked(ch);
	ch->error = error;
	mp_write_drop_locked(ch);
	return EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP;
}

/*
 * The device broke a rule: the channel ends with ECONNRESET, and the device is
 * told to forget it [protocol.md 10.7]. The first time is logged. Returns what to wake.
 */
__poll_t mp_channel_protocol_error_locked(struct mp_channel *ch, const char *what)
{
	if (ch->error)
		return 0;
	pr_warn_ratelimited("%s: channel %u: the host broke the protocol: %s\n",
			    dev_name(&ch->port->dev), ch->slot, what);
	/* A released channel whose CLOSE was answered gets one more, with ABORT. */
	if (!ch->close_busy)
		ch->close_sent = false;
	return mp_channel_fail_locked(ch, -ECONNRESET);
}

/*
 * The device cannot reach memory of the driver's own: there is no other way for the bytes, and
 * behind them a hole would be in the stream. So the channel ends with EIO, and the device
 * is told to forget it [protocol.md 6.9]. Returns what to wake.
 */
__poll_t mp_channel_fault_locked(struct mp_channel *ch)
{
	pr_warn_ratelimited("%s: channel %u: the host cannot reach this kernel's memory\n",
			    dev_name(&ch->port->dev), ch->slot);
	return mp_channel_fail_locked(ch, -EIO);
}

/*
 * CLOSE was answered: CLOSED is a state, now, with MP_CLOSE_ABORT, or in an event to come
 * [protocol.md 8.3]. Where that rule is broken one CLOSE with ABORT follows, and after that the
 * channel is over, whatever comes back. Returns what to wake.
 */
static __poll_t close_take_locked(struct mp_channel *ch, const struct mp_req *req, int ret,
				  const struct mp_result *answer)
{
	bool abort = req->header.flags & cpu_to_le16(MP_CLOSE_ABORT);
	bool is_bad = !ret && (answer->status != cpu_to_le32(MP_OK) ||
			       (abort && !(answer->state.bits & cpu_to_le16(MP_ST_CLOSED))));
	__poll_t wake = is_bad ? mp_channel_protocol_error_locked(ch, "close") : 0;

	if (abort || ret == -ESHUTDOWN)
		ch->is_closed = true;
	else if (ch->error)
		ch->close_sent = false;
	return wake;
}

/*
 * The answer to CLOSE. close_busy falls before the answer is judged: an answer that breaks a rule
 * has one more CLOSE sent, and that takes the same request. A CANCEL that was due while the
 * request was in use follows. The answer to a CLOSE of the generation before only frees the
 * request.
 */
static __poll_t close_taken(struct mp_req *req, int ret, const struct mp_result *answer)
{
	struct mp_channel *ch = req->channel;
	__poll_t wake = 0;

	ch->close_busy = false;
	if (ret != -ESTALE)
		wake = close_take_locked(ch, req, ret, answer);
	mp_fetch_cancel_again_locked(ch);
	return wake;
}

/*
 * Sends CLOSE for the current generation. What was accepted and not sent yet
 * follows it, up to the final offset, unless @abort. Returns 0, -EBUSY (the
 * one of the generation before, or a CANCEL, is still at the device), -ESHUTDOWN.
 */
int mp_channel_send_close_locked(struct mp_channel *ch, bool abort)
{
	struct mp_req *req = &ch->urgent_req;
	int ret;

	lockdep_assert_held(&ch->lock);
	if (ch->close_busy || ch->cancel_busy)
		return -EBUSY;
	mp_req_init(req, close_taken);
	ret = mp_channel_send_locked(ch, ch->port->tx, req, MP_OP_CLOSE,
				     abort ? MP_CLOSE_ABORT : 0, ch->out_offset);
	ch->close_busy = !ret;
	return ret;
}

static void close_try_locked(struct mp_channel *ch)
{
	bool abort = ch->error || ch->phase != MP_PHASE_CONNECTED;

	if (mp_channel_is_ending_locked(ch) && !ch->is_closed && !ch->close_sent &&
	    mp_channel_is_idle_locked(ch))
		ch->close_sent = !mp_channel_send_close_locked(ch, abort);
}

/* Does anybody sleep on the channel, or ask for signals? */
static bool is_watched(struct mp_channel *ch)
{
	return wq_has_sleeper(&ch->wait) || READ_ONCE(ch->fasync);
}

/*
 * The end of every handler of this channel: wakes, closes a released or aborted channel,
 * and gives its slot back when the device has said CLOSED.
 */
void mp_channel_settle(struct mp_channel *ch, __poll_t wake)
{
	unsigned long flags;
	__poll_t key = 0;
	bool is_over;

	/* What changed, changed under the lock: a release that comes later sees it itself. */
	if (!READ_ONCE(ch->is_released) && !READ_ONCE(ch->is_aborted) &&
	    !(wake && is_watched(ch)))
		return;
	spin_lock_irqsave(&ch->lock, flags);
	close_try_locked(ch);
	if (wake)
		key = mp_poll_key_locked(ch, wake);
	is_over = ch->is_released && (ch->is_closed || ch->error == -ENODEV);
	if (is_over)
		mp_write_drop_locked(ch);
	spin_unlock_irqrestore(&ch->lock, flags);
	if (key)
		channel_wake(ch, key);
	if (is_over)
		slot_free(ch);
}

/*
 * Takes @mutex for one direction. A call that may not wait and finds it taken notes that,
 * and looks once more: the holder then makes an edge for it when it leaves.
 * Returns 0, -EAGAIN (@nonblock), -ERESTARTSYS.
 */
int mp_channel_lock(struct mp_channel *ch, struct mutex *mutex, __poll_t direction, bool nonblock)
{
	if (!nonblock)
		return mutex_lock_interruptible(mutex) ? -ERESTARTSYS : 0;
	if (mutex_trylock(mutex))
		return 0;
	spin_lock_irq(&ch->lock);
	ch->contended |= direction;
	spin_unlock_irq(&ch->lock);
	smp_mb();	/* pairs with the one in mp_channel_unlock() */
	return mutex_trylock(mutex) ? 0 : -EAGAIN;
}

void mp_channel_unlock(struct mp_channel *ch, struct mutex *mutex, __poll_t direction)
{
	__poll_t wake;

	mutex_unlock(mutex);
	/*
	 * Pairs with the barrier in mp_channel_lock(). The holder stores "unlocked" and then loads
	 * contended; the contender stores contended and then loads "locked?". An unlock is only a
	 * release, and a trylock that fails orders nothing, so without both barriers each load may
	 * be done before the store of its own side: the contender finds the mutex taken, the
	 * holder finds nobody, and nobody makes the edge that the contender waits for.
	 */
	smp_mb();
	if (!(READ_ONCE(ch->contended) & direction))
		return;
	spin_lock_irq(&ch->lock);
	wake = ch->contended & direction;
	ch->contended &= ~direction;
	spin_unlock_irq(&ch->lock);
	mp_channel_settle(ch, wake);
}

/* The file is gone. Never waits. */
void mp_channel_release(struct mp_channel *ch)
{
	spin_lock_irq(&ch->lock);
	ch->is_released = true;
	mp_read_forget_locked(ch);
	mp_write_want_locked(ch, false);
	if (ch->phase == MP_PHASE_UNNAMED)
		ch->is_closed = true;	/* the device never heard of it */
	spin_unlock_irq(&ch->lock);
	mp_channel_settle(ch, 0);
	mp_channel_put(ch);
}

/*
 * A holder gives the channel up for all of its holders [protocol.md 8.5]: every call gets
 * ECONNRESET from now on, what the service has not taken is dropped, and CLOSE with ABORT
 * goes out when nothing is on the transmit queue. Never waits. The caller holds the file, so
 * no release comes before this returns. Returns 0, also when the channel has ended already,
 * or -ENODEV.
 */
int mp_channel_abort(struct mp_channel *ch)
{
	__poll_t wake;

	spin_lock_irq(&ch->lock);
	if (ch->error == -ENODEV) {
		spin_unlock_irq(&ch->lock);
		return -ENODEV;
	}
	ch->is_aborted = true;
	if (ch->phase == MP_PHASE_UNNAMED)
		ch->is_closed = true;	/* the device never heard of it */
	wake = mp_channel_fail_locked(ch, -ECONNRESET);
	mp_read_forget_locked(ch);
	/* The answers that CLOSE waits for are those of lazy requests: somebody must look. */
	mp_write_want_locked(ch, false);
	spin_unlock_irq(&ch->lock);
	mp_channel_settle(ch, wake);
	return 0;
}

/* Every channel of the port gets @error from now on and its waiters wake. */
void mp_channel_fail_all(struct mp_port *port, int error)
{
	struct mp_channel *ch;
	unsigned long slot = 0;
	__poll_t wake;

	for (;;) {
		xa_lock_irq(&port->channels);
		ch = xa_find(&port->channels, &slot, ULONG_MAX, XA_PRESENT);
		if (ch)
			mp_channel_get(ch);
		xa_unlock_irq(&port->channels);
		if (!ch)
			return;
		spin_lock_irq(&ch->lock);
		wake = mp_channel_fail_locked(ch, error);
		/* Also one that had ended before, and waits for answers to send its CLOSE. */
		mp_write_uncount_locked(ch);
		ch->is_closed = true;	/* the device has forgotten it, or cannot be told */
		spin_unlock_irq(&ch->lock);
		mp_channel_settle(ch, wake);
		mp_channel_put(ch);
		slot++;
	}
}
