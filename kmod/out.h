/* SPDX-License-Identifier: GPL-2.0-only */
/* The out half of a channel. */
#ifndef KMOD_OUT_H
#define KMOD_OUT_H

#include "half.h"

void mp_out_init(struct mp_out *out, struct mp_link *link);
void mp_out_reset_locked(struct mp_out *out);
bool mp_out_is_empty_locked(const struct mp_out *out);
int mp_out_state_locked(const struct mp_out *out);
bool mp_out_may_move_locked(const struct mp_out *out);

#endif
