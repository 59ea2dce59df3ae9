/* SPDX-License-Identifier: GPL-2.0-only */
/* The in half of a channel. */
#ifndef KMOD_IN_H
#define KMOD_IN_H

#include "half.h"

void mp_in_init(struct mp_in *in, struct mp_link *link);
void mp_in_reset_locked(struct mp_in *in, bool end_owed);
void mp_in_forget_locked(struct mp_in *in);
int mp_in_state_locked(const struct mp_in *in);
bool mp_in_is_ready_locked(const struct mp_in *in);
bool mp_in_may_ask_locked(const struct mp_in *in);
bool mp_in_may_move_locked(const struct mp_in *in);

#endif
