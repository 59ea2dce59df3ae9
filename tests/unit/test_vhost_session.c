// SPDX-License-Identifier: MIT
/* What messages do to a session, what ends it, and that nothing of it stays. */

#include "front_end.h"
#include "vhost/message.h"

static struct front_end fe;
static int fds_before, fds_started;

static int setup(void **state)
{
	(void)state;
	fds_before = fe_count_fds();
	fe_start(&fe);
	fds_started = fe_count_fds();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fe_stop(&fe);
	assert_int_equal(fe_count_fds(), fds_before);
	assert_int_equal(fe_count_mappings(), 0);
	return 0;
}

static uint64_t ask_u64(uint32_t request, uint64_t value, int fd)
{
	return fe_ask(&fe, request, &value, sizeof(value), &fd, fd >= 0);
}

static uint64_t ask_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_vring_state state = { index, num };

	return fe_ask(&fe, request, &state, sizeof(state), NULL, 0);
}

static void start_all(void)
{
	fe_negotiate(&fe);
	fe_set_table(&fe);
	for (int i = 0; i < FAKE_QUEUES; i++)
		fe_start_ring(&fe, i);
	assert_false(fe.ended);
}

/* In the test itself: cmocka has handlers of its own while one runs. */
static void truncate_memory(void)
{
	assert_int_equal(mem_guard_install(), 0);
	assert_int_equal(ftruncate(fe.memfd, 0), 0);
}

/* --- Features ------------------------------------------------------------ */

static void test_features(void **state)
{
	(void)state;
	fe_negotiate(&fe);
	assert_int_equal(fe.device.features, FAKE_FEATURES);
	/* A bit that was not offered. */
	assert_int_equal(ask_u64(VHOST_USER_SET_FEATURES, FAKE_FEATURES | 1ULL << 34, -1), 1);
	assert_int_equal(fe.device.features, FAKE_FEATURES);
	assert_int_equal(ask_u64(VHOST_USER_SET_PROTOCOL_FEATURES, 1 << 14, -1), 1);
	assert_int_equal(ask_u64(VHOST_USER_SET_FEATURES, 1 << 30, -1), 0);
	assert_int_equal(fe.device.features, 0);
}

static void test_features_while_running(void **state)
{
	(void)state;
	start_all();
	assert_int_equal(ask_u64(VHOST_USER_SET_FEATURES, FAKE_FEATURES | 1 << 30, -1), 0);
	assert_int_equal(ask_u64(VHOST_USER_SET_FEATURES, 1 << 30, -1), 1);
	assert_int_equal(fe.device.features, FAKE_FEATURES);
}

/* Without an acknowledgement a refusal can only be told by the end. */
static void test_refused_without_ack(void **state)
{
	(void)state;
	fe_set_u64(&fe, VHOST_USER_SET_FEATURES, 1ULL << 34);
	assert_true(fe.ended);
	assert_int_equal(fe.why, -EINVAL);
}

/* NEED_REPLY counts only once REPLY_ACK was acknowledged. */
static void test_need_reply_unnegotiated(void **state)
{
	uint64_t features = FAKE_FEATURES;
	struct fe_reply reply;

	(void)state;
	fe_send_flags(&fe, VHOST_USER_SET_FEATURES, VHOST_USER_NEED_REPLY, &features, 8, NULL, 0);
	assert_false(fe_receive(&fe, &reply));
	assert_false(fe.ended);
}

static void test_unknown(void **state)
{
	(void)state;
	fe_negotiate(&fe);
	assert_int_equal(fe_ask(&fe, 35, NULL, 0, NULL, 0), 1);
	assert_int_equal(fe_ask(&fe, 0xffffffff, "12345678", 8, &fe.memfd, 1), 1);
	assert_false(fe.ended);
	fe_send(&fe, 35, NULL, 0);
	assert_true(fe.ended);
	assert_int_equal(fe.why, -EOPNOTSUPP);
}

/* Of no protocol feature: what needs one is unknown, the rest works. */
static void test_no_protocol_features(void **state)
{
	(void)state;
	fe_set_u64(&fe, VHOST_USER_SET_FEATURES, FAKE_FEATURES);
	fe_set_table(&fe);
	fe_setup_ring(&fe, 0);
	/* Enabled from the start, since bit 30 was not acknowledged. */
	assert_non_null(fe.device.queues[0].ring);
	assert_int_equal(fe_get_base(&fe, 0), 0);
	assert_null(fe.device.queues[0].ring);
	fe_send(&fe, VHOST_USER_GET_QUEUE_NUM, NULL, 0);
	assert_true(fe.ended);
}

static void test_config(void **state)
{
	struct vhost_user_config config = { .offset = 4, .size = 8 };
	struct fe_reply reply;

	(void)state;
	fe_negotiate(&fe);
	fe_send(&fe, VHOST_USER_GET_CONFIG, &config, VHOST_USER_CONFIG_HEADER + 8);
	assert_true(fe_receive(&fe, &reply));
	assert_int_equal(reply.header.size, VHOST_USER_CONFIG_HEADER + 8);
	assert_int_equal(reply.payload.config.offset, 4);
	assert_int_equal(reply.payload.config.data[0], 0xc4);
	/* The largest; zeroes behind what there is. */
	config.offset = 0;
	config.size = VHOST_USER_CONFIG_MAX;
	fe_send(&fe, VHOST_USER_GET_CONFIG, &config, sizeof(config));
	assert_true(fe_receive(&fe, &reply));
	assert_int_equal(reply.header.size, sizeof(config));
	assert_int_equal(reply.payload.config.data[255], 0);
	/* A bad question has an empty answer. */
	config.offset = 1;
	fe_send(&fe, VHOST_USER_GET_CONFIG, &config, sizeof(config));
	assert_true(fe_receive(&fe, &reply));
	assert_int_equal(reply.header.size, 0);
	config.offset = 0;
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_CONFIG, &config, sizeof(config), NULL, 0), 0);
	assert_false(fe.ended);
}

static void test_backend_channel(void **state)
{
	struct vhost_user_header header;
	int first[2], second[2];

	(void)state;
	fe_negotiate(&fe);
	session_config_changed(fe.session);	/* no channel: nothing */
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &fe.memfd, 1), 1);
	socketpair(AF_UNIX, SOCK_STREAM, 0, first);
	socketpair(AF_UNIX, SOCK_STREAM, 0, second);
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &first[1], 1), 0);
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &second[1], 1), 0);
	close(first[1]);
	close(second[1]);
	session_config_changed(fe.session);
	assert_int_equal(recv(second[0], &header, sizeof(header), MSG_DONTWAIT), sizeof(header));
	assert_int_equal(recv(first[0], &header, sizeof(header), MSG_DONTWAIT), 0);
	/* Nobody reads it, and then nobody is there. */
	for (int i = 0; i < 5000; i++)
		session_config_changed(fe.session);
	close(second[0]);
	session_config_changed(fe.session);
	assert_false(fe.ended);
	close(first[0]);
}

static void test_status(void **state)
{
	unsigned int resets;

	(void)state;
	start_all();
	resets = fe.device.resets;
	fe_set_u64(&fe, VHOST_USER_SET_STATUS, 15);
	assert_int_equal(fe_get_u64(&fe, VHOST_USER_GET_STATUS), 15);
	assert_int_equal(fe.device.resets, resets);
	assert_int_equal(ask_u64(VHOST_USER_SET_STATUS, 0, -1), 0);
	assert_int_equal(fe.device.resets, resets + 1);
	assert_null(fe.device.queues[0].ring);
	assert_int_equal(fe_get_u64(&fe, VHOST_USER_GET_STATUS), 0);
}

/* --- Rings ---------------------------------------------------------------- */

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

/* A full eventfd that would wait, and a socket that nobody reads. */
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

/* --- Memory ---------------------------------------------------------------- */

static void test_mem_table_replaced(void **state)
{
	struct vhost_user_mem_table table = fe_table();
	int other = memfd_create("guest", MFD_CLOEXEC);

	(void)state;
	start_all();
	assert_int_equal(fe_count_mappings(), 2);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	/* The same memory: the rings go on. */
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_MEM_TABLE, &table, 40, &fe.memfd, 1), 0);
	assert_int_equal(fe_count_mappings(), 2);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 2);
	/* A file that is too short: nothing changes. */
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_MEM_TABLE, &table, 40, &other, 1), 1);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 3);
	/* Overlapping regions likewise. */
	table.count = 2;
	table.regions[1] = table.regions[0];
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_MEM_TABLE, &table, 72,
				(int[]){ fe.memfd, fe.memfd }, 2), 1);
	assert_int_equal(fe_count_mappings(), 2);
	assert_non_null(fe.device.queues[0].ring);
	/* Elsewhere: the rings wait until their memory is back. */
	table = fe_table();
	table.regions[0].user += FE_MEM_SIZE;
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_MEM_TABLE, &table, 40, &fe.memfd, 1), 0);
	assert_null(fe.device.queues[0].ring);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 3);
	fe_set_table(&fe);
	assert_int_equal(fe_used(&fe, 0)->idx, 4);
	close(other);
}

static void test_mem_slots(void **state)
{
	struct vhost_user_mem_slot slot = { .region = { FE_GUEST, 4096, FE_USER, 0 } };

	(void)state;
	fe_negotiate(&fe);
	for (unsigned int i = 0; i <= MEM_MAX_REGIONS; i++) {
		slot.region.guest = FE_GUEST + i * 8192;
		slot.region.user = FE_USER + i * 8192;
		assert_int_equal(fe_ask(&fe, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot),
					&fe.memfd, 1), i == MEM_MAX_REGIONS);
	}
	assert_int_equal(fe_count_mappings(), 1 + MEM_MAX_REGIONS);
	assert_int_equal(fe_ask(&fe, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0), 1);
	slot.region.guest = FE_GUEST;
	slot.region.user = FE_USER;
	/* With the descriptor, as some send it, and then it is gone. */
	assert_int_equal(fe_ask(&fe, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), &fe.memfd, 1),
			 0);
	assert_int_equal(fe_ask(&fe, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0), 1);
	assert_int_equal(fe_count_mappings(), MEM_MAX_REGIONS);
}

/* The ring's own region goes, with something parked, and comes again. */
static void test_mem_slot_under_ring(void **state)
{
	struct vhost_user_mem_slot slot = { .region = fe_table().regions[0] };

	(void)state;
	start_all();
	fe.device.queues[0].hold = true;
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_ask(&fe, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0), 0);
	assert_int_equal(fe_count_mappings(), 1);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
	fe.device.queues[0].hold = false;
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
	assert_int_equal(fe_ask(&fe, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &fe.memfd, 1), 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 2);
	assert_false(fe.ended);
}

static void test_truncated_memory(void **state)
{
	(void)state;
	start_all();
	truncate_memory();
	eventfd_write(fe.kicks[0], 1);
	fe_run(&fe);
	assert_true(fe.ended);
	assert_int_equal(fe.why, -EFAULT);
	assert_int_equal(fe_count_mappings(), 1);
	/* The next one is not blamed. */
	assert_int_equal(ftruncate(fe.memfd, FE_MEM_SIZE), 0);
	close(fe.fd);
	fe_connect(&fe);
	start_all();
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
}

/* Truncated, and then the connection ends: the stop of the rings meets the hole. */
static void test_truncated_at_end(void **state)
{
	(void)state;
	start_all();
	fe.device.queues[0].hold = true;
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	truncate_memory();
	close(fe.fd);
	fe.fd = -1;
	fe_run(&fe);
	assert_true(fe.ended);
	assert_false(mem_guard_tripped());
}

static void test_sealed_memory(void **state)
{
	struct vhost_user_mem_table table = fe_table();
	int sealed = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_int_equal(ftruncate(sealed, FE_MEM_SIZE), 0);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
	fe_negotiate(&fe);
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_MEM_TABLE, &table, 40, &sealed, 1), 1);
	assert_false(fe.ended);
	close(sealed);
}

/* --- A broken device ------------------------------------------------------- */

static void test_broken(void **state)
{
	(void)state;
	start_all();
	fe_set_u64(&fe, VHOST_USER_SET_STATUS, 15);
	/* Behind the end of memory. */
	fe_put(&fe, 0);
	fe_desc(&fe, 0)[0].addr = FE_GUEST + FE_MEM_SIZE - 1;
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

/* --- The end --------------------------------------------------------------- */

static void assert_nothing_left(void)
{
	assert_true(fe.ended);
	assert_int_equal(fe_count_fds(), fds_started - 1 - (fe.fd < 0));
	assert_int_equal(fe_count_mappings(), 1);
	for (int i = 0; i < FAKE_QUEUES; i++)
		assert_null(fe.device.queues[i].ring);
}

static void test_disconnect(void **state)
{
	(void)state;
	start_all();
	close(fe.fd);
	fe.fd = -1;
	fe_run(&fe);
	assert_int_equal(fe.why, 0);
	assert_nothing_left();
}

static void test_half_close(void **state)
{
	(void)state;
	start_all();
	shutdown(fe.fd, SHUT_WR);
	fe_run(&fe);
	assert_nothing_left();
}

static void test_garbage(void **state)
{
	(void)state;
	start_all();
	fe_send_raw(&fe, "GET / HTTP/1.1\r\n\r\n", 18, NULL, 0);
	fe_run(&fe);
	assert_int_equal(fe.why, -EPROTO);
	assert_nothing_left();
}

static void test_no_reader(void **state)
{
	struct vhost_user_header header = { VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0 };

	(void)state;
	start_all();
	for (int i = 0; i < 100000 && !fe.ended; i++) {
		if (send(fe.fd, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			assert_true(errno == EAGAIN || errno == EPIPE);
		if (i % 64 == 0)
			fe_run(&fe);
	}
	assert_int_equal(fe.why, -EAGAIN);
	assert_nothing_left();
}

/* A part of a message keeps nobody from the rings. */
static void test_slow_front_end(void **state)
{
	(void)state;
	start_all();
	fe_send_raw(&fe, "\1\0\0\0\1", 5, &fe.memfd, 1);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
	close(fe.fd);
	fe.fd = -1;
	fe_run(&fe);
	assert_int_equal(fe.why, -EPIPE);
	assert_nothing_left();
}

/* At every step of the way up, and all over again. */
static void test_disconnect_at_every_step(void **state)
{
	(void)state;
	for (int step = 0; step < 10; step++) {
		if (step > 0)
			fe_negotiate(&fe);
		if (step > 1)
			fe_set_table(&fe);
		if (step > 2)
			fe_set_state(&fe, VHOST_USER_SET_VRING_NUM, 0, FE_RING_SIZE);
		if (step > 3)
			fe_setup_ring(&fe, 1);
		if (step > 4)
			fe_start_ring(&fe, 2);
		if (step > 5)
			fe_put(&fe, 2);
		if (step > 6)
			fe_kick(&fe, 2);
		if (step > 7)
			fe_set_state(&fe, VHOST_USER_SET_VRING_ENABLE, 2, 0);
		if (step > 8)
			fe_get_base(&fe, 2);
		assert_false(fe.ended);
		close(fe.fd);
		fe.fd = -1;
		fe_run(&fe);
		assert_nothing_left();
		memset(fe.mem, 0, FE_MEM_SIZE);
		fe_connect(&fe);
	}
}

static void test_thousand_sessions(void **state)
{
	unsigned int resets = fe.device.resets;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		memset(fe.mem, 0, FAKE_QUEUES * FE_RING_STRIDE);
		start_all();
		fe_put(&fe, 0);
		fe_kick(&fe, 0);
		assert_int_equal(fe_used(&fe, 0)->idx, 1);
		if (i % 2) {
			session_destroy(fe.session);
			fe.session = NULL;
			fe.ended = true;
			close(fe.fd);
		} else {
			close(fe.fd);
			fe_run(&fe);
		}
		fe.fd = -1;
		assert_nothing_left();
		fe_connect(&fe);
	}
	assert_int_equal(fe.device.resets - resets, 1000);
}

static void kick_ends_session(struct device *device, unsigned int queue)
{
	(void)queue;
	device->on_kick = NULL;
	truncate_memory();
	*(volatile uint8_t *)device->queues[0].ring->used = 0;
}

/* Several rings are kicked in one round, and the first ends the session. */
static void test_end_within_round(void **state)
{
	(void)state;
	start_all();
	fe.device.on_kick = kick_ends_session;
	for (int i = 0; i < FAKE_QUEUES; i++)
		eventfd_write(fe.kicks[i], 1);
	fe_run(&fe);
	assert_nothing_left();
	assert_int_equal(ftruncate(fe.memfd, FE_MEM_SIZE), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_features), T(test_features_while_running), T(test_refused_without_ack),
		T(test_need_reply_unnegotiated), T(test_unknown), T(test_no_protocol_features),
		T(test_config), T(test_backend_channel), T(test_status),
		T(test_any_order), T(test_change_while_running), T(test_disabled),
		T(test_stop_gives_back), T(test_bad_ring_memory), T(test_bad_descriptors),
		T(test_call_never_waits),
		T(test_mem_table_replaced), T(test_mem_slots), T(test_mem_slot_under_ring),
		T(test_truncated_memory), T(test_truncated_at_end), T(test_sealed_memory),
		T(test_broken), T(test_broken_later),
		T(test_disconnect), T(test_half_close), T(test_garbage), T(test_no_reader),
		T(test_slow_front_end), T(test_disconnect_at_every_step),
		T(test_thousand_sessions), T(test_end_within_round),
	};

	log_setup(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
