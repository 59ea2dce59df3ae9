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

	spin_lock_irqsave(&ch->lock, flags);
	if (!mp_req_answer(req, &answer))
		wake = mp_channel_apply_answer_locked(ch, req, &answer);
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

/* Tells the device, unless it knows. Takes @req over; returns it when it is not needed. */
static struct mp_req *shutdown_send_locked(struct mp_channel *ch, u16 flags, struct mp_req *req)
{
	if (ch->shut_in)
		flags &= ~MP_SHUT_READ;
	if (ch->shut_out)
		flags &= ~MP_SHUT_WRITE;
	if (!flags)
		return req;
	mp_req_init(req, ch, MP_OP_SHUTDOWN, shutdown_done);
	req->header.flags = cpu_to_le16(flags);
	if (flags & MP_SHUT_WRITE)
		req->header.offset = cpu_to_le64(ch->out_offset);
	if (mp_channel_submit_locked(ch, ch->port->tx, req))
		return req;
	if (flags & MP_SHUT_READ) {
		ch->shut_in = true;
		mp_read_forget_locked(ch);
	}
	if (flags & MP_SHUT_WRITE)
		ch->shut_out = true;
	return NULL;
}

/*
 * Ends one direction or both. Bytes written before still arrive: the final
 * offset goes along [protocol.md 8.1]. Returns 0, -EINVAL, -ENOTCONN, -ENOMEM,
 * -ERESTARTSYS, or the channel's error.
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
	/* A write in progress comes first: its end is part of the final offset. */
	if ((flags & MP_SHUT_WRITE) && mutex_lock_interruptible(&ch->write_mutex)) {
		kfree(req);
		return -ERESTARTSYS;
	}
	if (flags & MP_SHUT_WRITE)
		ret = wait_event_interruptible(ch->wait, !READ_ONCE(ch->out_batch) ||
					       READ_ONCE(ch->error));
	spin_lock_irq(&ch->lock);
	if (!ret && ch->error)
		ret = ch->error;
	else if (!ret && ch->phase != MP_PHASE_CONNECTED)
		ret = -ENOTCONN;
	if (!ret)
		req = shutdown_send_locked(ch, flags, req);
	spin_unlock_irq(&ch->lock);
	if (flags & MP_SHUT_WRITE)
		mutex_unlock(&ch->write_mutex);
	kfree(req);
	mp_channel_settle(ch, ret ? 0 : EPOLLIN | EPOLLOUT);
	return ret;
}
