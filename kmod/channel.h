/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The life of a channel, and how its parts work together.
 *
 * Lock order: channel->read_mutex or write_mutex (never both), link->lock, queue->lock. The two
 * spinlocks are taken in interrupts. The mutex of a port's ledger (account.h) is taken with no
 * other lock held.
 */
#ifndef KMOD_CHANNEL_H
#define KMOD_CHANNEL_H

#include "port.h"
#include "state.h"

int mp_channel_init_cache(void);
void mp_channel_destroy_cache(void);
struct mp_channel *mp_channel_open(struct mp_port *port);
void mp_channel_release(struct mp_channel *ch);
int mp_channel_abort(struct mp_channel *ch);
void mp_channel_fail_all(struct mp_port *port, int error);
int mp_channel_lock(struct mp_channel *ch, struct mutex *mutex, __poll_t direction, bool nonblock);
void mp_channel_unlock(struct mp_channel *ch, struct mutex *mutex, __poll_t direction);

#endif
