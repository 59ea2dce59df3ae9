/* SPDX-License-Identifier: GPL-2.0-only */
/* CANCEL and CLOSE, which find room in the queue however full it is [protocol.md 8.4]. */
#ifndef KMOD_URGENT_H
#define KMOD_URGENT_H

#include "link.h"

void mp_urgent_cancel_locked(struct mp_link *link);
void mp_urgent_again_locked(struct mp_link *link, bool is_wanted);
int mp_urgent_close_locked(struct mp_link *link, u64 final, bool abort);

#endif
