// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the service into a pipe.
 *
 * The kernel calls with the pipe's lock held, and a process that waits for that lock cannot be
 * killed. So a channel is waited for with the lock dropped, and read only by calls that do not
 * wait. The kernel's own helpers read as the file's flags say, and so wait with the lock held.
 */
#include <linux/bvec.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/signal.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "calls.h"

#define MP_SPLICE_PAGES 16U	/* as many as a pipe has by default */

/* New pages for up to @count * PAGE_SIZE bytes. Returns how many there are. */
static unsigned int alloc_pages_for(struct bio_vec *vecs, unsigned int count)
{
	unsigned int n;

	for (n = 0; n < count; n++) {
		vecs[n].bv_page = alloc_page(GFP_USER | __GFP_ACCOUNT);
		if (!vecs[n].bv_page)
			break;
		vecs[n].bv_offset = 0;
		vecs[n].bv_len = PAGE_SIZE;
	}
	return n;
}

/*
 * What there is, for up to @count buffers of the pipe, which is locked, and has readers and room
 * for them. Returns as mp_read() without waiting.
 */
static ssize_t splice_some(struct mp_channel *ch, struct pipe_inode_info *pipe, size_t len,
			   unsigned int count)
{
	struct bio_vec vecs[MP_SPLICE_PAGES];
	unsigned int have, i;
	struct iov_iter to;
	ssize_t ret, left;

	have = alloc_pages_for(vecs, min_t(size_t, count, DIV_ROUND_UP(len, PAGE_SIZE)));
	if (!have)
		return -ENOMEM;
	iov_iter_bvec(&to, READ, vecs, have, min_t(size_t, len, have * PAGE_SIZE));
	ret = mp_read(ch, &to, true);
	left = max_t(ssize_t, ret, 0);
	for (i = 0; i < have; i++) {
		struct pipe_buffer buf = {
			.page = vecs[i].bv_page, .len = min_t(size_t, left, PAGE_SIZE),
			.ops = &nosteal_pipe_buf_ops,
		};

		if (buf.len)
			add_to_pipe(pipe, &buf);	/* cannot fail here */
		else
			put_page(buf.page);
		left -= buf.len;
	}
	return ret;
}

/* Waits for bytes without the pipe's lock, and takes it again. */
static int wait_unlocked(struct mp_channel *ch, struct pipe_inode_info *pipe)
{
	int ret;

	pipe_unlock(pipe);
	ret = mp_read_wait(ch);
	cond_resched();
	pipe_lock(pipe);
	return ret;
}

/*
 * Moves up to @len bytes into @pipe, which the caller has locked, at least one unless @nonblock.
 * Returns bytes, 0 at the end, -EPIPE (the pipe has no reader; nothing is taken from the channel),
 * -EAGAIN (also when others filled the pipe while it was unlocked), or as mp_read().
 */
ssize_t mp_splice_read(struct mp_channel *ch, struct pipe_inode_info *pipe, size_t len,
		       bool nonblock)
{
	unsigned int room;
	ssize_t ret;

	if (!len)
		return 0;
	do {
		ret = nonblock ? 0 : wait_unlocked(ch, pipe);
		if (ret)
			return ret;
		if (!pipe->readers) {
			send_sig(SIGPIPE, current, 0);
			return -EPIPE;
		}
		room = pipe->max_usage - pipe_occupancy(pipe->head, pipe->tail);
		if (!room)
			return -EAGAIN;
		ret = splice_some(ch, pipe, len, min(room, MP_SPLICE_PAGES));
		if (ret != -EAGAIN || nonblock)
			return ret;
		/* Another reader was faster. */
	} while (!signal_pending(current));
	return -ERESTARTSYS;
}
