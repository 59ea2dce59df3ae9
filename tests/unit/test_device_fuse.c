// SPDX-License-Identifier: MIT
/* A virtio-fs device: what it answers before HELLO, and that it is manyport behind it. */
#include <linux/fuse.h>

#include "device_world.h"
#include "ring/inflight.h"

static int setup(void **state)
{
	(void)state;
	world_create_as(DEVICE_FS, 64, 256);
	device_set_features(driver->device, device_features(driver->device));
	return 0;
}

static void start_rings(void)
{
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_start(driver, i);
}

/* A FUSE request with room for @writable bytes of answer; it has been offered. */
static struct fake_request *offer(unsigned int queue, uint32_t opcode, uint32_t writable)
{
	struct fuse_in_header header = { .len = sizeof(header), .opcode = opcode, .unique = 77 };
	struct fake_request *r = fake_new(driver, FAKE_RAW, queue, sizeof(header) + 16, writable);

	memset(fake_at(driver, r->readable), 0, r->readable_len);
	memcpy(fake_at(driver, r->readable), &header, sizeof(header));
	r->is_small = true;
	fake_offer(driver, r);
	return r;
}

static struct fake_request *ask(unsigned int queue, uint32_t opcode, uint32_t writable)
{
	struct fake_request *r = offer(queue, opcode, writable);

	fake_kick(driver, queue);
	fake_run(driver);
	return r;
}

static void expect_refusal(struct fake_request *r)
{
	struct fuse_out_header answer;

	assert_true(r->done);
	assert_int_equal(r->used, sizeof(answer));
	memcpy(&answer, fake_at(driver, r->writable), sizeof(answer));
	assert_int_equal(answer.len, sizeof(answer));
	assert_int_equal(answer.error, -EIO);
	assert_int_equal(answer.unique, 77);
	fake_drop(driver, r);
}

static void expect_refused(unsigned int queue)
{
	expect_refusal(ask(queue, FUSE_INIT, 80));
}

static void features(void **state)
{
	(void)state;
	assert_int_equal(device_features(driver->device), 1ULL << 32 | 1ULL << 29 | 1ULL << 28);
	assert_false(device_has_config(driver->device));
}

static void file_systems_are_refused(void **state)
{
	struct fake_request *r;

	(void)state;
	start_rings();
	for (int round = 0; round < 3; round++)
		for (unsigned int i = 0; i < driver->queue_count; i++)
			expect_refused(i);
	/* No room: FORGET has none, a hostile one too little. */
	for (uint32_t room = 0; room < sizeof(struct fuse_out_header); room += 5) {
		r = ask(0, FUSE_FORGET, room);
		assert_true(r->done);
		assert_int_equal(r->used, 0);
		fake_drop(driver, r);
	}
	/* Too short for a header, where no control message is expected. */
	r = fake_bytes(driver, 1, "short", 5);
	fake_kick(driver, 1);
	fake_run(driver);
	assert_true(r->done);
	assert_int_equal(r->used, 0);
	fake_drop(driver, r);
	assert_false(device_is_broken(driver->device));
}

static void who_asks_is_told(void **state)
{
	struct fake_request *r;
	struct fuse_out_header answer;
	struct mp_hello hello;

	(void)state;
	start_rings();
	r = ask(1, MP_CONTROL_HELLO, sizeof(answer) + sizeof(hello));
	assert_true(r->done);
	assert_int_equal(r->used, sizeof(answer) + sizeof(hello));
	memcpy(&answer, fake_at(driver, r->writable), sizeof(answer));
	memcpy(&hello, (char *)fake_at(driver, r->writable) + sizeof(answer), sizeof(hello));
	assert_int_equal(answer.error, 0);
	assert_int_equal(answer.unique, 77);
	assert_true(mp_hello_is_valid(&hello, sizeof(hello)));
	fake_drop(driver, r);
}

/* Buffers of our driver's are not taken for requests, nor requests for its buffers. */
static void manyport_behind_hello(void **state)
{
	(void)state;
	start_rings();
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		expect_refused(i);
		fake_stop(driver, i);
	}
	world_boot(8);
	assert_int_equal(le32toh(connect_to(0, 1, "echo").status), MP_OK);
	assert_int_equal(le32toh(write_to(0, 1, 0, "bytes", 5).count), 5);
	fake_control(driver, 0xffffffff, MP_CONTROL_BYE, 0, NULL, 0);
	fake_run(driver);
	expect_refused(1);
}

/* What a chain is for is decided when it is taken, not when its queue is served. */
static void a_request_behind_a_goodbye(void **state)
{
	const struct virtio_console_control bye = { .event = htole16(MP_CONTROL_BYE) };
	struct fake_request *r;

	(void)state;
	world_boot(8);
	r = fake_bytes(driver, MP_QUEUE_CONTROL_TX, &bye, sizeof(bye));
	expect_refused(MP_QUEUE_CONTROL_TX);
	assert_true(r->done);
	fake_drop(driver, r);
}

/* The guest dies, and the next has a driver of file systems, which starts two queues only. */
static void a_life_without_a_goodbye(void **state)
{
	(void)state;
	world_boot(8);
	assert_int_equal(le32toh(connect_to(0, 1, "echo").status), MP_OK);
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		device_ring_stop(driver->device, i);
		for (unsigned int j = 0; j < driver->queues[i].size; j++)
			free(driver->queues[i].by_head[j]);
		fake_queue_init(driver, i, 64);
	}
	fake_start(driver, 0);
	fake_start(driver, 1);
	assert_int_equal(service->closed, 1);
	expect_refused(0);
	expect_refused(1);
}

/* What a daemon that died had taken is answered by the next one, in the control queues, too. */
static void another_daemon_answers(void **state)
{
	static struct ring_chain chain;
	struct fake_request *r[FAKE_QUEUES];
	struct inflight *areas[FAKE_QUEUES];

	(void)state;
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		areas[i] = calloc(1, INFLIGHT_BYTES(64));
		driver->queues[i].ring.inflight = areas[i];
	}
	start_rings();
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		r[i] = offer(i, FUSE_INIT, 80);
		assert_int_equal(ring_take(&driver->queues[i].ring, &chain), 1);
	}
	device_destroy(driver->device);
	driver->woken = false;
	driver->device = device_create(&world->config, &driver->env);
	device_set_features(driver->device, device_features(driver->device));
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		struct ring *ring = &driver->queues[i].ring;

		ring_stop(ring);
		assert_int_equal(ring_start_again(ring, &driver->mem), 0);
		device_ring_adopt(driver->device, i, ring);
	}
	device_adopt(driver->device);
	fake_run(driver);
	for (unsigned int i = 0; i < driver->queue_count; i++)
		expect_refusal(r[i]);
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		fake_stop(driver, i);
		driver->queues[i].ring.inflight = NULL;
		free(areas[i]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(features), TEST(file_systems_are_refused), TEST(who_asks_is_told),
		TEST(another_daemon_answers),
		TEST(manyport_behind_hello),
		TEST(a_request_behind_a_goodbye), TEST(a_life_without_a_goodbye),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
