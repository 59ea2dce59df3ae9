// SPDX-License-Identifier: MIT
/* Rings: any order, changes while they run, a device that breaks. */

#include "vhost_rig.h"

/* --- Rings -------------------------------------------------------------- */

/* Whatever the order, the ring starts with the last thing that was missing. */
static void start_in_order(const char *order)
{
	struct vhost_user_vring_addr addr = fe_addr(0);

	memset(fe.mem, 0, FE_RING_STRIDE);
	for (const char *step = order; *step; step++) {
		assert_null(fe.device.queues[0].ring);
		if (*step == 'n')
			ask_state(VHOST_USER_SET_VRING_NUM, 0, FE_RING_SIZE);
		else if (*step == 'b')
			ask_state(VHOST_USER_SET_VRING_BASE, 0, 0);
		else if (*step == 'a')
			fe_ask(&fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
		else if (*step == 'k')
			ask_u64(VHOST_USER_SET_VRING_KICK, 0, fe.kicks[0]);
		else if (*step == 'e')
			ask_state(VHOST_USER_SET_VRING_ENABLE, 0, 1);
	}
	if (!fe.device.queues[0].ring)
		fail_msg("order %s does not start the ring", order);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
}

static void test_any_order(void **state)
{
	static const char *const orders[] = { "nbake", "nbaek", "nabke", "nabek", "enbka",
					      "kenba", "bnake", "ekbna" };

	(void)state;
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		fe_negotiate(&fe);
		fe_set_table(&fe);
		start_in_order(orders[i]);
		close(fe.fd);
		fe_run(&fe);
		assert_true(fe.ended);
		fe_connect(&fe);
	}
}

/* The front end's orders for a ring that runs: everything may be replaced. */
static void test_change_while_running(void **state)
{
	struct vhost_user_vring_addr addr = fe_addr(0);

	(void)state;
	start_all();
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	/* A new kick descriptor: the chain made visible before it is seen. */
	fe_put(&fe, 0);
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_KICK, 0, fe.kicks[5]), 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 2);
	fe_put(&fe, 0);
	eventfd_write(fe.kicks[5], 1);
	fe_run(&fe);
	assert_int_equal(fe_used(&fe, 0)->idx, 3);
	/* The same addresses again: the ring goes on where it was. */
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	assert_int_equal(fe.device.queues[0].base, 3);
	/* A new call descriptor is called at once: the last call may have been lost. */
	fe_was_signalled(fe.calls[0]);
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_CALL, 0, fe.calls[0]), 0);
	assert_true(fe_was_signalled(fe.calls[0]));
	/* NUM and BASE hold the ring until it is kicked off again. */
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_NUM, 0, 8), 0);
	assert_null(fe.device.queues[0].ring);
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_BASE, 0, 5), 0);
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(fe.device.queues[0].base, 5);
}

static void test_disabled(void **state)
{
	unsigned int kicks;

	(void)state;
	start_all();
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_ENABLE, 2, 0), 0);
	kicks = fe.device.queues[2].kicks;
	fe_put(&fe, 2);
	fe_kick(&fe, 2);
	assert_int_equal(fe.device.queues[2].kicks, kicks);
	assert_int_equal(fe_used(&fe, 2)->idx, 0);
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_ENABLE, 2, 1), 0);
	assert_int_equal(fe_used(&fe, 2)->idx, 1);
	/* Twice is once. */
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_ENABLE, 2, 1), 0);
	assert_int_equal(fe.device.queues[2].starts, 2);
	fe_send(&fe, VHOST_USER_RESET_OWNER, NULL, 0);
	for (int i = 0; i < FAKE_QUEUES; i++)
		assert_null(fe.device.queues[i].ring);
}

/* What is parked comes back before the stop is answered. */
static void test_stop_gives_back(void **state)
{
	(void)state;
	start_all();
	fe.device.queues[0].hold = true;
	fe_put(&fe, 0);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 0);
	assert_int_equal(fe_get_base(&fe, 0), 1);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
	/* Kick descriptor gone: enabling alone does not start it. */
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_null(fe.device.queues[0].ring);
	/* Of a ring that never began. */
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_BASE, 0, 77), 0);
	assert_int_equal(fe_get_base(&fe, 0), 77);
}

static void test_bad_ring_memory(void **state)
{
	struct vhost_user_vring_addr addr = fe_addr(0);

	(void)state;
	fe_negotiate(&fe);
	/* No memory yet, then addresses outside it. */
	fe_setup_ring(&fe, 0);
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_ENABLE, 0, 1), 1);
	fe_set_table(&fe);
	assert_non_null(fe.device.queues[0].ring);
	addr.used = FE_USER + FE_MEM_SIZE - 8;
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 1);
	assert_null(fe.device.queues[0].ring);
	addr.used = UINT64_MAX & ~3ULL;
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 1);
	addr = fe_addr(0);
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	assert_non_null(fe.device.queues[0].ring);
	/* A guest address is no user address. */
	addr.desc = FE_GUEST;
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 1);
}

static void test_bad_descriptors(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), pipes[2], fds;

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	fe_negotiate(&fe);
	fds = fe_count_fds();
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_KICK, 0, null), 1);
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_KICK, 0, fe.memfd), 1);
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_KICK, 0, fe.fd), 1);
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_KICK, VHOST_USER_VRING_NO_FD, -1), 1);
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_CALL, 0, null), 1);
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_CALL, 0, pipes[1]), 1);
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_ERR, 0, fe.memfd), 1);
	assert_int_equal(fe_count_fds(), fds);
	close(null);
	close(pipes[0]);
	close(pipes[1]);
}

/* A full eventfd that would wait, and a socket that is never read. */
static void test_call_never_waits(void **state)
{
	int full = eventfd(0, EFD_CLOEXEC), pair[2];

	(void)state;
	start_all();
	eventfd_write(full, UINT64_MAX - 1);
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_CALL, 0, full), 0);
	session_call(fe.session, 0);
	close(full);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	assert_int_equal(ask_u64(VHOST_USER_SET_VRING_CALL, 0, pair[1]), 0);
	close(pair[1]);
	for (int i = 0; i < 5000; i++)
		session_call(fe.session, 0);
	close(pair[0]);
	session_call(fe.session, 0);
	session_call(fe.session, FAKE_QUEUES);
	session_call(NULL, 0);
}

/* --- A broken device ---------------------------------------------------- */

static void test_broken(void **state)
{
	(void)state;
	start_all();
	fe_set_u64(&fe, VHOST_USER_SET_STATUS, 15);
	/* Of no bytes. */
	fe_put(&fe, 0);
	fe_desc(&fe, 0)[0].len = 0;
	fe_kick(&fe, 0);
	assert_false(fe.ended);
	for (int i = 0; i < FAKE_QUEUES; i++) {
		assert_null(fe.device.queues[i].ring);
		assert_true(fe_was_signalled(fe.errors[i]));
	}
	assert_int_equal(fe_get_u64(&fe, VHOST_USER_GET_STATUS), 15 | 0x40);
	/* Nothing starts it but a new life. */
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_null(fe.device.queues[0].ring);
	memset(fe.mem, 0, FE_RING_STRIDE);
	fe_start_ring(&fe, 0);
	assert_non_null(fe.device.queues[0].ring);
	assert_int_equal(fe.device.features, FAKE_FEATURES);
	assert_int_equal(fe_get_u64(&fe, VHOST_USER_GET_STATUS), 15);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
}

/* Broken outside a kick: the daemon calls session_check(). */
static void test_broken_later(void **state)
{
	(void)state;
	start_all();
	fe.device.broken = true;
	session_check(fe.session);
	assert_null(fe.device.queues[0].ring);
	session_check(fe.session);
	session_check(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SESSION(test_any_order),
		WITH_SESSION(test_change_while_running),
		WITH_SESSION(test_disabled),
		WITH_SESSION(test_stop_gives_back),
		WITH_SESSION(test_bad_ring_memory),
		WITH_SESSION(test_bad_descriptors),
		WITH_SESSION(test_call_never_waits),
		WITH_SESSION(test_broken),
		WITH_SESSION(test_broken_later),
	};

	log_setup(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
