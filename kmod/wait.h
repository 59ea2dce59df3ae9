/* SPDX-License-Identifier: GPL-2.0-only */
/* Waiting: first awake, then asleep. */
#ifndef KMOD_WAIT_H
#define KMOD_WAIT_H

#include <manyport/spin.h>

#include "link.h"

/* What is waited for; called with the link's lock. */
struct mp_condition {
	bool (*holds_locked)(void *of, bool arg);
	void *of;
	bool arg;
};

int mp_wait(struct mp_link *link, struct mp_spin *spin, const struct mp_condition *is_over,
	    unsigned int parts);
void mp_wait_look(struct mp_link *link);
void mp_wait_look_at_port(struct mp_port *port);
bool mp_spin_is_on(const struct mp_spin *spin);

#endif
