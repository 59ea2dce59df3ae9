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

#endif
