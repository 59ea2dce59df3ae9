// SPDX-License-Identifier: MIT
/* The life of a device: features, control messages, rings, resets, broken rules. */
#include "device_world.h"

static int setup(void **state)
{
	(void)state;
	world_create(64, 256);
	return 0;
}

static int setup_booted(void **state)
{
	setup(state);
	world_boot(8);
	return 0;
}

static void features_and_config(void **state)
{
	const uint64_t all = 1ULL << 60 | 1ULL << 32 | 1ULL << 29 | 1ULL << 28 | 1ULL << 1;
	struct virtio_console_config config;
	uint8_t bytes[40];

	(void)state;
	assert_int_equal(device_features(driver->device), all);
	assert_int_equal(device_queue_count(driver->device), 8);
	memset(bytes, 0xee, sizeof(bytes));
	device_read_config(driver->device, 0, bytes, sizeof(bytes));
	memcpy(&config, bytes, sizeof(config));
	assert_int_equal(config.cols, 0);
	assert_int_equal(config.rows, 0);
	assert_int_equal(le32toh(config.max_nr_ports), 3);
	assert_int_equal(config.emerg_wr, 0);
	for (size_t i = DEVICE_CONFIG_SIZE; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	device_read_config(driver->device, 4, bytes, 1);
	assert_int_equal(bytes[0], 3);
	bytes[0] = 0xee;
	device_read_config(driver->device, 0xffffffff, bytes, 1);
	assert_int_equal(bytes[0], 0);
}

static void hello_limits(void **state)
{
	struct mp_hello hello;

	(void)state;
	world_boot(0);
	memcpy(&hello, driver->control[0].payload, sizeof(hello));
	assert_int_equal(le16toh(hello.version), MP_VERSION);
	assert_int_equal(le32toh(hello.max_channels), 272);
	assert_int_equal(le32toh(hello.max_io), 1 << 20);
	assert_int_equal(le32toh(hello.linger_ms), LINGER_MS);
}

/* Boots up to the device's HELLO and gives @answer. Returns how many messages follow. */
static unsigned int answer_hello(const struct mp_hello *answer, uint32_t len)
{
	struct mp_hello good = { .magic = htole32(MP_MAGIC), .version = htole16(1),
				 .size = htole16(sizeof(good)) };
	unsigned int before;

	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	fake_run(driver);
	before = driver->control_count;
	fake_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0, answer, len);
	/* What comes after the first is ignored [protocol.md 3.1]. */
	fake_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0, &good, sizeof(good));
	/* Its ports stay absent, whatever the driver believes. */
	fake_control(driver, PORT, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	return driver->control_count - before;
}

static void wrong_hellos(void **state)
{
	const struct mp_hello good = { .magic = htole32(MP_MAGIC), .version = htole16(1),
				       .size = htole16(sizeof(good)) };
	struct mp_hello bad = good;

	(void)state;
	fake_boot(driver, true);
	assert_true(answer_hello(&good, sizeof(good)) > 0);
	bad.magic ^= 1;
	assert_int_equal(answer_hello(&bad, sizeof(bad)), 0);
	bad = good;
	bad.version = htole16(MP_VERSION + 1);
	assert_int_equal(answer_hello(&bad, sizeof(bad)), 0);
	bad.version = 0;
	assert_int_equal(answer_hello(&bad, sizeof(bad)), 0);
	assert_int_equal(answer_hello(&good, sizeof(good) - 1), 0);
	assert_int_equal(answer_hello(NULL, 0), 0);
	/* An answer before the question is none. */
	fake_stop(driver, 2);
	assert_int_equal(answer_hello(&good, sizeof(good)), 0);
	fake_start(driver, 2);
	fake_run(driver);
	assert_int_equal(le16toh(driver->control[driver->control_count - 1].header.event),
			 MP_CONTROL_HELLO);
	assert_true(answer_hello(&good, sizeof(good)) > 0);
}

static void feature_needs_others(void **state)
{
	(void)state;
	device_set_features(driver->device, 1ULL << MP_F_MULTI_OPEN | 1ULL << 32);
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_start(driver, i);
	fake_room(driver, 2, 512);
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	assert_int_equal(driver->control_count, 0);	/* not even MULTIPORT: nothing to say */
	device_set_features(driver->device, 1ULL << MP_F_MULTI_OPEN | 1ULL << 1);
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_ADD, 1);	/* classic */
}

/* Messages wait for buffers, in order, however few and small the buffers are. */
static void control_without_buffers(void **state)
{
	struct fake_request *small;
	struct mp_hello hello;

	(void)state;
	device_set_features(driver->device, device_features(driver->device));
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_start(driver, i);
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	assert_int_equal(driver->control_count, 0);
	/* Too small for a header: comes back unused. */
	small = fake_room(driver, 2, 7);
	small->is_small = true;
	fake_kick(driver, 2);
	fake_run(driver);
	assert_true(small->done);
	assert_int_equal(small->used, 0);
	fake_drop(driver, small);
	assert_int_equal(driver->control_count, 0);
	driver->cut = 3;
	fake_room(driver, 2, 512 / 16);
	driver->cut = 0;
	fake_kick(driver, 2);
	fake_run(driver);
	memcpy(&hello, fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0), sizeof(hello));
	assert_true(mp_hello_is_valid(&hello, sizeof(hello)));
	fake_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
	fake_expect_control(driver, PORT, MP_CONTROL_PORT_MODE, MP_PORT_MULTI_OPEN);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_ADD, 1);
	fake_expect_control(driver, FIXED, MP_CONTROL_PORT_MODE, MP_PORT_FIXED);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_ADD, 1);
}

static void control_junk(void **state)
{
	uint8_t bytes[200];
	struct fake_request *r;

	(void)state;
	connect_to(0, 1, "echo");
	memset(bytes, 0xff, sizeof(bytes));
	for (unsigned int event = 0; event < 0x10000; event += event < 20 ? 1 : 251) {
		if (event == VIRTIO_CONSOLE_DEVICE_READY)
			continue;
		fake_control(driver, 0xfffffff0, event, 7, bytes, event % 200);
		fake_control(driver, 3, event, 7, bytes, event % 200);
	}
	for (uint32_t len = 1; len < 8; len++) {
		r = fake_bytes(driver, 3, bytes, len);
		fake_kick(driver, 3);
		fake_run(driver);
		assert_true(r->done);
		fake_drop(driver, r);
	}
	driver->cut = 1;
	fake_control(driver, PORT, VIRTIO_CONSOLE_PORT_READY, 1, bytes, 20);
	driver->cut = 0;
	expect_result(write_to(0, 1, 0, "x", 1), MP_OK, 1);
	assert_false(device_is_broken(driver->device));
}

/* A name is asked for again and again, and no buffer offered: it is due once. */
static void control_flood(void **state)
{
	(void)state;
	fake_stop(driver, 2);
	for (int i = 0; i < 1000; i++)
		fake_control(driver, PORT, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	fake_start(driver, 2);
	fake_run(driver);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
	assert_int_equal(driver->control_seen, driver->control_count);
}

static void not_ready_no_service(void **state)
{
	struct fake_request *r;
	uint8_t payload[300];
	uint32_t len;

	(void)state;
	world_boot(8);
	/* FIXED is announced and has not said PORT_READY: its queues are not looked at. */
	len = make_connect(payload, "");
	r = send_on(tx_of(FIXED), MP_OP_CONNECT, 0, 1, 0, payload, len);
	fake_run(driver);
	assert_false(r->done);
	fake_control(driver, FIXED, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	expect_state(finish(r), MP_OK, CONNECTED, 0);
	assert_string_equal(service->last->opener.service, "tied");
}

static void end_of_life(void **state, void (*end)(void))
{
	struct fake_request *r;
	unsigned int events;

	(void)state;
	connect_to(0, 1, "echo");
	connect_to(1, 2, "echo");
	r = fetch(0, 1, 0);
	assert_int_equal(stats_now().parked, 1);
	events = driver->event_count;
	end();
	fake_run(driver);
	assert_int_equal(service->opened, 2);
	assert_int_equal(service->cut, 2);
	assert_false(r->done);
	assert_int_equal(driver->event_count, events);	/* without results or events */
	assert_int_equal(stats_now().core.channels, 0);
	assert_int_equal(stats_now().parked, 0);
	assert_int_equal(stats_now().owed, 0);
}

static void say_bye(void)
{
	fake_control(driver, 0xffffffff, MP_CONTROL_BYE, 0, NULL, 0);
}

static void say_ready(void)
{
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0);
}

static void reset(void)
{
	device_reset(driver->device);
}

static void bye(void **state)
{
	struct fake_request *r;

	end_of_life(state, say_bye);
	/* Until DEVICE_READY nothing is served. */
	r = send_on(TX, MP_OP_CANCEL, 0, 1, 0, NULL, 0);
	fake_run(driver);
	assert_false(r->done);
}

static void device_ready_again(void **state)
{
	end_of_life(state, say_ready);
}

static void device_reset_ends_all(void **state)
{
	end_of_life(state, reset);
}

/* A reset that is not announced: the control transmit queue starts at 0 [protocol.md 10.4]. */
static void start_at_zero(void **state)
{
	(void)state;
	connect_to(0, 1, "echo");
	fetch(0, 1, 0);
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		device_ring_stop(driver->device, i);
		for (unsigned int j = 0; j < driver->queues[i].size; j++)
			free(driver->queues[i].by_head[j]);
		fake_queue_init(driver, i, 64);
	}
	assert_int_equal(service->closed, 0);
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_start(driver, i);
	assert_int_equal(service->closed, 1);
	for (int i = 0; i < 8; i++)
		fake_room(driver, 2, 512);
	fake_control(driver, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	fake_expect_control(driver, 0xffffffff, MP_CONTROL_HELLO, 0);
}

/* A pause of the guest [protocol.md 10.3]. */
static void stop_and_start(void **state)
{
	struct fake_request *r, *other;
	unsigned int buffers = 0;

	(void)state;
	connect_to(0, 1, "echo");
	connect_to(1, 1, "echo");
	r = fetch(0, 1, 0);
	other = fetch(1, 1, 0);
	for (unsigned int i = 0; i < driver->queue_count; i++) {
		fake_stop(driver, i);
		fake_poll_queue(driver, i);
	}
	expect_result(finish(r), MP_CANCELLED, 0);
	expect_result(finish(other), MP_CANCELLED, 0);
	for (; driver->event_seen < driver->event_count; driver->event_seen++)
		buffers += driver->events[driver->event_seen].event.channel ==
			   htole32(MP_CHANNEL_NONE);
	assert_int_equal(buffers, 8);
	/* What happens while the ring is stopped is told afterwards; its kicks do nothing. */
	fake_say(service->last, "meanwhile", 9);
	device_kick(driver->device, RX);
	device_kick(driver->device, 1000);
	for (unsigned int i = 0; i < driver->queue_count; i++)
		fake_start(driver, i);
	fake_run(driver);
	expect_no_event();
	for (int i = 0; i < 8; i++)
		fake_post_event(driver, PORT);
	fake_run(driver);
	expect_event(1, 1, CONNECTED | MP_ST_IN, 0);
	expect_no_event();
	r = fetch(1, 1, 0);
	expect_result(finish(r), MP_OK, 9);
	r = fetch(0, 1, 0);
	assert_false(r->done);
}

static void send_cut_short(uint16_t len)
{
	struct fake_request *r = fake_new(driver, FAKE_RAW, TX, 32, len);

	fake_offer(driver, r);
	fake_kick(driver, TX);
	fake_run(driver);
}

static void broken_by_request(void **state)
{
	struct fake_request *r;

	(void)state;
	connect_to(0, 1, "echo");
	r = fetch(0, 1, 0);
	send_cut_short(23);		/* no room for a result */
	assert_true(device_is_broken(driver->device));
	assert_int_equal(service->closed, 1);
	device_kick(driver->device, RX);
	core_run(device_core(driver->device));
	assert_false(r->done);
	r = send_on(TX, MP_OP_CANCEL, 0, 1, 0, NULL, 0);
	fake_run(driver);
	assert_false(r->done);
	device_reset(driver->device);
	assert_false(device_is_broken(driver->device));
}

static void broken_by_ring(void **state)
{
	struct fake_queue *q = &driver->queues[TX];

	(void)state;
	connect_to(0, 1, "echo");
	q->avail->ring[q->avail->idx & (q->size - 1)] = 1000;
	q->avail->idx++;
	device_kick(driver->device, TX);
	assert_true(device_is_broken(driver->device));
	assert_int_equal(service->closed, 1);
}

/* CANCEL looks at the receive queue, and finds that one broken. */
static void broken_by_other_ring(void **state)
{
	struct fake_queue *q = &driver->queues[RX];

	(void)state;
	connect_to(0, 1, "echo");
	q->avail->idx += 500;
	send_on(TX, MP_OP_CANCEL, 0, 1, 0, NULL, 0);
	assert_true(device_is_broken(driver->device));
}

/* The guest unplugs memory under a parked read. */
static void broken_by_lost_memory(void **state)
{
	struct fake_queue *q = &driver->queues[RX];
	struct mem_region *region = &driver->mem.regions[1];
	struct fake_request *r;

	(void)state;
	connect_to(0, 1, "echo");
	r = fake_make(driver, RX, MP_OP_READ, 0, 1, 0, NULL, 100);
	memcpy(fake_at(driver, RAM_BASE + RAM_HALF), fake_at(driver, r->readable), 32);
	r->writable = RAM_BASE + RAM_HALF + 64;
	fake_offer(driver, r);
	fake_kick(driver, RX);
	fake_run(driver);
	assert_int_equal(stats_now().parked, 1);
	assert_int_equal(mem_remove(&driver->mem, region->guest, region->user, region->size), 0);
	fake_say(service->last, "x", 1);
	assert_true(device_is_broken(driver->device));
	assert_int_equal(q->used->idx, q->last_used);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)
#define BOOTED(name) cmocka_unit_test_setup_teardown(name, setup_booted, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(features_and_config), TEST(hello_limits), TEST(wrong_hellos),
		TEST(feature_needs_others), TEST(control_without_buffers), BOOTED(control_junk),
		BOOTED(control_flood), TEST(not_ready_no_service), BOOTED(bye),
		BOOTED(device_ready_again), BOOTED(device_reset_ends_all), BOOTED(start_at_zero),
		BOOTED(stop_and_start), BOOTED(broken_by_request), BOOTED(broken_by_ring),
		BOOTED(broken_by_other_ring), BOOTED(broken_by_lost_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
