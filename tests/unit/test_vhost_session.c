// SPDX-License-Identifier: MIT
/* What is agreed on in a session, and what ends it so that nothing of it stays. */

#include "vhost_rig.h"

/* --- Features ----------------------------------------------------------- */

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
	/* The channel's other end does not read, and then is closed. */
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
	/* Until a ring is described again its memory may be anything: nothing else starts it. */
	fe_set_table(&fe);
	assert_int_equal(ask_state(VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	for (int i = 0; i < FAKE_QUEUES; i++)
		assert_null(fe.device.queues[i].ring);
	fe_start_ring(&fe, 1);
	assert_non_null(fe.device.queues[1].ring);
	assert_null(fe.device.queues[0].ring);
}

/* In the test itself: cmocka has handlers of its own while one runs. */
static void truncate_memory(void)
{
	assert_int_equal(mem_guard_install(), 0);
	assert_int_equal(ftruncate(fe.memfd, 0), 0);
}

/* --- The end ------------------------------------------------------------ */

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

/* A message of which a part is missing does not keep the rings from being served. */
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
	/* Once when an owner came, once when it went. */
	assert_int_equal(fe.device.resets - resets, 2000);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SESSION(test_features),
		WITH_SESSION(test_features_while_running),
		WITH_SESSION(test_refused_without_ack),
		WITH_SESSION(test_need_reply_unnegotiated),
		WITH_SESSION(test_unknown),
		WITH_SESSION(test_no_protocol_features),
		WITH_SESSION(test_config),
		WITH_SESSION(test_backend_channel),
		WITH_SESSION(test_status),
		WITH_SESSION(test_disconnect),
		WITH_SESSION(test_half_close),
		WITH_SESSION(test_garbage),
		WITH_SESSION(test_no_reader),
		WITH_SESSION(test_slow_front_end),
		WITH_SESSION(test_disconnect_at_every_step),
		WITH_SESSION(test_thousand_sessions),
		WITH_SESSION(test_end_within_round),
	};

	log_setup(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
