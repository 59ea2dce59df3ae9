// SPDX-License-Identifier: GPL-2.0-only
/*
 * Half-close: what shutdown(2) is to a socket. A message for each direction.
 */
#include <linux/net.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "calls.h"
#include "in.h"
#include "link.h"
#include "port.h"
#include "req.h"

/*
 * The answer to SHUTDOWN. It changes nothing here: the direction was marked when SHUTDOWN was
 * sent, so only its state counts. One that was given up for lack of memory ends the channel,
 * as the service would wait for the end for ever.
 */
static __poll_t shutdown_taken(struct mp_req *req, int ret, const struct mp_result *answer)
{
	struct mp_link *link = req->link;
	u32 status = ret ? 0 : le32_to_cpu(answer->status);

	kfree(req);
	if (ret == -ENOMEM)
		return mp_link_fail_locked(link, -ENOMEM);
	/* A CLOSE may have overtaken it: urgent requests do [protocol.md 8.1, 8.4]. */
	if (ret || status == MP_OK || status == MP_BAD_STATE)
		return 0;
	return mp_link_break_locked(link, "shutdown");
}

/* Hands @req to the device. Returns 0 or -errno: then it is still the caller's. */
static int shutdown_send_locked(struct mp_channel *ch, u16 flags, struct mp_req *req)
{
	u64 final = flags & MP_SHUT_WRITE ? ch->out.half.offset : 0;

	mp_req_init(req, shutdown_taken);
	return mp_link_send_locked(&ch->link, ch->link.port->tx, req, MP_OP_SHUTDOWN, flags,
				   final) ? -ENODEV : 0;
}

static int state_locked(const struct mp_channel *ch)
{
	if (ch->link.error)
		return ch->link.error;
	return ch->link.phase == MP_PHASE_CONNECTED ? 0 : -ENOTCONN;
}

/*
 * The device is told in the same section that drops what was received and what the device still
 * fills, so there is nothing to take back: calls meet the end from here on, for ever.
 */
static int shutdown_read(struct mp_channel *ch)
{
	struct mp_req *req = kzalloc(sizeof(*req), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!req)
		return -ENOMEM;
	spin_lock_irq(&ch->link.lock);
	ret = state_locked(ch);
	if (!ret && !ch->in.half.is_shut) {
		ret = shutdown_send_locked(ch, MP_SHUT_READ, req);
		if (!ret) {
			req = NULL;	/* the queue's, until shutdown_taken() */
			ch->in.half.is_shut = true;
			mp_in_forget_locked(&ch->in);
		}
	}
	mp_link_unlock(&ch->link, EPOLLIN | EPOLLOUT);
	kfree(req);
	return ret;
}

/*
 * Waits until the out stream's final offset is known: a writer that was blocked has met
 * the end and gone, and the pages of one that was killed are back. Ends only by SIGKILL,
 * because the direction is marked as shut already and the device must be told.
 */
static int final_offset_wait(struct mp_channel *ch)
{
	int ret = mutex_lock_killable(&ch->write_mutex);

	if (ret)
		return ret;
	ret = wait_event_killable(ch->link.wait, !READ_ONCE(ch->out.half.batch) ||
						 READ_ONCE(ch->link.error));
	mutex_unlock(&ch->write_mutex);
	return ret;
}

/* Marks the direction, so that writers leave. Returns 1 when it is to be sent, 0, or -errno. */
static int mark_write(struct mp_channel *ch, u32 *generation)
{
	int ret;

	spin_lock_irq(&ch->link.lock);
	ret = state_locked(ch);
	if (!ret && !ch->out.half.is_shut) {
		ch->out.half.is_shut = true;
		*generation = ch->link.generation;
		ret = 1;
	}
	mp_link_unlock(&ch->link, EPOLLIN | EPOLLOUT);
	return ret;
}

/*
 * A caller that is killed before the device was told takes the mark back: another holder may try.
 * A fixed port may have moved on to a generation of which nothing was asked for.
 */
static int shutdown_write(struct mp_channel *ch)
{
	struct mp_req *req = kzalloc(sizeof(*req), GFP_KERNEL_ACCOUNT);
	u32 generation;
	int ret;

	if (!req)
		return -ENOMEM;
	ret = mark_write(ch, &generation);
	if (ret <= 0)
		goto out;
	ret = final_offset_wait(ch);
	spin_lock_irq(&ch->link.lock);
	if (ch->link.generation != generation) {
		ret = 0;	/* that stream is over */
	} else if (ret || ch->link.error) {
		ch->out.half.is_shut = false;
		ret = ret ? ret : ch->link.error;
	} else {
		ret = shutdown_send_locked(ch, MP_SHUT_WRITE, req);
		if (!ret)
			req = NULL;	/* the queue's, until shutdown_taken() */
	}
	spin_unlock_irq(&ch->link.lock);
out:
	kfree(req);
	return ret;
}

/*
 * Ends one direction or both. Bytes written before still arrive: the final offset goes along
 * [protocol.md 8.1], and is waited for; the other direction ends at once. Returns 0, -EINVAL,
 * -ENOTCONN, -ENOMEM, -EINTR (killed), or the channel's error.
 */
int mp_shutdown(struct mp_channel *ch, unsigned long how)
{
	int ret = 0;

	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	if (how != SHUT_WR)
		ret = shutdown_read(ch);
	if (!ret && how != SHUT_RD)
		ret = shutdown_write(ch);
	return ret;
}
