/* SPDX-License-Identifier: GPL-2.0-only */
/* What the users of one port hold: open channels, and bytes pinned or buffered. */
#ifndef KMOD_ACCOUNT_H
#define KMOD_ACCOUNT_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/uidgid.h>

/* All users of one port. */
struct mp_ledger {
	struct mutex mutex;		/* guards channels (writes), accounts and what they count */
	unsigned int channels;
	struct list_head accounts;
	atomic_long_t bytes;
};

/* One of them; lives while it has a channel. */
struct mp_account {
	struct mp_ledger *ledger;
	kuid_t uid;
	bool is_privileged;		/* its opens had CAP_SYS_RESOURCE: it needs no share */
	unsigned int channels;
	atomic_long_t bytes;
	struct list_head node;		/* ledger->accounts */
};

void mp_ledger_init(struct mp_ledger *ledger);
struct mp_account *mp_account_open(struct mp_ledger *ledger, u32 max_channels);
void mp_account_close(struct mp_account *account);
bool mp_account_charge(struct mp_account *account, size_t bytes, bool force);
bool mp_account_has_room(const struct mp_account *account, size_t bytes);
void mp_account_uncharge(struct mp_account *account, size_t bytes);

#endif
