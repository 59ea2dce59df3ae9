/* SPDX-License-Identifier: GPL-2.0-only */
/* A fixed port after the end of its service: the next client. */
#ifndef KMOD_RECONNECT_H
#define KMOD_RECONNECT_H

#include "state.h"

bool mp_end_is_over_locked(const struct mp_channel *ch);
bool mp_end_is_met_locked(const struct mp_channel *ch);
bool mp_end_may_lose_locked(const struct mp_channel *ch);
__poll_t mp_end_read_locked(struct mp_channel *ch);
__poll_t mp_end_write_locked(struct mp_channel *ch, bool nonblock);
__poll_t mp_end_poll_locked(struct mp_channel *ch, __poll_t events, __poll_t mask);
void mp_connect_again_locked(struct mp_channel *ch);

/* A call looks for bytes. */
static inline void mp_end_looked_locked(struct mp_channel *ch)
{
	ch->end.is_read = true;
}

/* A write's bytes are taken although no service takes them: see mp_end_may_lose_locked(). */
static inline void mp_end_lose_locked(struct mp_channel *ch, size_t bytes)
{
	ch->end.lost += bytes;
}

/* The next generation is asked for; mp_connect_again_locked() begins it when nothing is out. */
static inline void mp_end_ask_locked(struct mp_channel *ch)
{
	ch->end.asked = true;
}

#endif
