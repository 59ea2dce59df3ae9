/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A channel's tie to its slot at the device: who it is there, what the device has said of it, and
 * the one way for requests out and for answers and events in.
 *
 * What is above (the halves, naming, the channel) hears of news through mp_link_ops, and by no
 * other way.
 */
#ifndef KMOD_LINK_H
#define KMOD_LINK_H

#include <linux/kref.h>
#include <linux/poll.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include <manyport/wire.h>

#include "req.h"

struct mp_account;
struct mp_port;
struct mp_queue;
struct mp_link;

/*
 * How far the naming of a channel is. naming.c moves it on, by mp_link_become_locked().
 *
 * MP_PHASE_UNNAMED	Operations: name, which sends CONNECT. Caveats: the device has never heard
 *			of the channel, so nothing it says about the slot is about this one.
 *			Next: NAMING.
 * MP_PHASE_NAMING	CONNECT is out, or its answer came and the state did not.
 *			Operations: wait, or come again with the same name. Caveats: the state may
 *			overtake the answer to CONNECT. Next: CONNECTED, REFUSED; NAMING once
 *			more on a fixed port, when CONNECT found no memory.
 * MP_PHASE_CONNECTED	Operations: READ, WRITE, SHUTDOWN. Caveats: until the call that named has
 *			collected the answer (naming.is_collected) no other call may count on it.
 *			Next: NAMING, of the next generation of a fixed port.
 * MP_PHASE_REFUSED	Operations: name again, in the same generation. Caveats: as in NAMING.
 *			Next: NAMING.
 *
 * An end of the service is no phase, but bits of the device's state; link->error is the end of
 * all, in each phase.
 */
enum mp_phase {
	MP_PHASE_UNNAMED,
	MP_PHASE_NAMING,
	MP_PHASE_CONNECTED,
	MP_PHASE_REFUSED,
};

/*
 * What the channel does about news; set once, at open. The _locked ones are called with the
 * link's lock. A mask of EPOLLIN and EPOLLOUT says which directions changed: what returns one
 * leaves it to its caller to hand it to mp_link_unlock().
 */
struct mp_link_ops {
	/* A newer state is in bits and reason; @old: the bits before. Returns what to wake. */
	__poll_t (*changed_locked)(struct mp_link *link, u16 old);
	/* Whatever can move now, moves. Returns what to wake. */
	__poll_t (*progress_locked)(struct mp_link *link);
	/* The end of every handler, without locks: wakes, closes, gives the slot back. */
	void (*settle)(struct mp_link *link, __poll_t wake);
	/* A call of the channel goes to sleep: answers that it needs are to make interrupts. */
	void (*sleep_locked)(struct mp_link *link);
	/* The last reference has gone; perhaps in an interrupt. */
	void (*free)(struct mp_link *link);
};

/* CANCEL and CLOSE share link->urgent_req, one at a time [protocol.md 8.4] (urgent.c). */
struct mp_urgent {
	bool close_busy, cancel_busy;	/* that one is at the device */
	bool cancel_again;		/* a CANCEL is due when the request is back */
};

struct mp_link {
	struct kref ref;		/* of the file, the slot table, each request in flight */
	u32 slot;
	const struct mp_link_ops *ops;
	struct mp_port *port;		/* a reference */
	struct mp_account *account;
	struct mp_req *urgent_req;	/* the channel's */
	struct mp_sender sender;	/* the queues' */
	wait_queue_head_t wait;

	spinlock_t lock;		/* guards all below, and all of the channel's state */
	u32 generation;			/* also read with the slot table's lock */
	enum mp_phase phase;
	int error;			/* -ENODEV, -ECONNRESET, -EIO, -ENOMEM: the end of all */
	bool is_released;		/* the file is gone */
	bool is_aborted;		/* a holder ended it: error is set */
	bool close_sent;		/* for good, after release or abort */
	bool is_closed;			/* the device has forgotten the channel */
	bool is_lost;			/* the device knows nothing of this generation any more */
	bool was_connected;		/* the service is there, or has been there before */
	bool is_wanted, is_held;	/* the transmit queue has been told so */
	u8 due;				/* queues that the device is to be told of: MP_DUE_* */
	struct mp_urgent urgent;
	u16 bits, reason;		/* of the device's newest state [protocol.md 7.1] */
	u32 seq;			/* its number */

	u64 requests, events, kicks;
	u64 waits, polled;		/* times a caller slept; did not need to (wait.c) */
};

void mp_link_init(struct mp_link *link, const struct mp_link_ops *ops, struct mp_port *port,
		  struct mp_account *account, struct mp_req *urgent_req);
int mp_link_take_slot(struct mp_link *link);
void mp_link_free_slot(struct mp_link *link);
void mp_link_put(struct mp_link *link);
void mp_link_renew_locked(struct mp_link *link, u32 generation);
void mp_link_become_locked(struct mp_link *link, enum mp_phase phase);
void mp_link_refused_locked(struct mp_link *link);
void mp_link_end_locked(struct mp_link *link, bool is_release);
void mp_link_closed_locked(struct mp_link *link, bool is_closed);
__poll_t mp_link_lose_locked(struct mp_link *link);

int mp_link_send_locked(struct mp_link *link, struct mp_queue *queue, struct mp_req *req,
			u16 op, u16 flags, u64 offset);
void mp_link_unlock_due(struct mp_link *link, const unsigned long *flags)
	__releases(&link->lock);
void mp_link_demand_locked(struct mp_link *link, bool wanted, bool held);
__poll_t mp_link_fail_locked(struct mp_link *link, int error);
__poll_t mp_link_break_locked(struct mp_link *link, const char *what);
__poll_t mp_link_fault_locked(struct mp_link *link);
void mp_link_event(struct mp_port *port, const struct mp_event *event, u32 used);
int mp_reason_to_errno(u16 reason);

static inline struct mp_link *mp_link_of(const struct mp_req *req)
{
	return container_of(req->sender, struct mp_link, sender);
}

static inline void mp_link_get(struct mp_link *link)
{
	kref_get(&link->ref);
}

static inline __poll_t mp_link_progress_locked(struct mp_link *link)
{
	return link->ops->progress_locked(link);
}

/* The file is gone, or a holder gave the channel up: the device is to hear of it. */
static inline bool mp_link_is_ending_locked(const struct mp_link *link)
{
	return link->is_released || link->is_aborted;
}

/*
 * The end of each section of a process that sent or changed something: drops the lock, tells the
 * device, wakes @wake, and does what an ending channel is due.
 */
static inline void mp_link_unlock(struct mp_link *link, __poll_t wake)
	__releases(&link->lock)
{
	bool is_ending = mp_link_is_ending_locked(link);

	if (link->due)
		mp_link_unlock_due(link, NULL);
	else
		spin_unlock_irq(&link->lock);
	if (wake || is_ending)
		link->ops->settle(link, wake);
}

/* The same where interrupts may be off, without the rest. */
static inline void mp_link_unlock_irqrestore(struct mp_link *link, unsigned long flags)
	__releases(&link->lock)
{
	if (link->due)
		mp_link_unlock_due(link, &flags);
	else
		spin_unlock_irqrestore(&link->lock, flags);
}

#endif
