// SPDX-License-Identifier: MIT
/*
 * What real front ends say, in their order, as it was recorded from QEMU 11
 * (vhost-user-test-device) and User Mode Linux 6.1 and 7.2.
 */

#include "front_end.h"

static void assert_running(struct front_end *fe, bool running)
{
	for (int i = 0; i < FAKE_QUEUES; i++)
		assert_int_equal(fe->device.queues[i].ring != NULL, running);
}

static uint64_t ask_u64(struct front_end *fe, uint32_t request, uint64_t value, int fd)
{
	return fe_ask(fe, request, &value, sizeof(value), &fd, fd >= 0);
}

static uint64_t ask_state(struct front_end *fe, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_vring_state state = { index, num };

	return fe_ask(fe, request, &state, sizeof(state), NULL, 0);
}

static void get_config(struct front_end *fe, uint32_t size)
{
	struct vhost_user_config config = { .size = size };
	struct fe_reply reply;

	fe_send(fe, VHOST_USER_GET_CONFIG, &config, VHOST_USER_CONFIG_HEADER + size);
	assert_true(fe_receive(fe, &reply));
	assert_int_equal(reply.header.size, VHOST_USER_CONFIG_HEADER + size);
	assert_int_equal(reply.payload.config.size, size);
	for (uint32_t i = 0; i < size; i++)
		assert_int_equal(reply.payload.config.data[i], i < 12 ? 0xc0 + i : 0);
}

/* --- User Mode Linux ---------------------------------------------------- */

/* At device probe. Its own mask keeps what the kernel knows. */
static void uml_probe(struct front_end *fe, int request_fd, bool newer)
{
	uint64_t mask = 1 << 3 | 1 << 5 | 1 << 9 | 1 << 14 | (newer ? 1 : 0), protocol;

	fe_send(fe, VHOST_USER_SET_OWNER, NULL, 0);
	assert_int_equal(fe_get_u64(fe, VHOST_USER_GET_FEATURES), FAKE_FEATURES | 1 << 30);
	protocol = fe_get_u64(fe, VHOST_USER_GET_PROTOCOL_FEATURES) & mask;
	assert_false(protocol & 1 << 14);
	/* NEED_REPLY before the guest has REPLY_ACK. */
	assert_int_equal(ask_u64(fe, VHOST_USER_SET_PROTOCOL_FEATURES, protocol, -1), 0);
	assert_int_equal(fe_ask(fe, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &request_fd, 1), 0);
	if (newer)
		assert_int_equal(fe_get_u64(fe, VHOST_USER_GET_QUEUE_NUM), FAKE_QUEUES);
}

/* At driver probe; 6.1 sends a table with room for two regions. */
static void uml_bind(struct front_end *fe, int *calls, bool newer)
{
	struct vhost_user_mem_table table = fe_table();

	assert_int_equal(ask_u64(fe, VHOST_USER_SET_FEATURES, FAKE_FEATURES | 1 << 30, -1), 0);
	get_config(fe, 8);
	assert_int_equal(fe_ask(fe, VHOST_USER_SET_MEM_TABLE, &table, newer ? 40 : 72,
				&fe->memfd, 1), 0);
	for (int i = 0; i < FAKE_QUEUES; i++) {
		struct vhost_user_vring_addr addr = fe_addr(i);

		assert_int_equal(ask_u64(fe, VHOST_USER_SET_VRING_CALL, i, calls[i]), 0);
		assert_int_equal(ask_state(fe, VHOST_USER_SET_VRING_NUM, i, FE_RING_SIZE), 0);
		assert_int_equal(ask_state(fe, VHOST_USER_SET_VRING_BASE, i, 0), 0);
		assert_int_equal(fe_ask(fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr),
					NULL, 0), 0);
	}
	assert_running(fe, false);
	for (int i = 0; i < FAKE_QUEUES; i++) {
		assert_int_equal(ask_u64(fe, VHOST_USER_SET_VRING_KICK, i, fe->kicks[i]), 0);
		assert_null(fe->device.queues[i].ring);
		assert_int_equal(ask_state(fe, VHOST_USER_SET_VRING_ENABLE, i, 1), 0);
		assert_non_null(fe->device.queues[i].ring);
	}
}

static void uml_unbind(struct front_end *fe)
{
	for (int i = FAKE_QUEUES - 1; i >= 0; i--)
		assert_int_equal(ask_state(fe, VHOST_USER_SET_VRING_ENABLE, i, 0), 0);
	fe_get_u64(fe, VHOST_USER_GET_FEATURES);
	assert_running(fe, false);
}

static void clear_rings(struct front_end *fe)
{
	memset(fe->mem, 0, FAKE_QUEUES * FE_RING_STRIDE);
}

struct uml {
	struct front_end fe;
	bool newer;
	int calls[FAKE_QUEUES][2];	/* ours, and what the session gets */
	int channel;			/* our end of the request channel */
};

static void make_calls(struct uml *uml)
{
	for (int i = 0; i < FAKE_QUEUES; i++)
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, uml->calls[i]);
}

static void bind_driver(struct uml *uml)
{
	int theirs[FAKE_QUEUES];

	for (int i = 0; i < FAKE_QUEUES; i++)
		theirs[i] = uml->calls[i][1];
	uml_bind(&uml->fe, theirs, uml->newer);
	for (int i = 0; i < FAKE_QUEUES; i++)
		close(theirs[i]);
}

static void boot(struct uml *uml, bool newer)
{
	int pair[2];

	uml->newer = newer;
	fe_start(&uml->fe);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	uml->channel = pair[0];
	uml_probe(&uml->fe, pair[1], newer);
	close(pair[1]);
	make_calls(uml);
	bind_driver(uml);
}

/* Each call is eight bytes; the socket is not read, and the caller does not wait. */
static void expect_calls(struct uml *uml)
{
	uint64_t value;

	for (int i = 0; i < 5000; i++)
		session_call(uml->fe.session, 3);
	assert_int_equal(recv(uml->calls[3][0], &value, sizeof(value), MSG_DONTWAIT), 8);
}

static void expect_config_change(struct uml *uml)
{
	struct vhost_user_header header;

	session_config_changed(uml->fe.session);
	assert_int_equal(recv(uml->channel, &header, sizeof(header), MSG_DONTWAIT),
			 sizeof(header));
	assert_int_equal(header.request, VHOST_USER_BACKEND_CONFIG_CHANGE);
	assert_int_equal(header.size, 0);
}

/* A guest warns about a call descriptor that is closed, and loses its device with the channel. */
static void expect_nothing_closed(struct uml *uml)
{
	char sink[4096];
	ssize_t n;

	for (int i = 0; i < FAKE_QUEUES; i++) {
		do {
			n = recv(uml->calls[i][0], sink, sizeof(sink), MSG_DONTWAIT);
		} while (n > 0);
		assert_int_equal(n, -1);
		assert_int_equal(errno, EAGAIN);
	}
	assert_int_equal(recv(uml->channel, sink, 1, MSG_DONTWAIT), -1);
}

/* No reset, no GET_VRING_BASE; and the rings begin at 0 again. */
static void rebind(struct uml *uml)
{
	uml_unbind(&uml->fe);
	expect_nothing_closed(uml);
	for (int i = 0; i < FAKE_QUEUES; i++)
		close(uml->calls[i][0]);
	make_calls(uml);
	clear_rings(&uml->fe);
	bind_driver(uml);
}

static void put_and_expect(struct front_end *fe, unsigned int chains)
{
	fe_put(fe, 3);
	fe_kick(fe, 3);
	assert_int_equal(fe_used(fe, 3)->idx, chains);
}

/* Off and on again without a base; kicks are suppressed while the ring is off. */
static void suspend(struct front_end *fe)
{
	uint16_t used = fe_used(fe, 3)->idx;

	ask_state(fe, VHOST_USER_SET_VRING_ENABLE, 3, 0);
	fe_put(fe, 3);
	ask_state(fe, VHOST_USER_SET_VRING_ENABLE, 3, 1);
	assert_int_equal(fe->device.queues[3].base, used);
	assert_int_equal(fe_used(fe, 3)->idx, used + 1);
}

static void run_uml(bool newer)
{
	struct uml uml;

	boot(&uml, newer);
	expect_calls(&uml);
	expect_config_change(&uml);
	put_and_expect(&uml.fe, 1);
	put_and_expect(&uml.fe, 2);
	rebind(&uml);
	put_and_expect(&uml.fe, 1);
	suspend(&uml.fe);
	put_and_expect(&uml.fe, 3);
	for (int i = 0; i < FAKE_QUEUES; i++)
		close(uml.calls[i][0]);
	close(uml.channel);
	fe_stop(&uml.fe);
}

static void test_uml_6_1(void **state)
{
	(void)state;
	run_uml(false);
}

static void test_uml_7_2(void **state)
{
	(void)state;
	run_uml(true);
}

/* --- QEMU --------------------------------------------------------------- */

/* realize */
static void qemu_realize(struct front_end *fe, int request_fd)
{
	uint64_t protocol;

	fe_get_u64(fe, VHOST_USER_GET_FEATURES);
	protocol = fe_get_u64(fe, VHOST_USER_GET_PROTOCOL_FEATURES);
	/* It acknowledges all that it is offered. */
	fe_set_u64(fe, VHOST_USER_SET_PROTOCOL_FEATURES, protocol);
	assert_int_equal(fe_get_u64(fe, VHOST_USER_GET_QUEUE_NUM), FAKE_QUEUES);
	assert_int_equal(fe_get_u64(fe, VHOST_USER_GET_MAX_MEM_SLOTS), MEM_MAX_REGIONS);
	assert_int_equal(fe_ask(fe, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &request_fd, 1), 0);
	fe_send(fe, VHOST_USER_SET_OWNER, NULL, 0);
	fe_get_u64(fe, VHOST_USER_GET_FEATURES);
	for (int i = 0; i < FAKE_QUEUES; i++) {
		assert_int_equal(ask_u64(fe, VHOST_USER_SET_VRING_CALL, i, fe->calls[i]), 0);
		assert_int_equal(ask_u64(fe, VHOST_USER_SET_VRING_ERR, i, fe->errors[i]), 0);
	}
	get_config(fe, 12);
}

/* DRIVER_OK, which itself is never sent. */
static void qemu_start(struct front_end *fe, uint32_t *bases)
{
	struct vhost_user_mem_slot slot = { .region = fe_table().regions[0] };

	fe_set_u64(fe, VHOST_USER_SET_FEATURES, FAKE_FEATURES | 1 << 30);
	fe_set_u64(fe, VHOST_USER_SET_STATUS, fe_get_u64(fe, VHOST_USER_GET_STATUS) | 8);
	assert_int_equal(fe_get_u64(fe, VHOST_USER_GET_STATUS), 8);
	assert_int_equal(fe_ask(fe, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &fe->memfd, 1), 0);
	for (int i = 0; i < FAKE_QUEUES; i++) {
		struct vhost_user_vring_addr addr = fe_addr(i);

		fe_set_state(fe, VHOST_USER_SET_VRING_NUM, i, FE_RING_SIZE);
		fe_set_state(fe, VHOST_USER_SET_VRING_BASE, i, bases[i]);
		fe_send(fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr));
		assert_int_equal(ask_u64(fe, VHOST_USER_SET_VRING_KICK, i, fe->kicks[i]), 0);
		assert_int_equal(ask_u64(fe, VHOST_USER_SET_VRING_CALL, i, fe->calls[i]), 0);
	}
	assert_running(fe, false);
	for (int i = 0; i < FAKE_QUEUES; i++)
		assert_int_equal(ask_state(fe, VHOST_USER_SET_VRING_ENABLE, i, 1), 0);
	/* One without a vector: there is no descriptor then. */
	assert_int_equal(ask_u64(fe, VHOST_USER_SET_VRING_CALL, 1 | VHOST_USER_VRING_NO_FD, -1),
			 0);
	assert_running(fe, true);
}

static void qemu_stop(struct front_end *fe, uint32_t *bases)
{
	struct vhost_user_mem_slot slot = { .region = fe_table().regions[0] };

	for (int i = 0; i < FAKE_QUEUES; i++)
		assert_int_equal(ask_state(fe, VHOST_USER_SET_VRING_ENABLE, i, 0), 0);
	for (int i = 0; i < FAKE_QUEUES; i++)
		bases[i] = fe_get_base(fe, i);
	assert_running(fe, false);
	assert_int_equal(fe_ask(fe, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0), 0);
}

static void test_qemu(void **state)
{
	uint32_t bases[FAKE_QUEUES] = { 0 };
	struct front_end fe;
	int channel[2];

	(void)state;
	fe_start(&fe);
	socketpair(AF_UNIX, SOCK_STREAM, 0, channel);
	qemu_realize(&fe, channel[1]);
	close(channel[1]);
	qemu_start(&fe, bases);
	/* A queue without a call descriptor works like any other. */
	fe_put(&fe, 1);
	fe_kick(&fe, 1);
	session_call(fe.session, 1);
	assert_int_equal(fe_used(&fe, 1)->idx, 1);

	/* Paused and resumed: the indices go on. */
	qemu_stop(&fe, bases);
	assert_int_equal(bases[1], 1);
	fe_put(&fe, 1);
	fe_kick(&fe, 1);
	assert_int_equal(fe_used(&fe, 1)->idx, 1);
	qemu_start(&fe, bases);
	assert_int_equal(fe_used(&fe, 1)->idx, 2);

	/* The guest reboots. */
	qemu_stop(&fe, bases);
	memset(bases, 0, sizeof(bases));
	clear_rings(&fe);
	qemu_start(&fe, bases);
	fe_put(&fe, 1);
	fe_kick(&fe, 1);
	assert_int_equal(fe_used(&fe, 1)->idx, 1);
	assert_false(fe.ended);

	close(channel[0]);
	fe_stop(&fe);
}

/*
 * A QEMU that says STATUS for the device, as it does for disks: in a pause, too, behind the end of
 * all rings. Channels live on; the device itself sees by the index whether a new life begins.
 */
static void test_qemu_with_status(void **state)
{
	uint32_t bases[FAKE_QUEUES] = { 0 };
	struct front_end fe;
	int channel[2];
	unsigned int resets;

	(void)state;
	fe_start(&fe);
	socketpair(AF_UNIX, SOCK_STREAM, 0, channel);
	qemu_realize(&fe, channel[1]);
	close(channel[1]);
	qemu_start(&fe, bases);
	fe_set_u64(&fe, VHOST_USER_SET_STATUS, 15);
	put_and_expect(&fe, 1);
	resets = fe.device.resets;

	qemu_stop(&fe, bases);
	fe_set_u64(&fe, VHOST_USER_SET_STATUS, 0);
	assert_int_equal(fe_get_u64(&fe, VHOST_USER_GET_STATUS), 0);
	qemu_start(&fe, bases);
	put_and_expect(&fe, 2);
	assert_int_equal(fe.device.resets, resets);
	assert_int_equal(fe.device.queues[3].base, 1);

	/* While a ring is still the device's it is a reset. */
	for (int i = 0; i < FAKE_QUEUES; i++)
		if (i != 3)
			fe_get_base(&fe, i);
	fe_set_u64(&fe, VHOST_USER_SET_STATUS, 0);
	assert_int_equal(fe.device.resets, resets + 1);
	assert_running(&fe, false);

	/* So it is for a broken device, which nothing else wakes. */
	fe.device.broken = true;
	fe_kick(&fe, 0);
	session_check(fe.session);
	assert_int_equal(fe_get_u64(&fe, VHOST_USER_GET_STATUS), 0x40);
	fe_set_u64(&fe, VHOST_USER_SET_STATUS, 0);
	assert_int_equal(fe.device.resets, resets + 2);
	assert_int_equal(fe_get_u64(&fe, VHOST_USER_GET_STATUS), 0);
	close(channel[0]);
	fe_stop(&fe);
}

/*
 * device_del and device_add on one chardev: the rings stop, the memory is not taken back, and
 * the next device begins on the same connection with all of it.
 */
static void test_qemu_unplug_and_plug(void **state)
{
	uint32_t bases[FAKE_QUEUES] = { 0 };
	struct front_end fe;
	int channel[2];

	(void)state;
	fe_start(&fe);
	for (int i = 0; i < 3; i++) {
		socketpair(AF_UNIX, SOCK_STREAM, 0, channel);
		clear_rings(&fe);
		fe.device.resets = 0;
		qemu_realize(&fe, channel[1]);
		close(channel[1]);
		assert_true(fe.device.resets);	/* what the one before left is gone */
		qemu_start(&fe, bases);
		put_and_expect(&fe, 1);
		put_and_expect(&fe, 2);
		for (int j = 0; j < FAKE_QUEUES; j++)
			ask_state(&fe, VHOST_USER_SET_VRING_ENABLE, j, 0);
		for (int j = 0; j < FAKE_QUEUES; j++)
			fe_get_base(&fe, j);
		assert_false(fe.ended);
		close(channel[0]);
	}
	fe_stop(&fe);
}

/* The device before ended without a word: its rings, their descriptors and memory go. */
static void test_owner_takes_all(void **state)
{
	uint32_t bases[FAKE_QUEUES] = { 0 };
	struct vhost_user_mem_slot slot;
	struct front_end fe;
	int channel[2];

	(void)state;
	fe_start(&fe);
	slot.region = fe_table().regions[0];
	socketpair(AF_UNIX, SOCK_STREAM, 0, channel);
	qemu_realize(&fe, channel[1]);
	qemu_start(&fe, bases);
	put_and_expect(&fe, 1);
	fe_send(&fe, VHOST_USER_SET_OWNER, NULL, 0);
	assert_running(&fe, false);
	assert_int_equal(fe_get_u64(&fe, VHOST_USER_GET_STATUS), 0);
	/* Memory and features alone start nothing: the old kick descriptors are closed. */
	fe_set_u64(&fe, VHOST_USER_SET_FEATURES, FAKE_FEATURES | 1 << 30);
	assert_int_equal(fe_ask(&fe, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &fe.memfd, 1), 0);
	for (int i = 0; i < FAKE_QUEUES; i++)
		ask_state(&fe, VHOST_USER_SET_VRING_ENABLE, i, 1);
	assert_running(&fe, false);
	assert_false(fe.ended);
	close(channel[0]);
	close(channel[1]);
	fe_stop(&fe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uml_6_1),
		cmocka_unit_test(test_uml_7_2),
		cmocka_unit_test(test_qemu),
		cmocka_unit_test(test_qemu_with_status),
		cmocka_unit_test(test_qemu_unplug_and_plug),
		cmocka_unit_test(test_owner_takes_all),
	};

	log_setup(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
