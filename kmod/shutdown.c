// SPDX-License-Identifier: GPL-2.0-only
/*
 * Half-close: what shutdown(2) is to a socket.
 */
#include <linux/net.h>
#include <linux/slab.h>

#include "manyport.h"

static void shutdown_done(struct mp_req *req)
{
	struct mp_channel *ch = req->channel;
	struct mp_result answer;
	unsigned long flags;
	__poll_t wake = 0;
	u32 status;

	spin_lock_irqsave(&ch->lock, flags);
	if (mp_channel_answer_locked(ch, req, &answer, &wake)) {
		status = le32_to_cpu(answer.status);
		/* A CLOSE may have overtaken it: urgent requests do [protocol.md 8.1, 8.4]. */
		if (status == MP_OK || status == MP_BAD_STATE)
			wake |= mp_channel_apply_locked(ch, &answer.state);
		else
			wake |= mp_channel_protocol_error_locked(ch, "shutdown");
	}
	spin_unlock_irqrestore(&ch->lock, flags);
	kfree(req);
	mp_channel_settle(ch, wake);
	mp_channel_put(ch);
}

static int how_to_flags(unsigned long how, u16 *flags)
{
	switch (how) {
	case SHUT_RD:
		*flags = MP_SHUT_READ;
		return 0;
	case SHUT_WR:
		*flags = MP_SHUT_WRITE;
		return 0;
	case SHUT_RDWR:
		*flags = MP_SHUT_READ | MP_SHUT_WRITE;
		return 0;
	default:
		return -EINVAL;
	}
}

/* The directions of @flags that were open until now; from here on calls meet the end. */
static int shutdown_mark(struct mp_channel *ch, u16 *flags)
{
	int ret = 0;

	spin_lock_irq(&ch->lock);
	if (ch->error)
		ret = ch->error;
	else if (ch->phase != MP_PHASE_CONNECTED)
		ret = -ENOTCONN;
	if (ch->shut_in)
		*flags &= ~MP_SHUT_READ;
	if (ch->shut_out)
		*flags &= ~MP_SHUT_WRITE;
	if (!ret && (*flags & MP_SHUT_READ)) {
		ch->shut_in = true;
		mp_read_forget_locked(ch);
	}
	if (!ret && (*flags & MP_SHUT_WRITE))
		ch->shut_out = true;
	spin_unlock_irq(&ch->lock);
	return ret;
}

/* It was not sent after all: another holder may. */
static void shutdown_unmark_locked(struct mp_channel *ch, u16 flags)
{
	if (flags & MP_SHUT_READ)
		ch->shut_in = false;
	if (flags & MP_SHUT_WRITE)
		ch->shut_out = false;
}

/* Takes @req over; returns it when the queue is dead. */
static struct mp_req *shutdown_send_locked(struct mp_channel *ch, u16 flags, struct mp_req *req)
{
	mp_req_init(req, ch, MP_OP_SHUTDOWN, shutdown_done);
	req->header.flags = cpu_to_le16(flags);
	if (flags & MP_SHUT_WRITE)
		req->header.offset = cpu_to_le64(ch->out_offset);
	return mp_channel_submit_locked(ch, ch->port->tx, req) ? req : NULL;
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
	ret = wait_event_killable(ch->wait, !READ_ONCE(ch->out_batch) || READ_ONCE(ch->error));
	mutex_unlock(&ch->write_mutex);
	return ret;
}

/*
 * Ends one direction or both. Bytes written before still arrive: the final
 * offset goes along [protocol.md 8.1]. Returns 0, -EINVAL, -ENOTCONN, -ENOMEM,
 * -EINTR (killed), or the channel's error.
 */
int mp_shutdown(struct mp_channel *ch, unsigned long how)
{
	struct mp_req *req;
	u16 flags;
	int ret = how_to_flags(how, &flags);

	if (ret)
		return ret;
	req = kzalloc(sizeof(*req), GFP_KERNEL_ACCOUNT);
	if (!req)
		return -ENOMEM;
	ret = shutdown_mark(ch, &flags);
	if (!ret && flags) {
		mp_channel_settle(ch, EPOLLIN | EPOLLOUT);
		if (flags & MP_SHUT_WRITE)
			ret = final_offset_wait(ch);
		spin_lock_irq(&ch->lock);
		if (!ret)
			ret = ch->error;
		if (!ret)
			req = shutdown_send_locked(ch, flags, req);
		else
			shutdown_unmark_locked(ch, flags);
		spin_unlock_irq(&ch->lock);
	}
	kfree(req);
	return ret;
}
