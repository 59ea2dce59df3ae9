// SPDX-License-Identifier: GPL-2.0-only
/*
 * Channels: one per open.
 *
 * Lifetime: mp_channel_open() gives the file its reference to the link (link.c). release()
 * drops the file's and sees to it that CLOSE is sent once nothing is in flight on the transmit
 * queue [protocol.md 8.3]. An abort has CLOSE sent the same way while the file is still open.
 * The last reference frees, from a work item, because it may be dropped in an interrupt.
 */
#include <linux/memcontrol.h>
#include <linux/slab.h>

#include "account.h"
#include "channel.h"
#include "chunk.h"
#include "debug.h"
#include "fetch.h"
#include "in.h"
#include "out.h"
#include "poll.h"
#include "reconnect.h"
#include "urgent.h"
#include "wait.h"
#include "work.h"

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
	struct mp_port *port = ch->link.port;

	mp_chunks_drop_locked(&ch->out);	/* no other user is left: no lock needed */
	mp_in_forget_locked(&ch->in);
	mp_account_close(ch->link.account);
	mp_naming_destroy(&ch->naming);
	mem_cgroup_put(ch->in.memcg);
	kmem_cache_free(channel_cache, ch);
	put_device(&port->dev);
}

static void channel_free(struct mp_link *link)
{
	struct work_struct *work = &mp_channel_of(link)->free_work;

	INIT_WORK(work, channel_free_work);
	queue_work(mp_workqueue, work);
}

/*
 * The host's limit ended the close: the service has not taken all that was written, or has and
 * did not end itself [protocol.md 8.3]. No process holds the channel any more that could be
 * told, so the log and the port's counter say it.
 */
static void linger_expired_locked(const struct mp_channel *ch)
{
	struct mp_port *port = ch->link.port;

	atomic_long_inc(&port->linger_expired);
	pr_warn_ratelimited("%s: channel %u: the host's limit cut '%s' off, %u bytes unsent\n",
			    dev_name(&port->dev), ch->link.slot,
			    ch->naming.name ? ch->naming.name : "", ch->out.bytes);
}

/* There is a newer state. Returns what to wake. */
static __poll_t channel_changed_locked(struct mp_link *link, u16 old)
{
	struct mp_channel *ch = mp_channel_of(link);
	u16 fresh = link->bits & ~old;
	__poll_t wake = 0;

	if (link->phase == MP_PHASE_NAMING && (link->bits & (MP_ST_CONNECTED | MP_ST_REFUSED)))
		wake |= mp_naming_answered_locked(&ch->naming);
	if ((fresh & MP_ST_CLOSED) && link->reason == MP_REASON_LINGER)
		linger_expired_locked(ch);
	if (fresh & (MP_ST_IN | MP_ST_IN_HUP | MP_ST_IN_END | MP_ST_FAILED))
		wake |= EPOLLIN;
	if (fresh & (MP_ST_OUT | MP_ST_OUT_END | MP_ST_FAILED))
		wake |= EPOLLOUT;
	return wake;
}

/*
 * Whatever can move now, moves: unsent chunks, the fetch for a polled channel, a SHUTDOWN, a
 * CANCEL, a fixed port's reconnection; memory for a READ that nothing asks for is given back. Once
 * for each answer and each event, after all that it changed. Returns what to wake.
 */
static __poll_t channel_progress_locked(struct mp_link *link)
{
	struct mp_channel *ch = mp_channel_of(link);
	__poll_t wake = 0;

	lockdep_assert_held(&link->lock);
	if (mp_chunks_are_busy_locked(&ch->out))
		wake |= mp_chunks_pump_locked(&ch->out);
	if (ch->in.is_polled && !ch->in.large)
		mp_fetch_ahead_locked(&ch->in, false);
	if (ch->in.half.shutdown)
		mp_half_shut_locked(&ch->in.half);
	if (ch->out.half.shutdown)
		mp_half_shut_locked(&ch->out.half);
	if (link->urgent.cancel_again)
		mp_urgent_again_locked(link, ch->in.busy);
	if (ch->end.asked)
		mp_connect_again_locked(ch);
	/* A reader in its call may have just made the spare, and trims before it sleeps. */
	if (ch->in.spare && !mutex_is_locked(&ch->read_mutex))
		mp_fetch_trim_locked(&ch->in);
	return wake;
}

static void channel_wake(struct mp_channel *ch, __poll_t key)
{
	/* All kinds of sleepers: a call on its own pages waits killable only. */
	wake_up_poll(&ch->link.wait, key);
	if (key & EPOLLIN)
		kill_fasync(&ch->fasync, SIGIO, POLL_IN);
	if (key & EPOLLOUT)
		kill_fasync(&ch->fasync, SIGIO, POLL_OUT);
}

static void close_try_locked(struct mp_channel *ch)
{
	struct mp_link *link = &ch->link;
	bool abort = link->error || link->is_lost || link->phase != MP_PHASE_CONNECTED;

	if (mp_link_is_ending_locked(link) && !link->is_closed && !link->close_sent &&
	    mp_channel_is_idle_locked(ch) &&
	    mp_urgent_close_locked(link, ch->out.half.offset, abort) == -ENODEV)
		mp_link_closed_locked(link, true);	/* in a reset, which forgets it */
}

/* Does any process sleep on the channel, or ask for signals? */
static bool is_watched(struct mp_channel *ch)
{
	return wq_has_sleeper(&ch->link.wait) || READ_ONCE(ch->fasync);
}

/*
 * The end of every handler of this channel: wakes, closes a released or aborted channel,
 * and gives its slot back when the device has said CLOSED.
 */
static void channel_settle(struct mp_link *link, __poll_t wake)
{
	struct mp_channel *ch = mp_channel_of(link);
	unsigned long flags;
	__poll_t key = 0;
	bool is_over;

	/* What changed, changed under the lock: a release that comes later sees it itself. */
	if (!READ_ONCE(link->is_released) && !READ_ONCE(link->is_aborted) &&
	    !(wake && is_watched(ch)))
		return;
	spin_lock_irqsave(&link->lock, flags);
	close_try_locked(ch);
	if (wake)
		key = mp_poll_key_locked(ch, wake);
	is_over = link->is_released && (link->is_closed || link->error == -ENODEV);
	if (is_over)
		mp_chunks_drop_locked(&ch->out);
	mp_link_unlock_irqrestore(link, flags);
	if (key)
		channel_wake(ch, key);
	if (is_over)
		mp_link_free_slot(link);
}

static void channel_sleep_locked(struct mp_link *link)
{
	mp_fetch_urge_locked(&mp_channel_of(link)->in);
}

static const struct mp_link_ops channel_link_ops = {
	.changed_locked = channel_changed_locked,
	.progress_locked = channel_progress_locked,
	.settle = channel_settle,
	.sleep_locked = channel_sleep_locked,
	.free = channel_free,
};

static struct mp_channel *channel_alloc(struct mp_port *port, struct mp_account *account)
{
	struct mp_channel *ch = kmem_cache_zalloc(channel_cache, GFP_KERNEL);

	if (!ch)
		return NULL;
	mp_link_init(&ch->link, &channel_link_ops, port, account, &ch->urgent_req);
	mp_in_init(&ch->in, &ch->link);
	mp_out_init(&ch->out, &ch->link);
	mp_naming_init(&ch->naming, &ch->link, &ch->out.half.spin);
	ch->in.memcg = get_mem_cgroup_from_mm(current->mm);
	mutex_init(&ch->read_mutex);
	mutex_init(&ch->write_mutex);
	get_device(&port->dev);
	return ch;
}

/*
 * That some are closed may lie in the ring, as events for which no interrupt has come yet
 * [protocol.md 7.8]; and those channels count until a work item has freed them.
 */
static struct mp_account *account_open(struct mp_port *port)
{
	struct mp_account *account = mp_account_open(&port->ledger, port->max_channels);

	if (account != ERR_PTR(-EBUSY))
		return account;
	mp_wait_look_at_port(port);
	flush_workqueue(mp_workqueue);	/* what the look has left to a work item */
	flush_workqueue(mp_workqueue);	/* the channels that were found closed by then */
	return mp_account_open(&port->ledger, port->max_channels);
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

	if (READ_ONCE(port->is_gone))
		return ERR_PTR(-ENODEV);	/* rather than a limit that says nothing any more */
	account = account_open(port);
	if (IS_ERR(account))
		return ERR_CAST(account);
	ch = channel_alloc(port, account);
	if (!ch) {
		mp_account_close(account);
		return ERR_PTR(-ENOMEM);
	}
	ret = mp_link_take_slot(&ch->link);
	if (ret)
		goto err_channel;
	/* Either this is seen, or mp_channel_fail_all() finds this channel in the table. */
	if (READ_ONCE(port->is_gone))
		ret = -ENODEV;
	else if (READ_ONCE(port->is_broken))
		ret = -EIO;
	if (ret)
		goto err_slot;
	mp_debug_opened();
	return ch;

err_slot:
	mp_link_free_slot(&ch->link);
err_channel:
	mp_link_put(&ch->link);
	return ERR_PTR(ret);
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
	spin_lock_irq(&ch->link.lock);
	ch->contended |= direction;
	spin_unlock_irq(&ch->link.lock);
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
	 * holder finds no contender, and the edge that the contender waits for is never made.
	 */
	smp_mb();
	if (!(READ_ONCE(ch->contended) & direction))
		return;
	spin_lock_irq(&ch->link.lock);
	wake = ch->contended & direction;
	ch->contended &= ~direction;
	mp_link_unlock(&ch->link, wake);
}

/* The file is gone. Never waits. */
void mp_channel_release(struct mp_channel *ch)
{
	spin_lock_irq(&ch->link.lock);
	mp_link_end_locked(&ch->link, true);
	mp_in_forget_locked(&ch->in);
	mp_chunks_want_locked(&ch->out, false);
	mp_link_unlock(&ch->link, 0);
	mp_link_put(&ch->link);
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

	spin_lock_irq(&ch->link.lock);
	if (ch->link.error == -ENODEV) {
		spin_unlock_irq(&ch->link.lock);
		return -ENODEV;
	}
	mp_link_end_locked(&ch->link, false);
	wake = mp_link_fail_locked(&ch->link, -ECONNRESET);
	mp_in_forget_locked(&ch->in);
	wake |= mp_link_progress_locked(&ch->link);
	/* CLOSE waits for answers to lazy requests: the queue sees to it that they come. */
	mp_chunks_want_locked(&ch->out, false);
	mp_link_unlock(&ch->link, wake);
	return 0;
}

/* The channel gets @error from now on. Returns what to wake. */
static __poll_t fail_locked(struct mp_link *link, int error)
{
	__poll_t wake = mp_link_fail_locked(link, error);

	/* Also one that had ended before, and waits for answers to send its CLOSE. */
	mp_link_demand_locked(link, false, false);
	/* The device has forgotten it, or cannot be told. */
	mp_link_closed_locked(link, true);
	return wake;
}

/*
 * The device knows it no more, if the one before has ever heard of it. A fixed port that waits for
 * its service asks again.
 */
static __poll_t lose_locked(struct mp_link *link)
{
	struct mp_channel *ch = mp_channel_of(link);

	if (mp_naming_renew_locked(&ch->naming))
		return 0;
	if (link->phase == MP_PHASE_NAMING)
		mp_end_ask_locked(ch);
	return mp_link_lose_locked(link);
}

/*
 * Every channel of the port gets @error from now on and its waiters wake; without an error it is
 * lost with the daemon that had it. With -ETIMEDOUT the waiters only look: the port is silent.
 */
void mp_channel_fail_all(struct mp_port *port, int error)
{
	struct mp_link *link;
	unsigned long slot = 0;
	__poll_t wake;

	for (;;) {
		xa_lock_irq(&port->channels);
		link = xa_find(&port->channels, &slot, ULONG_MAX, XA_PRESENT);
		if (link)
			mp_link_get(link);
		xa_unlock_irq(&port->channels);
		if (!link)
			return;
		spin_lock_irq(&link->lock);
		if (error == -ETIMEDOUT)
			wake = EPOLLIN | EPOLLOUT;
		else
			wake = error ? fail_locked(link, error) : lose_locked(link);
		wake |= mp_link_progress_locked(link);
		mp_link_unlock(link, wake);
		mp_link_put(link);
		slot++;
	}
}
