/* SPDX-License-Identifier: GPL-2.0-only */
/* What poll says of a channel. */
#ifndef KMOD_POLL_H
#define KMOD_POLL_H

#include "state.h"

__poll_t mp_poll_mask_locked(const struct mp_channel *ch);
__poll_t mp_poll_key_locked(const struct mp_channel *ch, __poll_t change);

#endif
