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

static void release_page(struct splice_pipe_desc *desc, unsigned int i)
{
	put_page(desc->pages[i]);
}

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

/* The first @bytes in @vecs go into the pipe, which is locked and has room for them. */
static ssize_t fill_pipe(struct pipe_inode_info *pipe, const struct bio_vec *vecs, size_t bytes)
{
	struct page *pages[MP_SPLICE_PAGES];
	struct partial_page parts[MP_SPLICE_PAGES];
	struct splice_pipe_desc desc = {
		.pages = pages, .partial = parts, .nr_pages_max = MP_SPLICE_PAGES,
		.ops = &nosteal_pipe_buf_ops, .spd_release = release_page,
	};
	unsigned int n;

	for (n = 0; bytes; n++) {
		pages[n] = vecs[n].bv_page;
		parts[n] = (struct partial_page){ .len = min_t(size_t, bytes, PAGE_SIZE) };
		bytes -= parts[n].len;
	}
	desc.nr_pages = n;
	return splice_to_pipe(pipe, &desc);
}

/* What there is, for up to @count buffers of the pipe. Returns as mp_read() without waiting. */
static ssize_t splice_some(struct mp_channel *ch, struct pipe_inode_info *pipe, size_t len,
			   unsigned int count)
{
	struct bio_vec vecs[MP_SPLICE_PAGES];
	unsigned int have, used;
	struct iov_iter to;
	ssize_t ret;

	have = alloc_pages_for(vecs, min_t(size_t, count, DIV_ROUND_UP(len, PAGE_SIZE)));
	if (!have)
		return -ENOMEM;
	iov_iter_bvec(&to, READ, vecs, have, min_t(size_t, len, have * PAGE_SIZE));
	ret = mp_read(ch, &to, true);
	used = ret > 0 ? DIV_ROUND_UP(ret, PAGE_SIZE) : 0;
	while (have > used)
		put_page(vecs[--have].bv_page);
	return ret > 0 ? fill_pipe(pipe, vecs, ret) : ret;
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
