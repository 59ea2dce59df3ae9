// SPDX-License-Identifier: MIT
/* What a user may hold on a port [protocol.md 9.3]. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/err.h>
#include <linux/user_namespace.h>

#include "kernel.h"
#include "kmod/account.h"

#define MIB (1UL << 20)

static struct mp_ledger ledger;

static int setup(void **state)
{
	(void)state;
	kernel_reset();
	mp_ledger_init(&ledger);
	return 0;
}

/* As many opens of one user as there may be, with @max in all. Returns how many. */
static unsigned int open_all(unsigned int uid, bool is_privileged, u32 max,
			     struct mp_account **account)
{
	unsigned int count = 0;

	kernel_set_caller(uid, &init_user_ns, is_privileged);
	for (; ; count++) {
		struct mp_account *opened = mp_account_open(&ledger, max);

		if (IS_ERR(opened)) {
			assert_int_equal(PTR_ERR(opened), -EBUSY);
			return count;
		}
		*account = opened;
	}
}

static void close_all(struct mp_account *account, unsigned int count)
{
	while (count--)
		mp_account_close(account);
}

static void users_share_the_channels(void **state)
{
	struct mp_account *one = NULL, *two = NULL, *root = NULL;
	unsigned int ones, twos, roots;

	(void)state;
	ones = open_all(1000, false, 160, &one);
	twos = open_all(1001, false, 160, &two);
	roots = open_all(0, true, 160, &root);
	assert_int_equal(ones, 75);	/* half of what is not the privileged's */
	assert_in_range(twos, 30, 40);	/* half of the rest */
	assert_int_equal(ones + twos + roots, 160);
	assert_int_equal(ledger.channels, 160);
	close_all(one, ones);
	close_all(two, twos);
	close_all(root, roots);
	assert_int_equal(ledger.channels, 0);
	assert_true(list_empty(&ledger.accounts));
}

/* Whoever can make a namespace of users would have thousands of users. */
static void a_namespace_is_its_makers_account(void **state)
{
	struct user_namespace of_user = { &init_user_ns, { 1000 } };
	struct user_namespace nested = { &of_user, { 5000 } };
	struct user_namespace of_root = { &init_user_ns, { 0 } };
	struct mp_account *own, *inner, *outer;

	(void)state;
	kernel_set_caller(1000, &init_user_ns, false);
	own = mp_account_open(&ledger, 100);
	kernel_set_caller(100001, &nested, false);
	inner = mp_account_open(&ledger, 100);
	assert_ptr_equal(own, inner);
	kernel_set_caller(100001, &of_root, false);
	outer = mp_account_open(&ledger, 100);
	assert_ptr_not_equal(own, outer);
	close_all(own, 2);
	close_all(outer, 1);
}

static void bytes_have_a_bound_for_one_and_for_all(void **state)
{
	struct mp_account *accounts[6];
	unsigned int i, count = 0;

	(void)state;
	for (i = 0; i < 6; i++) {
		kernel_set_caller(1000 + i, &init_user_ns, false);
		accounts[i] = mp_account_open(&ledger, 100);
	}
	assert_true(mp_account_has_room(accounts[0], 64 * MIB));
	assert_false(mp_account_has_room(accounts[0], 64 * MIB + 1));
	assert_true(mp_account_charge(accounts[0], 64 * MIB, false));
	assert_false(mp_account_charge(accounts[0], 1, false));
	assert_true(mp_account_charge(accounts[0], 4096, true));	/* outside every bound */
	mp_account_uncharge(accounts[0], 4096);
	for (i = 1; i < 6; i++)
		while (mp_account_charge(accounts[i], MIB, false))
			count++;
	/* All together: but for a sixteenth of 256 MiB, as the last may have what is then free. */
	assert_in_range(64 + count, 200, 240);
	assert_int_equal(atomic_long_read(&ledger.bytes), (64 + count) * MIB);
	for (i = 0; i < 6; i++) {
		mp_account_uncharge(accounts[i], atomic_long_read(&accounts[i]->bytes));
		mp_account_close(accounts[i]);
	}
	assert_int_equal(atomic_long_read(&ledger.bytes), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(users_share_the_channels, setup),
		cmocka_unit_test_setup(a_namespace_is_its_makers_account, setup),
		cmocka_unit_test_setup(bytes_have_a_bound_for_one_and_for_all, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
