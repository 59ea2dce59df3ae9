// SPDX-License-Identifier: MIT
/* A multi-open port under a driver without MULTI_OPEN [protocol.md 13]. */
#include "classic_rig.h"

static void one_open(void **state)
{
	struct fake_request *r1, *r2;

	(void)state;
	r1 = room(4);
	r2 = room(100);
	guest_open(PORT, true);
	assert_int_equal(service->opened, 0);
	put_done("pipe:echo+arg\nfirst ");
	assert_string_equal(service->last->name, "echo");
	assert_string_equal(service->last->argument, "arg");
	assert_int_equal(service->last->opener.uid, UINT32_MAX);
	put_done("second");
	expect_out("first second");
	assert_false(r1->done);
	fake_say(service->last, "abcdef", 6);
	expect_bytes(r1, "abcd");
	expect_bytes(r2, "ef");

	/* Bytes without a buffer wait; the next buffer gets them. */
	fake_say(service->last, "ghi", 3);
	expect_bytes(room(10), "ghi");
	r1 = room(10);
	assert_false(r1->done);
	fake_end(service->last);
	assert_false(r1->done);		/* never an empty buffer */
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	put_done("third");
	expect_out("first secondthird");
	guest_open(PORT, false);
	assert_null(service->last);	/* both ends: closed */
	assert_int_equal(service->aborted, 0);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect_quiet();
}

/* A buffer where there is no memory. */
static struct fake_request *put_outside(unsigned int queue, bool in)
{
	struct fake_request *r = fake_new(driver, FAKE_RAW, queue, in ? 0 : 8, in ? 8 : 0);

	fake_offer(driver, r);
	driver->queues[queue].desc[r->head].addr = RAM_BASE + RAM_SIZE - 4;
	fake_kick(driver, queue);
	fake_run(driver);
	return r;
}

/* The buffer comes back, the service sees a failure in place of a hole, the port goes on. */
static void buffer_outside_memory(void **state)
{
	struct fake_request *r;

	(void)state;
	guest_open(PORT, true);
	put_done("db\nbefore");
	expect_out("before");
	r = put_outside(TX, false);
	assert_true(r->done);
	fake_drop(driver, r);
	assert_int_equal(service->aborted, 1);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	put_done("behind");
	guest_open(PORT, false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect_quiet();

	/* In place of a name. */
	guest_open(PORT, true);
	r = put_outside(TX, false);
	assert_true(r->done);
	fake_drop(driver, r);
	assert_int_equal(service->opened, 1);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	guest_open(PORT, false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(PORT, true);
	put_done("db\nall");
	expect_out("all");
	assert_false(device_is_broken(driver->device));

	/* The driver's own memory. */
	put_outside(RX, true);
	assert_false(device_is_broken(driver->device));
	fake_say(service->last, "abc", 3);
	assert_true(device_is_broken(driver->device));
}

static void name_in_pieces(void **state)
{
	(void)state;
	guest_open(PORT, true);
	for (const char *p = "pipe:db"; *p; p++) {
		put_done((char []){ *p, '\0' });
		assert_int_equal(service->opened, 0);
	}
	put_done("\nrest");
	assert_string_equal(service->last->name, "db");
	expect_out("rest");
}

/* Windows guests have this driver only, and their lines end with CR LF. */
static void name_ends_at_cr_lf(void **state)
{
	char name[300];

	(void)state;
	/* One CR, and only in front of the newline. */
	guest_open(PORT, true);
	put_done("db\r\r\n");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	guest_open(PORT, false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	memset(name, 'n', sizeof(name));
	strcpy(name + 255, "\r\n");
	guest_open(PORT, true);
	put_done(name);			/* 255 bytes are a name */
	assert_int_equal(service->opened, 1);
	guest_open(PORT, false);
	guest_open(PORT, true);
	put_done("db\r");
	assert_int_equal(service->opened, 1);
	put_done("\nrest");
	assert_string_equal(service->last->name, "db");
	expect_out("rest");
}

static void name_ends_at_nul(void **state)
{
	struct fake_request *r;

	(void)state;
	guest_open(PORT, true);
	driver->cut = 2;
	r = fake_bytes(driver, TX, "db\0\n1", 5);
	fake_kick(driver, TX);
	fake_run(driver);
	fake_drop(driver, r);
	assert_string_equal(service->last->name, "db");
	expect_out("\n1");
}

static void refused_names(void **state)
{
	static const char *const names[] = { "none\n", "denied\n", "\n", "pipe:\n", "a b\n", "+x\n",
					     "a\tb\n" };
	char name[300];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		guest_open(PORT, true);
		put_done(names[i]);
		fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
		put_done("into the void");
		expect_quiet();
		guest_open(PORT, false);
		fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	}
	assert_int_equal(service->opened, 0);

	memset(name, 'n', sizeof(name));
	name[255] = '\n';
	name[256] = '\0';
	guest_open(PORT, true);
	put_done(name);			/* 255 bytes are a name */
	assert_non_null(service->last);
	guest_open(PORT, false);
	name[255] = 'n';
	name[256] = '\n';
	name[257] = '\0';
	guest_open(PORT, true);
	put_done(name);			/* 256 are not */
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	guest_open(PORT, false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	name[256] = 'n';
	name[257] = 'n';
	name[299] = '\0';
	guest_open(PORT, true);
	put_done(name);			/* nor does it need an end */
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	expect_quiet();
	assert_int_equal(service->opened, 1);
}

static void full_service_fills_the_ring(void **state)
{
	struct fake_request *r[4];

	(void)state;
	service->out_room = 3;
	guest_open(PORT, true);
	put_done("db\n");
	r[0] = put("12345");
	r[1] = put("678");
	r[2] = put("9");
	assert_false(r[0]->done || r[1]->done || r[2]->done);
	expect_out("123");
	fake_take(service->last, 1);
	expect_out("1234");
	assert_false(r[0]->done);
	fake_take(service->last, 1);
	assert_true(r[0]->done);
	assert_false(r[1]->done);
	fake_take(service->last, 100);
	expect_out("123456789");
	for (int i = 0; i < 3; i++)
		fake_drop(driver, r[i]);
}

/* 13.2: what is in the ring at PORT_OPEN 0 is the old open's, what comes later the next one's. */
static void close_marks_the_place(void **state)
{
	struct fake_request *r[4];
	struct fake_stream *old;

	(void)state;
	service->out_room = 2;
	guest_open(PORT, true);
	put_done("old\n");
	r[0] = put("abcd");
	r[1] = put("ef");
	old = service->last;
	guest_open(PORT, false);
	guest_open(PORT, true);
	r[2] = put("new\nxy");
	assert_int_equal(service->opened, 1);
	assert_false(old->shut_write);
	fake_take(old, 3);
	assert_true(r[0]->done && !r[1]->done);
	assert_int_equal(service->opened, 1);
	fake_take(old, 50);
	assert_int_equal(old->out_len, 6);
	assert_memory_equal(old->out, "abcdef", 6);
	assert_true(old->shut_write);
	assert_int_equal(service->opened, 2);
	assert_true(r[2]->done);
	assert_string_equal(service->last->name, "new");
	expect_out("xy");
	/* The old one still talks; it is heard and ignored until it ends. */
	fake_say(old, "late", 4);
	assert_int_equal(service->closed, 0);
	fake_end(old);
	assert_int_equal(service->closed, 1);
	assert_int_equal(service->aborted, 0);
	for (int i = 0; i < 3; i++)
		fake_drop(driver, r[i]);
}

/* Three opens in one ring, each with its own chains, the first of them stuck. */
static void opens_queue_up(void **state)
{
	struct fake_request *r[5];
	struct fake_stream *first;

	(void)state;
	service->out_room = 0;
	guest_open(PORT, true);
	put_done("one\n");
	first = service->last;
	r[0] = put("1");
	guest_open(PORT, false);
	guest_open(PORT, true);
	r[1] = put("two\n2");
	r[2] = put("22");
	guest_open(PORT, false);
	guest_open(PORT, true);
	r[3] = put("three\n3");
	r[4] = put("33");
	assert_int_equal(service->opened, 1);
	service->out_room = 10;
	fake_take(first, 10);
	assert_int_equal(service->opened, 3);
	assert_true(first->shut_write);
	assert_int_equal(first->out_len, 1);
	assert_string_equal(service->last->name, "three");
	expect_out("333");
	assert_false(service->last->shut_write);
	for (int i = 0; i < 5; i++)
		fake_drop(driver, r[i]);
}

/* Written, closed, and only then seen by the device. */
static void late_device_still_connects(void **state)
{
	struct fake_request *r[3];

	(void)state;
	guest_open(PORT, true);
	/* No kicks: what the device has not been told of is visible all the same. */
	r[0] = fake_bytes(driver, TX, "na", 2);
	r[1] = fake_bytes(driver, TX, "me\nda", 5);
	r[2] = fake_bytes(driver, TX, "ta", 2);
	guest_open(PORT, false);
	assert_string_equal(service->last->name, "name");
	expect_out("data");
	assert_true(service->last->shut_write);
	fake_end(service->last);
	assert_int_equal(service->closed, 1);
	for (int i = 0; i < 3; i++)
		fake_drop(driver, r[i]);
}

static void connect_takes_time(void **state)
{
	struct fake_request *r;

	(void)state;
	service->answer = 0;
	guest_open(PORT, true);
	r = put("slow\ndata");
	assert_false(r->done);
	guest_open(PORT, false);
	guest_open(PORT, true);
	service->last->peer->ops->connected(service->last->peer);
	fake_run(driver);
	assert_true(r->done);
	expect_out("data");
	assert_true(service->last->shut_write);
	fake_drop(driver, r);
	fake_end(service->last);

	/* And one that never answers. */
	r = put("never\nx");
	assert_false(r->done);
	fake_pass_time(driver, CONNECT_MS);
	assert_true(r->done);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	fake_drop(driver, r);
}

static void linger_limit(void **state)
{
	struct fake_request *r;

	(void)state;
	service->out_room = 1;
	guest_open(PORT, true);
	put_done("stuck\n");
	r = put("abc");
	guest_open(PORT, false);
	fake_pass_time(driver, LINGER_MS - 1);
	assert_non_null(service->last);
	assert_false(r->done);
	fake_pass_time(driver, 1);
	assert_null(service->last);
	assert_int_equal(service->aborted, 1);
	assert_true(r->done);
	fake_drop(driver, r);
	assert_int_equal(stats_now().core.aborted, 1);
}

static void failing_service(void **state)
{
	struct fake_request *r;

	(void)state;
	guest_open(PORT, true);
	put_done("db\n");
	r = room(10);
	service->last->in_error = -ECONNRESET;
	fake_notify(service->last);
	assert_false(r->done);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	put_done("thrown away");
	guest_open(PORT, false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(PORT, true);
	put_done("db\n");
	service->last->out_room = 0;
	service->last->out_error = -EIO;
	put_done("x");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	guest_open(PORT, false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	/* A service that only stops listening goes on talking. */
	guest_open(PORT, true);
	put_done("db\n");
	service->last->out_room = 0;
	service->last->out_error = -EPIPE;
	put_done("y");
	put_done("z");
	fake_say(service->last, "talk", 4);
	expect_bytes(r, "talk");
	expect_quiet();
	guest_open(PORT, false);
	fake_end(service->last);
	assert_int_equal(service->closed, 3);
}

/* A closed node gets nothing, and nothing of it reaches the next open. */
static void closed_guest_gets_nothing(void **state)
{
	struct fake_request *r = NULL;

	(void)state;
	guest_open(PORT, true);
	put_done("one\n");
	r = room(10);
	guest_open(PORT, false);
	fake_say(service->last, "late", 4);
	assert_false(r->done);
	guest_open(PORT, true);
	put_done("two\n");
	fake_say(service->last, "new", 3);
	expect_bytes(r, "new");
}

static void limits(void **state)
{
	(void)state;
	/* Four channels linger: the fifth open finds no place until one is gone. */
	for (int i = 0; i < 4; i++) {
		guest_open(PORT, true);
		put_done("db\n");
		guest_open(PORT, false);
	}
	expect_quiet();
	guest_open(PORT, true);
	put_done("db\n");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_int_equal(service->opened, 4);
	guest_open(PORT, false);
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	fake_pass_time(driver, LINGER_MS);
	guest_open(PORT, true);
	put_done("db\n");
	assert_int_equal(service->opened, 5);
	/* Opening and closing alone costs nothing. */
	for (int i = 0; i < 10000; i++) {
		guest_open(PORT, false);
		guest_open(PORT, true);
	}
	expect_quiet();
}

static void restart_of_rings(void **state)
{
	struct fake_request *rx, *tx;

	(void)state;
	service->out_room = 2;
	guest_open(PORT, true);
	put_done("db\n");
	rx = room(10);
	tx = put("abcd");
	fake_stop(driver, RX);
	fake_stop(driver, TX);
	fake_run(driver);
	assert_false(rx->done || tx->done);
	fake_say(service->last, "while away", 10);
	fake_take(service->last, 10);
	assert_false(rx->done || tx->done);
	fake_start(driver, RX);
	fake_start(driver, TX);
	fake_run(driver);
	expect_bytes(rx, "while away");
	assert_true(tx->done);
	fake_drop(driver, tx);
	expect_out("abcd");
}

/* Without DEVICE_READY: what the stock driver does after a suspend. */
static void resume(void **state)
{
	(void)state;
	guest_open(PORT, true);
	put_done("db\n");
	guest_sleeps();
	assert_int_equal(service->closed, 1);
	port_ready(PORT, "multi");
	fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_open(PORT, true);
	put_done("db\nx");
	expect_out("x");
}

static void odd_chains(void **state)
{
	struct fake_request *r;

	(void)state;
	guest_open(PORT, true);
	/* Nothing readable on the transmit queue: comes back, harmless. */
	r = fake_room(driver, TX, 10);
	fake_kick(driver, TX);
	fake_run(driver);
	assert_true(r->done);
	fake_drop(driver, r);
	put_done("db\n");
	/* Nothing writable on the receive queue: nothing can ever be done with it. */
	r = fake_bytes(driver, RX, "x", 1);
	fake_kick(driver, RX);
	fake_say(service->last, "y", 1);
	assert_true(device_is_broken(driver->device));
}

static void much_data(void **state)
{
	size_t total = 0, len = 300000;
	char *bytes = malloc(len);
	struct fake_request *r[16];

	(void)state;
	for (size_t i = 0; i < len; i++)
		bytes[i] = i * 7 + i / 251;
	guest_open(PORT, true);
	put_done("db\n");
	driver->cut = 30000;
	for (int i = 0; i < 2; i++) {
		r[i] = fake_bytes(driver, TX, bytes, len);
		fake_kick(driver, TX);
	}
	fake_run(driver);
	assert_int_equal(service->last->out_len, 2 * len);
	assert_memory_equal(service->last->out, bytes, len);
	assert_memory_equal(service->last->out + len, bytes, len);
	fake_say(service->last, bytes, len);
	driver->cut = 0;
	for (int i = 0; i < 2; i++)
		fake_drop(driver, r[i]);
	while (total < len) {
		r[0] = room(4096);
		assert_true(r[0]->done && r[0]->used > 0);
		assert_memory_equal(fake_at(driver, r[0]->writable), bytes + total, r[0]->used);
		total += r[0]->used;
		fake_drop(driver, r[0]);
	}
	free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_ready, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_open), TEST(buffer_outside_memory),
		TEST(name_in_pieces), TEST(name_ends_at_nul), TEST(refused_names),
		TEST(name_ends_at_cr_lf),
		TEST(full_service_fills_the_ring), TEST(close_marks_the_place),
		TEST(opens_queue_up),
		TEST(late_device_still_connects), TEST(connect_takes_time), TEST(linger_limit),
		TEST(failing_service), TEST(closed_guest_gets_nothing), TEST(limits),
		TEST(restart_of_rings), TEST(resume), TEST(odd_chains), TEST(much_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
