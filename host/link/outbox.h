/* SPDX-License-Identifier: MIT */
/*
 * What is to be sent: at most two frames of the largest size, and behind them zeros. One buffer;
 * what is in it moves only in outbox_room(), so never between outbox_iov() and outbox_sent().
 */
#ifndef HOST_LINK_OUTBOX_H
#define HOST_LINK_OUTBOX_H

#include <sys/uio.h>

#include "link/frame.h"

#define OUTBOX_SMALL	256U	/* for what is never refused: a SYNC, a PING, a PONG */
#define OUTBOX_SIZE	(2 * FRAME_MAX + OUTBOX_SMALL)
/* Linux takes so much of one write to a virtio-serial port; writev() is a write for each part. */
#define OUTBOX_PART	32768U
#define OUTBOX_IOVS	4

struct outbox {
	size_t head, tail;		/* what is queued lies between */
	uint32_t zeros;			/* that follow it */
	char buf[OUTBOX_SIZE];
};

void outbox_clear(struct outbox *box);
/* Room for @len bytes behind what is queued, or NULL. There is none while zeros are due. */
void *outbox_room(struct outbox *box, size_t len);
/* The first @len bytes of that room are filled. */
void outbox_add(struct outbox *box, size_t len);
/* Describes what is to be sent; returns how many iovecs, OUTBOX_IOVS at most. */
int outbox_iov(const struct outbox *box, struct iovec *iov);
/* @len bytes of it were sent. */
void outbox_sent(struct outbox *box, size_t len);

static inline bool outbox_is_empty(const struct outbox *box)
{
	return box->head == box->tail && !box->zeros;
}

#endif
