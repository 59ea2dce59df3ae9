// SPDX-License-Identifier: GPL-2.0-only
/*
 * A channel's tie to its slot: references, requests out, answers and events in.
 *
 * Lifetime: the file, the slot table and each request in flight hold a reference. The table's
 * goes when the device says CLOSED, when there was never a CONNECT, or with the port.
 *
 * The device's state is level and numbered: the newest wins, an older one that was overtaken on
 * the other queue is ignored [protocol.md 7.1]. Bits that say "for ever" cannot be taken back by
 * a device that changes its mind.
 */
#include <manyport/wire_check.h>

#include "debug.h"
#include "link.h"
#include "port.h"
#include "work.h"

#define MP_ST_FOR_EVER (MP_ST_CONNECTED | MP_ST_IN_HUP | MP_ST_IN_END | MP_ST_OUT_END | \
			MP_ST_FAILED | MP_ST_CLOSED)

/* The caller's reference is the first; @port is given one by the caller. */
void mp_link_init(struct mp_link *link, const struct mp_link_ops *ops, struct mp_port *port,
		  struct mp_account *account, struct mp_req *urgent_req)
{
	kref_init(&link->ref);
	link->ops = ops;
	link->port = port;
	link->account = account;
	link->urgent_req = urgent_req;
	init_waitqueue_head(&link->wait);
	spin_lock_init(&link->lock);
	link->generation = mp_port_next_generation(port);
}

static void release_ref(struct kref *ref)
{
	struct mp_link *link = container_of(ref, struct mp_link, ref);

	link->ops->free(link);
}

void mp_link_put(struct mp_link *link)
{
	kref_put(&link->ref, release_ref);
}

/* Enters the slot table, which takes a reference. Returns 0, -EBUSY (full) or -ENOMEM. */
int mp_link_take_slot(struct mp_link *link)
{
	struct mp_port *port = link->port;
	int ret;

	ret = xa_alloc_cyclic_irq(&port->channels, &link->slot, link,
				  XA_LIMIT(0, port->max_channels - 1), &port->slot_hint,
				  GFP_KERNEL_ACCOUNT);
	if (ret < 0)
		return ret == -ENOMEM ? ret : -EBUSY;
	mp_link_get(link);	/* the table's: until the open is done it stays there */
	return 0;
}

/* Gives the slot back; drops the table's reference. Once. */
void mp_link_free_slot(struct mp_link *link)
{
	struct mp_port *port = link->port;
	struct mp_link *old;
	unsigned long flags;

	xa_lock_irqsave(&port->channels, flags);
	old = xa_load(&port->channels, link->slot);
	if (old == link)
		__xa_erase(&port->channels, link->slot);
	xa_unlock_irqrestore(&port->channels, flags);
	if (old == link)
		mp_link_put(link);
}

/* A reference to the link in @slot if it is of @generation, else NULL. */
static struct mp_link *link_find(struct mp_port *port, u32 slot, u32 generation)
{
	struct mp_link *link;
	unsigned long flags;

	xa_lock_irqsave(&port->channels, flags);
	link = xa_load(&port->channels, slot);
	if (link && READ_ONCE(link->generation) == generation)
		mp_link_get(link);
	else
		link = NULL;
	xa_unlock_irqrestore(&port->channels, flags);
	return link;
}

/* Naming goes on to @phase. What was said of the attempt before does not count in the next. */
void mp_link_become_locked(struct mp_link *link, enum mp_phase phase)
{
	lockdep_assert_held(&link->lock);
	mp_assert(phase == MP_PHASE_NAMING || link->phase == MP_PHASE_NAMING);
	link->phase = phase;
	link->was_connected |= phase == MP_PHASE_CONNECTED;
	if (phase != MP_PHASE_NAMING)
		return;
	link->bits &= ~MP_ST_REFUSED;
	link->reason = MP_REASON_NONE;
	link->is_closed = false;
	link->is_lost = false;
}

/*
 * The file is gone (@is_release), or a holder gives the channel up: the device is to hear of it, if
 * it knows the channel.
 */
void mp_link_end_locked(struct mp_link *link, bool is_release)
{
	lockdep_assert_held(&link->lock);
	if (is_release)
		link->is_released = true;
	else
		link->is_aborted = true;
	if (link->phase == MP_PHASE_UNNAMED)
		link->is_closed = true;
}

/*
 * CLOSE was answered, or cannot be. @is_closed: the device has forgotten the channel. If it has
 * not, a channel that has an error sends one more.
 */
void mp_link_closed_locked(struct mp_link *link, bool is_closed)
{
	lockdep_assert_held(&link->lock);
	if (is_closed)
		link->is_closed = true;
	else if (link->error)
		link->close_sent = false;
}

/* CONNECT was answered with MP_BUSY: the device made no channel. */
void mp_link_refused_locked(struct mp_link *link)
{
	mp_link_become_locked(link, MP_PHASE_REFUSED);
	link->reason = MP_REASON_BUSY;
	link->is_closed = true;
}

/*
 * @generation is the next one: the device has said nothing of it, and answers to the last count no
 * more.
 */
void mp_link_renew_locked(struct mp_link *link, u32 generation)
{
	lockdep_assert_held(&link->lock);
	link->bits = 0;
	link->seq = 0;
	link->close_sent = false;	/* that was of the last one */
	WRITE_ONCE(link->generation, generation);
}

/* --- Ends ------------------------------------------------------------------ */

int mp_reason_to_errno(u16 reason)
{
	static const s16 errors[] = {
		[MP_REASON_NO_SERVICE] = -ENOENT,
		[MP_REASON_DENIED] = -EACCES,
		[MP_REASON_BUSY] = -EBUSY,
		[MP_REASON_NOT_LISTENING] = -ECONNREFUSED,
		[MP_REASON_TIMED_OUT] = -ETIMEDOUT,
		[MP_REASON_NAME_TOO_LONG] = -ENAMETOOLONG,
		[MP_REASON_NAME_INVALID] = -EINVAL,
	};

	return reason < ARRAY_SIZE(errors) && errors[reason] ? errors[reason] : -ECONNRESET;
}

/*
 * Tells the transmit queue what the channel waits for: answers to lazy requests (@wanted), or
 * answers behind which something goes on (@held). A channel with an error waits for nothing,
 * but for the CLOSE of one that the device still knows.
 */
void mp_link_demand_locked(struct mp_link *link, bool wanted, bool held)
{
	lockdep_assert_held(&link->lock);
	if (link->error && (link->error == -ENODEV || !mp_link_is_ending_locked(link) ||
			    link->is_closed)) {
		wanted = false;
		held = false;
	}
	if (wanted != link->is_wanted || held != link->is_held)
		mp_queue_demand(link->port->tx, wanted - link->is_wanted, held - link->is_held);
	link->is_wanted = wanted;
	link->is_held = held;
}

/*
 * The channel is over: every call gets @error from now on. Progress after this, in the same
 * section, drops what cannot be sent any more. Returns what to wake.
 */
__poll_t mp_link_fail_locked(struct mp_link *link, int error)
{
	lockdep_assert_held(&link->lock);
	if (link->error == -ENODEV || link->error == error)
		return 0;
	/* With -ENODEV the queue may be gone soon. */
	mp_link_demand_locked(link, false, false);
	link->error = error;
	return EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP;
}

/*
 * The device broke a rule: the channel ends with ECONNRESET, and the device is
 * told to forget it [protocol.md 10.7]. The first time is logged. Returns what to wake.
 */
__poll_t mp_link_break_locked(struct mp_link *link, const char *what)
{
	if (link->error)
		return 0;
	pr_warn_ratelimited("%s: channel %u: the host broke the protocol: %s\n",
			    dev_name(&link->port->dev), link->slot, what);
	/* A released channel whose CLOSE was answered gets one more, with ABORT. */
	if (!link->urgent.close_busy)
		link->close_sent = false;
	return mp_link_fail_locked(link, -ECONNRESET);
}

/*
 * The device knows the channel no more. A CLOSE that it may have answered is sent once more, with
 * ABORT. A channel that a process holds on a fixed port has the end that a failure of its service
 * is; any other is over. Returns what to wake.
 */
__poll_t mp_link_lose_locked(struct mp_link *link)
{
	u16 old = link->bits;

	lockdep_assert_held(&link->lock);
	if (link->phase == MP_PHASE_UNNAMED)
		return 0;
	link->is_lost = true;
	if (!link->urgent.close_busy)
		link->close_sent = false;
	if (link->error)
		return 0;
	if (!link->port->is_fixed || link->is_released)
		return mp_link_fail_locked(link, -ECONNRESET);
	if (link->phase != MP_PHASE_CONNECTED)
		return 0;
	link->bits |= MP_ST_FAILED | MP_ST_IN | MP_ST_OUT | MP_ST_IN_END | MP_ST_OUT_END;
	link->reason = MP_REASON_RESET;
	return link->ops->changed_locked(link, old);
}

/*
 * The device cannot reach memory of the driver's own: there is no other way for the bytes, and
 * behind them a hole would be in the stream. So the channel ends with EIO, and the device
 * is told to forget it [protocol.md 6.9]. Returns what to wake.
 */
__poll_t mp_link_fault_locked(struct mp_link *link)
{
	pr_warn_ratelimited("%s: channel %u: the host cannot reach this kernel's memory\n",
			    dev_name(&link->port->dev), link->slot);
	return mp_link_fail_locked(link, -EIO);
}

/* --- The end of a section -------------------------------------------------- */

#define MP_DUE_RX	1	/* in link->due */
#define MP_DUE_TX	2

/*
 * Drops the lock, and tells the device what the section has put into the rings: not before, since
 * that may take as long as a visit to the VMM. @flags: NULL where interrupts were on.
 */
void mp_link_unlock_due(struct mp_link *link, const unsigned long *flags)
	__releases(&link->lock)
{
	u8 due = link->due;

	lockdep_assert_held(&link->lock);
	link->kicks += !!(due & MP_DUE_RX) + !!(due & MP_DUE_TX);
	link->due = 0;
	mp_queue_begin_kick();
	if (flags)
		spin_unlock_irqrestore(&link->lock, *flags);
	else
		spin_unlock_irq(&link->lock);
	if (due & MP_DUE_RX)
		mp_queue_notify(link->port->rx);
	if (due & MP_DUE_TX)
		mp_queue_notify(link->port->tx);
	mp_queue_end_kick();
}

/* --- Answers and events ---------------------------------------------------- */

/* Takes over @state, valid and of this generation, if it is newer. Returns what to wake. */
static __poll_t apply_locked(struct mp_link *link, const struct mp_state *state)
{
	u32 seq = le32_to_cpu(state->seq);
	u16 old = link->bits;

	lockdep_assert_held(&link->lock);
	if (!mp_seq_is_newer(seq, link->seq) || link->phase == MP_PHASE_UNNAMED)
		return 0;
	link->seq = seq;
	link->bits = le16_to_cpu(state->bits) | (old & MP_ST_FOR_EVER);
	link->reason = le16_to_cpu(state->reason);
	if (link->bits & MP_ST_CLOSED)
		link->is_closed = true;
	return link->ops->changed_locked(link, old);
}

/*
 * The device's answer to @req, as all requests see it. Returns 0 when @answer holds a result that
 * matches its request and is about the channel as it is now, or why nothing came that counts:
 *
 * -ESHUTDOWN, -ENOMEM	no answer: the queue died, or gave the request up
 * -ESTALE		the answer is of a generation that is over (a fixed port's); or MP_STALE
 *			after CLOSE: the device has closed the channel and forgotten it, perhaps
 *			while this request was on its way [protocol.md 6.7, 8.3]; or the channel
 *			was lost with the daemon that had it [protocol.md 3.7]
 * -EPROTO		the answer breaks a rule, which has failed the channel [protocol.md 10.7]:
 *			it does not match its request, or it says MP_STALE or MP_BAD_STATE before
 *			CLOSE was sent. No request but CONNECT is sent before the device has said
 *			CONNECTED, none that reaches beyond the final offset of a SHUTDOWN, and
 *			only CLOSE ends a channel at the device [protocol.md 4.2, 6.3, 6.4].
 */
static int answer_locked(struct mp_link *link, const struct mp_req *req,
			 struct mp_result *answer, __poll_t *wake)
{
	int ret = mp_req_answer(req, answer, link->port->version);
	u32 status = ret ? MP_OK : le32_to_cpu(answer->status);

	if (le32_to_cpu(req->header.generation) != link->generation)
		return -ESTALE;
	if (status == MP_STALE && link->close_sent) {
		link->is_closed = true;
		link->bits |= MP_ST_CLOSED;
		return -ESTALE;
	}
	if (link->is_lost && !link->close_sent)
		return -ESTALE;
	if (status == MP_STALE || (status == MP_BAD_STATE && !link->close_sent)) {
		*wake |= mp_link_break_locked(link, "channel unknown");
		return -EPROTO;
	}
	if (ret == -EPROTO)
		*wake |= mp_link_break_locked(link, "result");
	return ret;
}

/* The end of a handler: progress, once; what is woken; and the handler's reference goes. */
static void link_leave(struct mp_link *link, unsigned long flags, __poll_t wake)
	__releases(&link->lock)
{
	wake |= mp_link_progress_locked(link);
	mp_link_unlock_irqrestore(link, flags);
	link->ops->settle(link, wake);
	mp_link_put(link);
}

/*
 * What the queue calls for every request when it is over. taken() comes before the state: what
 * came is counted before progress asks for more behind it. It may give the request's memory away
 * or send it again, so @req is not touched behind it. The state of an answer that ended the
 * channel is not taken over: what that device says is believed no more. Nor is the one that comes
 * with MP_BUSY: the device made no channel, so it is the state of none [protocol.md 6.1].
 */
static void link_done(struct mp_req *req)
{
	struct mp_link *link = mp_link_of(req);
	struct mp_result answer;
	unsigned long flags;
	__poll_t wake = 0;
	int ret, error;

	spin_lock_irqsave(&link->lock, flags);
	mp_assert(!link->due);
	ret = answer_locked(link, req, &answer, &wake);
	error = link->error;
	wake |= req->taken(req, ret, &answer);
	if (!ret && link->error == error && answer.status != cpu_to_le32(MP_BUSY))
		wake |= apply_locked(link, &answer.state);
	link_leave(link, flags, wake);	/* the request's reference */
}

/*
 * Hands @req to the device: mp_req_init() and a payload are done. The section ends by
 * mp_link_unlock() or mp_link_unlock_irqrestore(), which tell the device of it. The request holds
 * a reference until it is over, and its taken() is called exactly once. Returns 0, or -ENODEV or
 * -EIO (still the caller's).
 */
int mp_link_send_locked(struct mp_link *link, struct mp_queue *queue, struct mp_req *req,
			u16 op, u16 flags, u64 offset)
{
	int ret;

	lockdep_assert_held(&link->lock);
	if (link->error == -ENODEV)
		return -ENODEV;	/* the queue may not exist any more */
	req->sender = &link->sender;
	req->done = link_done;
	req->is_urgent = op == MP_OP_CANCEL || op == MP_OP_CLOSE;
	/* No caller waits for the answer to CLOSE, and it keeps nothing else from going out. */
	req->is_held = op == MP_OP_CLOSE;
	req->is_lazy = op == MP_OP_CLOSE ||
		       ((op == MP_OP_READ || op == MP_OP_WRITE) && (flags & MP_LAZY));
	req->header.op = cpu_to_le16(op);
	req->header.flags = cpu_to_le16(flags);
	req->header.offset = cpu_to_le64(offset);
	req->header.channel = cpu_to_le32(link->slot);
	req->header.generation = cpu_to_le32(link->generation);
	mp_link_get(link);
	ret = mp_queue_submit(queue, req);
	if (ret < 0) {
		mp_link_put(link);	/* never the last: the caller has one */
		return ret;
	}
	link->requests++;
	if (op == MP_OP_CLOSE)
		link->close_sent = true;
	if (ret)
		link->due |= queue == link->port->rx ? MP_DUE_RX : MP_DUE_TX;
	return 0;
}

/* An event buffer came back with @event, a copy; @used bytes were written. */
void mp_link_event(struct mp_port *port, const struct mp_event *event, u32 used)
{
	u32 generation = le32_to_cpu(event->generation);
	struct mp_link *link;
	unsigned long flags;
	__poll_t wake = 0;

	if (!mp_event_is_valid(event, used, port->version) ||
	    le32_to_cpu(event->channel) == MP_CHANNEL_NONE)
		return;	/* nothing to say, or nonsense: the buffer only comes back */
	link = link_find(port, le32_to_cpu(event->channel), generation);
	if (!link)
		return;	/* of an earlier use of the slot [protocol.md 4.1] */
	spin_lock_irqsave(&link->lock, flags);
	/* A fixed port may have moved on. */
	if (link->generation == generation && !link->is_lost) {
		link->events++;
		wake = apply_locked(link, &event->state);
	}
	link_leave(link, flags, wake);
}
