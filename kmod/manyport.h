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
#include "dma.h"
#include "link.h"
#include "pair.h"
#include "port.h"
#include "queue.h"
#include "req.h"
#include "work.h"

struct pipe_inode_info;
struct mp_port;
struct mp_channel;

/* ---- channels (channel.c) ---- */


/* A piece of small writes, in driver memory until the service has it (chunk.c). */
struct mp_chunk {
	struct list_head node;		/* channel->out_chunks, in order */
	u64 offset;			/* of the first byte not yet taken */
	u32 start, end, size;		/* data[start..end) is not yet taken */
	u32 piece;			/* bytes that one WRITE may carry */
	bool is_sent;			/* the device has it */
	bool is_filling;		/* a writer copies into it, unlocked */
	u8 *data;			/* behind this structure, or memory of its own */
	struct mp_req req;
};

/* Driver memory that a READ fills (fetch.c). */
struct mp_fetch {
	struct list_head node;		/* channel->in_fetches, in order; empty: not wanted */
	u64 offset;			/* of the READ */
	u32 size;			/* of data */
	u32 start, end;			/* data[start..end) is unread */
	bool is_busy;			/* the device has it */
	struct mp_req req;
	u8 data[] mp_dma_aligned;	/* the device writes */
};
MP_ASSERT_ALONE(struct mp_fetch, req.result, offsetof(struct mp_fetch, data));

/* CONNECT and its payload. */
struct mp_connect_req {
	struct mp_req req;
	struct mp_connect connect;
	char name[MP_NAME_MAX];
};

struct mp_batch;

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

/* For whom a channel is named. */
struct mp_user {
	kuid_t uid;
	kgid_t gid;
};

struct mp_channel {
	struct mp_link link;
	const struct cred *cred;	/* the opener's */
	struct mem_cgroup *memcg;	/* likewise, a reference: pays for interrupts */
	u32 pid;
	char comm[TASK_COMM_LEN];
	struct work_struct free_work;

	struct mutex read_mutex;	/* one call moves bytes to a process */
	struct mutex write_mutex;	/* one write at a time, so that none interleave */
	struct fasync_struct *fasync;

	/* Guarded by link.lock from here on. */
	bool is_collected;		/* the naming call has given the answer */
	bool is_polled;			/* IN makes the driver fetch [protocol.md 7.4] */
	bool connect_busy;		/* CONNECT is at the device */
	bool was_connected;		/* fixed port: the service has been there before */
	bool is_readable;		/* the file may be read from */
	__poll_t contended;		/* a call that may not wait found the mutex taken */
	struct mp_end end;		/* fixed port: of this generation */
	bool end_owed;			/* and of the one before: no reader was told it */
	char *name;			/* name[+argument], NULL before naming */
	struct mp_user user;		/* for whom @name was given */

	/* in: from the service */
	u64 in_offset;			/* end of what has come, without a gap */
	u64 in_asked;			/* where the next READ begins, if all come back full */
	struct list_head in_fetches;	/* filled ones, then those at the device */
	unsigned int in_busy;		/* of these at the device */
	unsigned int in_full;		/* of these filled */
	u32 in_ready;			/* unread bytes in them */
	u32 in_size;			/* bytes that the next should have: learned */
	u8 in_depth;			/* how many there should be: learned */
	bool in_stopped;		/* one came back short: wait for the others */
	struct mp_fetch *in_spare;	/* one that was read, for the next READ */
	struct mp_spin in_spin;
	bool fetch_failed;		/* there was no memory for one */
	bool in_small;			/* one found no memory on its way: a page at most */
	bool in_failed;			/* nor did that one: for the reader who waits */
	bool in_retry;			/* a parked READ came back with nothing: ask again */
	bool in_copying;		/* a reader copies from a fetch or in_batch, unlocked */
	bool in_forget;			/* what it copies from is to be dropped behind that */
	bool in_turn;			/* bytes were read since the last write */
	u32 in_want;			/* how many the last read by copy asked for */
	bool shut_in;
	unsigned int in_waiters;	/* calls that sleep for bytes */
	unsigned int in_large;		/* calls that want them in their own pages */
	u8 in_parts;			/* that the next batch should have: learned */
	struct mp_batch *in_batch;	/* a READ into user pages, or its bytes left behind */

	/* out: to the service */
	u64 out_offset;			/* end of what was accepted from callers */
	struct list_head out_chunks;
	u32 out_bytes;			/* in out_chunks, not taken yet */
	size_t out_memory;		/* what out_chunks cost */
	unsigned int out_sent;		/* chunks at the device */
	bool out_stopped;		/* one came back short: wait for the others */
	bool out_wanted;		/* somebody found no room */
	struct mp_spin out_spin;
	bool shut_out;
	int out_error;			/* of bytes taken early, to be reported once */
	u32 write_generation;		/* of the write under way: it never goes on in another */
	struct mp_batch *out_batch;	/* a WRITE from user pages */

	struct mp_connect_req *connect_req; /* fixed port: made at open, used again */

	u64 bytes_in, bytes_out, zero_copy_in, zero_copy_out;
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

/* ---- naming and half-close (connect.c, shutdown.c) ---- */

int mp_connect_fixed(struct mp_channel *ch);
int mp_connect_name(struct mp_channel *ch, const struct mp_user *user, const char *name,
		    size_t len, bool nonblock, bool may_retry);
ssize_t mp_connect_first_write(struct mp_channel *ch, struct iov_iter *from, bool nonblock);
int mp_connect_send_locked(struct mp_channel *ch, struct mp_connect_req *connect);
__poll_t mp_connect_answered_locked(struct mp_channel *ch);

int mp_shutdown(struct mp_channel *ch, unsigned long how);

/* ---- the next client of a fixed port (reconnect.c) ---- */

bool mp_end_is_over_locked(const struct mp_channel *ch);
bool mp_end_is_met_locked(const struct mp_channel *ch);
bool mp_end_may_lose_locked(const struct mp_channel *ch);
__poll_t mp_end_read_locked(struct mp_channel *ch);
__poll_t mp_end_write_locked(struct mp_channel *ch, bool nonblock);
__poll_t mp_end_poll_locked(struct mp_channel *ch, __poll_t events);
__poll_t mp_connect_again_locked(struct mp_channel *ch);

/* ---- readiness (poll.c) ---- */

__poll_t mp_poll_mask_locked(const struct mp_channel *ch);
__poll_t mp_poll_key_locked(const struct mp_channel *ch, __poll_t change);

/* ---- waiting (wait.c) ---- */

/* @arg is the caller's: with a lock that the condition takes itself. */
typedef bool (*mp_condition)(struct mp_channel *ch, bool arg);

int mp_wait(struct mp_channel *ch, struct mp_spin *spin, mp_condition is_over, bool arg);
int mp_wait_pages(struct mp_channel *ch, struct mp_spin *spin, mp_condition is_over, bool arg,
		  unsigned int parts);
void mp_wait_look(struct mp_channel *ch);
bool mp_spin_is_on(const struct mp_spin *spin);

/* ---- data (read.c, splice.c, fetch.c, write.c, chunk.c, pages.c) ---- */

ssize_t mp_read(struct mp_channel *ch, struct iov_iter *to, bool nonblock);
int mp_read_wait(struct mp_channel *ch);
ssize_t mp_splice_read(struct mp_channel *ch, struct pipe_inode_info *pipe, size_t len,
		       bool nonblock);
bool mp_read_is_ready_locked(const struct mp_channel *ch);
int mp_read_state_locked(const struct mp_channel *ch);
u32 mp_read_buffered_locked(const struct mp_channel *ch);
void mp_read_forget_locked(struct mp_channel *ch);

void mp_fetch_ahead_locked(struct mp_channel *ch, bool is_reader);
void mp_fetch_prepare(struct mp_channel *ch, size_t want, bool nonblock);
void mp_fetch_park_locked(struct mp_channel *ch);
void mp_fetch_cancel_locked(struct mp_channel *ch);
void mp_fetch_urge_locked(struct mp_channel *ch);
void mp_fetch_expect(struct mp_channel *ch);
bool mp_fetch_may_ask_locked(const struct mp_channel *ch);
void mp_fetch_consume_locked(struct mp_channel *ch, struct mp_fetch *fetch, u32 bytes);
void mp_fetch_forget_locked(struct mp_channel *ch);
void mp_fetch_trim_locked(struct mp_channel *ch);

/* The first with unread bytes, or NULL. */
static inline struct mp_fetch *mp_fetch_first_locked(const struct mp_channel *ch)
{
	return ch->in_full ? list_first_entry(&ch->in_fetches, struct mp_fetch, node) : NULL;
}

ssize_t mp_write(struct mp_channel *ch, struct iov_iter *from, bool nonblock);
int mp_write_flush(struct mp_channel *ch);

#define MP_CHUNKS_IN_FLIGHT 4

/* Was anything written that is not with the service, or does anybody wait for that? */
static inline bool mp_write_is_busy_locked(const struct mp_channel *ch)
{
	return !list_empty(&ch->out_chunks) || ch->out_sent || ch->out_wanted ||
	       ch->link.is_wanted || ch->link.is_held;
}

ssize_t mp_chunk_copy_locked(struct mp_channel *ch, struct iov_iter *from)
	__releases(&ch->link.lock);
bool mp_write_has_room_locked(const struct mp_channel *ch);
void mp_write_want_locked(struct mp_channel *ch, bool wanted);
__poll_t mp_write_pump_locked(struct mp_channel *ch);
void mp_write_drop_locked(struct mp_channel *ch);

/*
 * Up to MP_BATCH_MAX requests on the caller's own pages, in flight together.
 * The pages stay pinned until every one has come back (or the queue is gone).
 */
#define MP_BATCH_MAX 4

struct mp_batch_req {
	struct mp_req req;
	struct mp_batch *batch;
	u32 len, count;			/* bytes offered, bytes moved */
	unsigned int page_count;
	struct page **pages;		/* behind sg */
	struct scatterlist *sg;
};

struct mp_batch {
	struct mp_channel *channel;	/* a reference */
	bool is_read;
	bool is_orphan;			/* its caller was killed; guarded by channel->lock */
	/* Guarded by channel->lock: */
	bool is_sending;		/* its caller has more parts to send */
	bool is_short;			/* one moved less than it offered */
	bool is_faulty;			/* the device cannot reach pages of one */
	bool is_given_up;		/* one found no memory on its way to the device */
	bool is_done;			/* all came back */
	unsigned int pending;		/* parts at the device */
	unsigned int count;
	u64 offset, next;		/* of the first byte; behind the last part sent */
	u32 total;			/* bytes moved without a gap, once done */
	u32 eaten;			/* orphan: bytes given to other readers */
	size_t charged;
	struct work_struct free_work;
	struct mp_batch_req reqs[MP_BATCH_MAX];
};

/* Nothing of this channel is at the device on the transmit queue [protocol.md 8.3]. */
static inline bool mp_channel_is_idle_locked(const struct mp_channel *ch)
{
	return !ch->out_sent && !ch->out_batch && !ch->connect_busy &&
	       !(ch->in_batch && !ch->in_batch->is_done);
}

ssize_t mp_pages_move(struct mp_channel *ch, struct iov_iter *iter, bool is_read);
size_t mp_pages_copy_orphan(struct mp_batch *batch, struct iov_iter *to);
void mp_pages_free_later(struct mp_batch *batch);
bool mp_pages_want(const struct iov_iter *iter);

/* ---- file.c, and a parameter of chunk.c ---- */

extern const struct file_operations mp_file_operations;
extern uint mp_send_buffer;		/* bytes per channel */

#endif
