// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one user holds on one port, and the bounds of it [protocol.md 9.3].
 *
 * An account is made by a user's first open and freed with the last of its channels; it lies in
 * the port's ledger, which its channels keep alive. Opens are counted under the ledger's mutex,
 * bytes by atomic counters, from any context.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include <manyport/share.h>

#include "account.h"

static uint max_channels_per_user = 16384;
module_param(max_channels_per_user, uint, 0644);
MODULE_PARM_DESC(max_channels_per_user, "open channels per port and user (16384)");

static ulong max_bytes = 256UL << 20;
module_param(max_bytes, ulong, 0644);
MODULE_PARM_DESC(max_bytes, "bytes pinned or buffered per port (268435456)");

static ulong max_bytes_per_user = 64UL << 20;
module_param(max_bytes_per_user, ulong, 0644);
MODULE_PARM_DESC(max_bytes_per_user, "bytes pinned or buffered per port and user (67108864)");

void mp_ledger_init(struct mp_ledger *ledger)
{
	mutex_init(&ledger->mutex);
	INIT_LIST_HEAD(&ledger->accounts);
}

/*
 * The user that pays for an open. A process that may make a user namespace has thousands of users
 * in it, so all of them are one account: that of the user who made the outermost one. In a
 * namespace that root made the users were given by root: there each pays for its own opens.
 */
static kuid_t payer(void)
{
	struct user_namespace *ns = current_user_ns();

	if (ns == &init_user_ns)
		return current_fsuid();
	while (ns->parent != &init_user_ns)
		ns = ns->parent;
	return uid_eq(ns->owner, GLOBAL_ROOT_UID) ? current_fsuid() : ns->owner;
}

static struct mp_account *account_get_locked(struct mp_ledger *ledger, kuid_t uid,
					     bool is_privileged)
{
	struct mp_account *account;

	lockdep_assert_held(&ledger->mutex);
	list_for_each_entry(account, &ledger->accounts, node)
		if (uid_eq(account->uid, uid) && account->is_privileged == is_privileged)
			return account;
	account = kzalloc(sizeof(*account), GFP_KERNEL_ACCOUNT);
	if (!account)
		return NULL;
	account->ledger = ledger;
	account->uid = uid;
	account->is_privileged = is_privileged;
	list_add(&account->node, &ledger->accounts);
	return account;
}

static void account_put_locked(struct mp_account *account)
{
	if (account->channels)
		return;
	list_del(&account->node);
	kfree(account);
}

/* Is there a channel for one more open of @account? [protocol.md 9.3] */
static bool has_channel_locked(const struct mp_account *account, u32 max_channels)
{
	unsigned int used = account->ledger->channels;

	lockdep_assert_held(&account->ledger->mutex);
	if (used >= max_channels || account->channels >= max_channels_per_user)
		return false;
	return account->is_privileged || account->channels < mp_share_of_one(max_channels, used);
}

/*
 * Counts one more open of the current user, where @max_channels may be open in all. Returns its
 * account, or ERR_PTR: -EBUSY (a limit), -ENOMEM, -EINTR (killed). A closed channel counts until
 * it is drained.
 */
struct mp_account *mp_account_open(struct mp_ledger *ledger, u32 max_channels)
{
	bool is_privileged = ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
	struct mp_account *account;

	if (mutex_lock_killable(&ledger->mutex))
		return ERR_PTR(-EINTR);
	account = account_get_locked(ledger, payer(), is_privileged);
	if (!account) {
		account = ERR_PTR(-ENOMEM);
	} else if (!has_channel_locked(account, max_channels)) {
		account_put_locked(account);
		account = ERR_PTR(-EBUSY);
	} else {
		account->channels++;
		WRITE_ONCE(ledger->channels, ledger->channels + 1);
	}
	mutex_unlock(&ledger->mutex);
	return account;
}

void mp_account_close(struct mp_account *account)
{
	struct mp_ledger *ledger = account->ledger;

	mutex_lock(&ledger->mutex);
	account->channels--;
	WRITE_ONCE(ledger->channels, ledger->channels - 1);
	account_put_locked(account);
	mutex_unlock(&ledger->mutex);
}

/* The most that @account may have charged while all together have @used. */
static unsigned long bytes_of_one(const struct mp_account *account, unsigned long used)
{
	unsigned long max = READ_ONCE(max_bytes_per_user);

	if (account->is_privileged)
		return max;
	return min_t(u64, max, mp_share_of_one(READ_ONCE(max_bytes), used));
}

/* And all together, when it is @account's turn. */
static unsigned long bytes_of_all(const struct mp_account *account)
{
	unsigned long max = READ_ONCE(max_bytes);

	return account->is_privileged ? max : mp_share_common(max);
}

/* Would @bytes more be charged now? Others may be quicker. */
bool mp_account_has_room(const struct mp_account *account, size_t bytes)
{
	unsigned long used = atomic_long_read(&account->ledger->bytes);

	return used + bytes <= bytes_of_all(account) &&
	       atomic_long_read(&account->bytes) + bytes <= bytes_of_one(account, used);
}

/* Looks and adds in one step: however many callers there are, @max is not passed. */
static bool charge(atomic_long_t *used, size_t bytes, unsigned long max)
{
	long old = atomic_long_read(used);

	do {
		if (old + bytes > max)
			return false;
	} while (!atomic_long_try_cmpxchg(used, &old, old + bytes));
	return true;
}

/*
 * Counts @bytes of pinned or buffered memory. Returns false when the port or
 * the user is at its bound, unless @force: that is for the one page in each
 * direction that lies outside every bound [protocol.md 9.3].
 */
bool mp_account_charge(struct mp_account *account, size_t bytes, bool force)
{
	struct mp_ledger *ledger = account->ledger;
	unsigned long used;

	if (!charge(&ledger->bytes, bytes, force ? ULONG_MAX : bytes_of_all(account)))
		return false;
	used = atomic_long_read(&ledger->bytes) - bytes;
	if (charge(&account->bytes, bytes, force ? ULONG_MAX : bytes_of_one(account, used)))
		return true;
	atomic_long_sub(bytes, &ledger->bytes);
	return false;
}

void mp_account_uncharge(struct mp_account *account, size_t bytes)
{
	atomic_long_sub(bytes, &account->ledger->bytes);
	atomic_long_sub(bytes, &account->bytes);
}
