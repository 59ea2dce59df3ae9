/* SPDX-License-Identifier: GPL-2.0-only */
/* The two virtqueues of a port, looked at together. */
#ifndef KMOD_PAIR_H
#define KMOD_PAIR_H

#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/workqueue.h>

#include "queue.h"

struct mp_pair {
	struct mp_queue rx, tx;
	struct work_struct work;	/* goes on where a budget ended */
	bool is_scheduled;		/* @work is queued: interrupts leave the pair to it */
};

void mp_pair_init(struct mp_pair *pair, mp_event_handler *event, struct work_struct *broken_work);
void mp_pair_attach(struct mp_pair *pair, struct virtqueue *rx, struct virtqueue *tx);
void mp_pair_interrupt(struct mp_pair *pair);
void mp_pair_look(struct mp_pair *pair);
void mp_pair_look_later(struct mp_pair *pair);
void mp_pair_spin_begin(struct mp_pair *pair);
void mp_pair_spin_end(struct mp_pair *pair);
void mp_pair_kill(struct mp_pair *pair);
void mp_pair_detach(struct mp_pair *pair);
void mp_pair_flush(struct mp_pair *pair);

#endif
