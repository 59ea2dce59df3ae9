// SPDX-License-Identifier: GPL-2.0-only
/*
 * Half-close: what shutdown(2) is to a socket. A message for each direction.
 */
#include <linux/net.h>
#include <linux/slab.h>

#include "calls.h"
#include "in.h"

/*
 * Calls meet the end of @half from here on, for ever: writers leave, and what was received is
 * dropped. The device is told by the progress that follows, at once or when the pages of a call
 * are back.
 */
static int shut(struct mp_channel *ch, struct mp_half *half)
{
	struct mp_req *req = kzalloc(sizeof(*req), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!req)
		return -ENOMEM;
	spin_lock_irq(&ch->link.lock);
	ret = ch->link.error;
	if (!ret && ch->link.phase != MP_PHASE_CONNECTED)
		ret = -ENOTCONN;
	if (!ret && !half->is_shut) {
		half->is_shut = true;
		swap(half->shutdown, req);
		if (half->is_read)
			mp_in_forget_locked(&ch->in);
	}
	mp_link_unlock(&ch->link, EPOLLIN | EPOLLOUT | mp_link_progress_locked(&ch->link));
	kfree(req);
	return ret;
}

/*
 * Ends one direction or both, and never waits. Bytes written before still arrive: the final offset
 * goes along [protocol.md 8.1]. Returns 0, -EINVAL, -ENOTCONN, -ENOMEM, or the channel's error.
 */
int mp_shutdown(struct mp_channel *ch, unsigned long how)
{
	int ret = 0;

	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	if (how != SHUT_WR)
		ret = shut(ch, &ch->in.half);
	if (!ret && how != SHUT_RD)
		ret = shut(ch, &ch->out.half);
	return ret;
}
