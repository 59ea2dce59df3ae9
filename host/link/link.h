/* SPDX-License-Identifier: MIT */
/*
 * All channels over one byte stream: a session, and the lanes on it [protocol.md 15]. The same code
 * for driver and device. Bytes and time are the owner's to move, as in session.h:
 *
 *	link_start, link_stop, link_room, link_came, link_iov, link_sent, link_deadline, link_tick
 *
 * and its channels are lanes, which it embeds:
 *
 *	link_attach	there is a channel; link_detach: there is none any more
 *	link_owe	something is to be said for it; what, is asked in its turn
 *	link_taken	its consumer may take bytes again
 *
 * Calls upward must not detach a lane but the one that they are about, and only message() and
 * closed() may detach that.
 */
#ifndef HOST_LINK_LINK_H
#define HOST_LINK_LINK_H

#include "link/lane.h"
#include "link/session.h"

struct link;

struct link_ops {
	void (*nonce)(void *context, uint8_t *nonce);
	void (*begin)(void *context, const struct link_session_peer *peer);
	/* Every lane was cut. */
	void (*end)(void *context, enum link_session_why why);
	/*
	 * To the device: CONNECT. @lane is the one that has the slot, or NULL: the owner attaches
	 * one. False: it breaks a rule.
	 */
	bool (*connect)(void *context, struct lane *lane, const struct frame *frame,
			const void *body);
	/* SHUTDOWN, CLOSE or STATE. False: it breaks a rule. */
	bool (*message)(void *context, struct lane *lane, const struct frame *frame);
	/* Bytes to send into @buf, at most @max. 0: none now; link_owe(LANE_DATA) says when. */
	uint32_t (*produce)(void *context, struct lane *lane, void *buf, uint32_t max);
	/* Bytes that came. Returns how many were taken; the rest is kept until link_taken(). */
	uint32_t (*consume)(void *context, struct lane *lane, const void *buf, uint32_t len);
	/* Flags and offset of the frame that @lane owes, and its body. */
	void (*fill)(void *context, struct lane *lane, struct frame *frame, void *body);
	/* CLOSED was put: the lane is detached. */
	void (*closed)(void *context, struct lane *lane);
	/* The session ended: the lane is detached. */
	void (*cut)(void *context, struct lane *lane);
	/* There was no memory for bytes that came: what is held, and what comes, is dropped. */
	void (*lost)(void *context, struct lane *lane);
};

struct link_config {
	struct link_session_config session;
	uint32_t slots;			/* of the device; at the driver the most that it uses */
	uint64_t granted_max;		/* bytes, beyond the window of each lane */
};

/* NULL without memory. */
struct link *link_create(const struct link_config *config, const struct link_ops *ops,
			 void *context);
/* Without a call upward. Lanes must be detached. */
void link_destroy(struct link *link);

void link_start(struct link *link, uint64_t now);
void link_stop(struct link *link);
size_t link_room(struct link *link, void **buf);
void link_came(struct link *link, size_t len, uint64_t now);
int link_iov(struct link *link, struct iovec *iov);
void link_sent(struct link *link, size_t len, uint64_t now);
uint64_t link_deadline(const struct link *link);
void link_tick(struct link *link, uint64_t now);

/* There is a session, and the slot is below its number and free. */
void link_attach(struct link *link, struct lane *lane, uint32_t slot, uint32_t generation,
		 uint64_t now);
void link_detach(struct link *link, struct lane *lane);
/* NULL: the slot is free. */
struct lane *link_lane(const struct link *link, uint32_t slot);
/* @owed: of enum lane_owed. SHUTDOWN and CLOSE go out when produce() has no more. */
void link_owe(struct link *link, struct lane *lane, unsigned int owed);
/*
 * An abort: no more DATA goes out, so CLOSE need not wait for a grant; and no SHUTDOWN, which would
 * make what is cut off look whole.
 */
void link_end_data(struct link *link, struct lane *lane);
void link_set_takes(struct link *link, struct lane *lane, enum lane_takes takes);
void link_taken(struct link *link, struct lane *lane);
/* Bytes that lanes were granted beyond their windows, and have not passed on. */
uint64_t link_granted(const struct link *link);

#endif
