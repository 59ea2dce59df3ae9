// SPDX-License-Identifier: MIT
/* The services that are code in the daemon: echo, zero, null, pingpong, throttle. */
#include "service_rig.h"

static struct rig rig;

static int setup(void **state)
{
	(void)state;
	rig_init(&rig);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_fini(&rig);
	return 0;
}

/* Everything comes back, far more than is held at a time, then the end. */
static void check_echo(const char *uri, size_t len)
{
	struct mp_service *service = rig_service(&rig, uri);
	struct test_peer peer;
	char *bytes = rig_pattern(len);

	assert_int_equal(peer_open(&peer, service, bytes, len), 1);
	peer.shut_after = true;
	peer_write(&peer);
	rig_wait(&rig, peer_has_ended, &peer);
	assert_true(peer.in_end);
	assert_int_equal(peer.in_len, len);
	assert_memory_equal(peer.in, bytes, len);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
	free(bytes);
}

static void echo_returns_everything(void **state)
{
	(void)state;
	check_echo("echo", 5000000);
	check_echo("echo:", 1);
}

static void throttle_returns_everything(void **state)
{
	(void)state;
	check_echo("throttle:20M", 3000000);
	check_echo("throttle:2K", 500);
}

/* A tenth of a second's worth at once, and no more without time passing. */
static void throttle_limits_a_burst(void **state)
{
	struct mp_service *service = rig_service(&rig, "throttle:10K");
	struct test_peer peer;
	char *bytes = rig_pattern(100000);
	uint64_t started, elapsed;

	(void)state;
	rig_rounds(&rig, 1);
	assert_int_equal(peer_open(&peer, service, bytes, 100000), 1);
	started = loop_now(rig.loop);
	rig_rounds(&rig, 100);
	elapsed = loop_now(rig.loop) - started;
	assert_true(peer.out_done > 0);
	assert_true(peer.out_done <= 1024 + elapsed * 10240 / 1000 + 1);
	assert_true(peer.in_len <= peer.out_done);
	peer_close(&peer, MP_END_ABORT);
	service_destroy(service);
	free(bytes);
}

/* A reader that never reads stops the writer, at a bounded number of bytes. */
static void echo_is_bounded(void **state)
{
	struct mp_service *service = rig_service(&rig, "echo");
	struct test_peer peer;
	char *bytes = rig_pattern(2000000);

	(void)state;
	assert_int_equal(peer_open(&peer, service, NULL, 0), 1);
	peer.deaf = true;
	peer.out = bytes;
	peer.out_len = 2000000;
	peer_write(&peer);
	rig_rounds(&rig, 20);
	assert_int_equal(peer.out_done, 256 << 10);
	peer.deaf = false;
	peer_read(&peer);
	rig_wait(&rig, peer_has_written, &peer);
	peer_shut(&peer, MP_SHUT_READ);
	peer_close(&peer, MP_END_ABORT);
	service_destroy(service);
	free(bytes);
}

static void zero_gives_zeros(void **state)
{
	struct mp_service *service = rig_service(&rig, "zero");
	struct test_peer peer;
	char bytes[100000];
	struct iovec iov = { bytes, sizeof(bytes) };

	(void)state;
	memset(bytes, 1, sizeof(bytes));
	assert_int_equal(peer_open(&peer, service, "abc", 3), 1);
	assert_int_equal(peer.out_done, 3);
	assert_int_equal(peer.stream->ops->readv(peer.stream, &iov, 1), sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	peer_shut(&peer, MP_SHUT_WRITE);
	assert_int_equal(peer.stream->ops->readv(peer.stream, &iov, 1), 0);
	assert_int_equal(peer.stream->ops->writev(peer.stream, &iov, 1), -EPIPE);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
}

static void zero_ends_at_its_size(void **state)
{
	struct mp_service *service = rig_service(&rig, "zero:300K");
	struct test_peer peer;

	(void)state;
	assert_int_equal(peer_open(&peer, service, NULL, 0), 1);
	peer_shut(&peer, MP_SHUT_WRITE);
	rig_wait(&rig, peer_has_ended, &peer);
	assert_int_equal(peer.in_len, 300 << 10);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
}

static void null_takes_everything(void **state)
{
	struct mp_service *service = rig_service(&rig, "null");
	struct test_peer peer;
	char *bytes = rig_pattern(1000000);

	(void)state;
	assert_int_equal(peer_open(&peer, service, bytes, 1000000), 1);
	assert_int_equal(peer.out_done, 1000000);
	rig_rounds(&rig, 5);
	assert_false(peer.in_end);
	peer_shut(&peer, MP_SHUT_WRITE);
	rig_wait(&rig, peer_has_ended, &peer);
	assert_true(peer.in_end);
	assert_int_equal(peer.in_len, 0);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
	free(bytes);
}

static bool has_200(void *context)
{
	return ((struct test_peer *)context)->in_len >= 200;
}

static void pingpong_answers_whole_questions(void **state)
{
	struct mp_service *service = rig_service(&rig, "pingpong:100");
	struct test_peer peer;
	char bytes[250] = "";

	(void)state;
	assert_int_equal(peer_open(&peer, service, bytes, 250), 1);
	rig_wait(&rig, has_200, &peer);
	rig_rounds(&rig, 3);
	assert_int_equal(peer.in_len, 200);
	for (int i = 0; i < 200; i++)
		assert_int_equal((unsigned char)peer.in[i], i % 100);
	peer_shut(&peer, MP_SHUT_WRITE);
	rig_wait(&rig, peer_has_ended, &peer);
	assert_int_equal(peer.in_len, 200);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
}

/* The core closes from inside its own call: the second call does not come. */
static struct test_peer *victim;

static void close_in_call(struct mp_peer *base)
{
	(void)base;
	assert_non_null(victim->stream);
	peer_close(victim, MP_END_ABORT);
}

static void stream_may_close_in_call(void **state)
{
	static const struct mp_peer_ops ops = {
		.readable = close_in_call, .writable = close_in_call,
	};
	struct mp_service *service = rig_service(&rig, "throttle:1");
	struct test_peer peer;

	(void)state;
	victim = &peer;
	assert_int_equal(peer_open(&peer, service, "abcdefghijk", 11), 1);
	peer.peer.ops = &ops;
	rig_rounds(&rig, 5);
	/* The first call, for the armed input, comes when something may have changed. */
	if (peer.stream) {
		peer_shut(&peer, MP_SHUT_WRITE);
		rig_rounds(&rig, 5);
	}
	assert_null(peer.stream);
	service_destroy(service);
}

static void wrong_forms_are_refused(void **state)
{
	static const char *const wrong[] = {
		"", "echo:x", "null:x", "zero:x", "zero:-1", "pingpong:0", "pingpong:x",
		"throttle", "throttle:", "throttle:0", "throttle:1x", "ech", "echoo", "file:/x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct service_setup make = { .loop = rig.loop, .name = "test" };

		assert_null(service_create(&make, wrong[i]));
		assert_true(make.error[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(echo_returns_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(echo_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(throttle_returns_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(throttle_limits_a_burst, setup, teardown),
		cmocka_unit_test_setup_teardown(zero_gives_zeros, setup, teardown),
		cmocka_unit_test_setup_teardown(zero_ends_at_its_size, setup, teardown),
		cmocka_unit_test_setup_teardown(null_takes_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(pingpong_answers_whole_questions, setup, teardown),
		cmocka_unit_test_setup_teardown(stream_may_close_in_call, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_forms_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, rig_setup_group, NULL);
}
