/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * manyport: what the files of the module share.
 *
 * Objects and who owns them:
 *
 *   mp_device   one virtio device; lives from probe to remove
 *   mp_queue    one virtqueue of it, with every request the device holds (queue.h)
 *   mp_port     one /dev/vportNpM; a struct device, referenced by its channels
 *   mp_channel  one open; referenced by its file and by each request in flight
 *   mp_req      one request (req.h)
 *
 * Lock order: channel->read_mutex or write_mutex (never both), channel->lock,
 * queue->lock. The two spinlocks are taken in interrupts. The mutex of a port's ledger
 * (account.h) is taken with no other lock held.
 *
 * Teardown: mark dead under the lock, wake, wait for the device (reset and
 * deletion of the queues), and only then free what it might have touched.
 */
#ifndef KMOD_MANYPORT_H
#define KMOD_MANYPORT_H

#include <linux/build_bug.h>
#include <linux/cache.h>
#include <linux/cdev.h>
#include <linux/cred.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/poll.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uio.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <manyport/ioctl.h>
#include <manyport/spin.h>
#include <manyport/wire.h>
#include <manyport/wire_check.h>

#include "account.h"
#include "batch.h"
#include "chunk.h"
#include "dma.h"
#include "fetch.h"
#include "half.h"
#include "in.h"
#include "link.h"
#include "naming.h"
#include "out.h"
#include "pair.h"
#include "port.h"
#include "queue.h"
#include "req.h"
#include "wait.h"
#include "work.h"

struct pipe_inode_info;
struct mp_port;
struct mp_channel;

/* ---- channels (channel.c) ---- */

/* Fixed port: how far the process knows of the end of a generation (reconnect.c). */
struct mp_end {
	bool asked;			/* a call asks for the next: it comes when nothing is out */
	bool told;			/* a read has returned 0 */
	bool told_writer;		/* a write has returned EAGAIN */
	bool told_poller;		/* a poll for bytes has said HUP */
	u8 polls;			/* that have said HUP */
	bool is_read;			/* a call has looked for bytes */
	u32 lost;			/* bytes that were taken behind the end */
};

struct mp_channel {
	struct mp_link link;
	struct work_struct free_work;

	struct mutex read_mutex;	/* one call moves bytes to a process */
	struct mutex write_mutex;	/* one write at a time, so that none interleave */
	struct fasync_struct *fasync;

	/* Guarded by link.lock from here on. */
	bool is_readable;		/* the file may be read from */
	__poll_t contended;		/* a call that may not wait found the mutex taken */
	struct mp_end end;		/* fixed port: of this generation */
	struct mp_naming naming;
	struct mp_in in;
	struct mp_out out;

	struct mp_req urgent_req;	/* last, since its alignment would leave a hole */
};

int mp_channel_init_cache(void);
void mp_channel_destroy_cache(void);
struct mp_channel *mp_channel_open(struct mp_port *port);
void mp_channel_release(struct mp_channel *ch);
int mp_channel_abort(struct mp_channel *ch);
void mp_channel_fail_all(struct mp_port *port, int error);

/* A _locked function that returns __poll_t: as those of struct mp_link_ops. */
int mp_channel_lock(struct mp_channel *ch, struct mutex *mutex, __poll_t direction, bool nonblock);
void mp_channel_unlock(struct mp_channel *ch, struct mutex *mutex, __poll_t direction);

static inline struct mp_channel *mp_channel_of(struct mp_link *link)
{
	return container_of(link, struct mp_channel, link);
}

/* ---- half-close (shutdown.c) ---- */

int mp_shutdown(struct mp_channel *ch, unsigned long how);

/* ---- the next client of a fixed port (reconnect.c) ---- */

bool mp_end_is_over_locked(const struct mp_channel *ch);
bool mp_end_is_met_locked(const struct mp_channel *ch);
bool mp_end_may_lose_locked(const struct mp_channel *ch);
__poll_t mp_end_read_locked(struct mp_channel *ch);
__poll_t mp_end_write_locked(struct mp_channel *ch, bool nonblock);
__poll_t mp_end_poll_locked(struct mp_channel *ch, __poll_t events, __poll_t mask);
__poll_t mp_connect_again_locked(struct mp_channel *ch);

/* ---- readiness (poll.c) ---- */

__poll_t mp_poll_mask_locked(const struct mp_channel *ch);
__poll_t mp_poll_key_locked(const struct mp_channel *ch, __poll_t change);

/* ---- data (read.c, splice.c, write.c) ---- */

ssize_t mp_read(struct mp_channel *ch, struct iov_iter *to, bool nonblock);
int mp_read_wait(struct mp_channel *ch);
ssize_t mp_splice_read(struct mp_channel *ch, struct pipe_inode_info *pipe, size_t len,
		       bool nonblock);
ssize_t mp_write(struct mp_channel *ch, struct iov_iter *from, bool nonblock);
int mp_write_flush(struct mp_channel *ch);

/* Nothing of this channel is at the device on the transmit queue [protocol.md 8.3]. */
static inline bool mp_channel_is_idle_locked(const struct mp_channel *ch)
{
	return !ch->out.sent && !ch->out.half.batch && !ch->naming.connect_busy &&
	       !mp_batch_is_out_locked(&ch->in.half);
}

/* ---- file.c ---- */

extern const struct file_operations mp_file_operations;

#endif
