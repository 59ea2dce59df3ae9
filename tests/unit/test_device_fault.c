// SPDX-License-Identifier: MIT
/*
 * Memory that the device cannot reach [protocol.md 6.9, 10.7]: a payload costs its request and
 * nothing moves; header, result and event buffers cost the device.
 */
#include <sys/socket.h>

#include "device_world.h"

#define OUTSIDE 0x10UL	/* below the first byte of memory */

static int setup(void **state)
{
	(void)state;
	world_create(64, 256);
	world_boot(8);
	connect_to(0, 1, "db");
	return 0;
}

/* A request that is cut into descriptors of @cut bytes, of which number @stray lies outside. */
static struct fake_request *offer_stray(unsigned int queue, struct fake_request *r,
					unsigned int cut, unsigned int stray, uint64_t where)
{
	struct fake_queue *q = &driver->queues[queue];
	unsigned int idx;

	driver->cut = cut;
	fake_offer(driver, r);
	driver->cut = 0;
	for (idx = r->head; stray; stray--) {
		assert_true(q->desc[idx].flags & VRING_DESC_F_NEXT);
		idx = q->desc[idx].next;
	}
	q->desc[idx].addr = where;
	return r;
}

/* Headers have 32 bytes: descriptor 1 is the first of a WRITE's payload. */
static struct fake_request *stray_write(uint32_t slot, uint64_t offset, const char *bytes,
					unsigned int stray)
{
	struct fake_request *r = fake_make(driver, TX, MP_OP_WRITE, slot, 1, offset, bytes,
					   strlen(bytes));

	return offer_stray(TX, r, 32, stray, OUTSIDE);
}

/* Cut at 24 bytes: two descriptors of header, the result, the payload. */
static struct fake_request *stray_read(unsigned int queue, uint32_t slot, uint64_t offset,
				       uint32_t len, unsigned int stray)
{
	struct fake_request *r = fake_make(driver, queue, MP_OP_READ, slot, 1, offset, NULL, len);

	return offer_stray(queue, r, 24, stray, OUTSIDE);
}

static struct mp_result now(unsigned int queue, struct fake_request *r)
{
	fake_kick(driver, queue);
	return finish(r);
}

static void expect_untouched(struct mp_result result, uint64_t offset, uint16_t bits)
{
	expect_state(result, MP_FAULT, bits, 0);
	assert_int_equal(le32toh(result.count), 0);
	assert_int_equal(le64toh(result.offset), offset);
	assert_false(device_is_broken(driver->device));
}

static void write_costs_one_request(void **state)
{
	struct fake_request *r[4];
	struct mp_result result;

	(void)state;
	r[0] = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 0, "abcd", 4);
	fake_offer(driver, r[0]);
	r[1] = stray_write(0, 4, "efgh", 1);
	r[2] = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 8, "ijkl", 4);
	fake_offer(driver, r[2]);
	r[3] = stray_write(0, 12, "mnop", 1);
	fake_kick(driver, TX);
	expect_result(finish(r[0]), MP_OK, 4);
	expect_untouched(finish(r[1]), 4, CONNECTED);
	/* Those behind it leave no hole; what cannot be reached there does not matter. */
	for (int i = 2; i < 4; i++) {
		result = finish(r[i]);
		expect_result(result, MP_ORDER, 0);
		assert_int_equal(le64toh(result.offset), 4);
	}
	expect_result(write_to(0, 1, 4, "efghijkl", 8), MP_OK, 8);
	assert_int_equal(service->last->out_len, 12);
	assert_memory_equal(service->last->out, "abcdefghijkl", 12);
	/* Nothing was armed: a service that calls makes no event. */
	expect_no_event();
}

/* Also where all but the last bytes could be read. */
static void nothing_moves(void **state)
{
	char bytes[101];

	(void)state;
	memset(bytes, 'x', 100);
	bytes[100] = 0;
	expect_untouched(now(TX, stray_write(0, 0, bytes, 4)), 0, CONNECTED);
	assert_int_equal(service->last->writes, 0);
	fake_say(service->last, bytes, 100);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
	expect_untouched(now(TX, stray_read(TX, 0, 0, 100, 7)), 0, CONNECTED | MP_ST_IN);
	assert_int_equal(service->last->in_len, 100);
	expect_result(write_to(0, 1, 0, bytes, 100), MP_OK, 100);
	expect_result(read_from(0, 1, 0, NULL, 100), MP_OK, 100);
}

static void wild_addresses(void **state)
{
	static const uint64_t wild[] = {
		0, RAM_BASE - 1, RAM_BASE + RAM_SIZE - 1, RAM_BASE + RAM_SIZE, UINT64_MAX,
		UINT64_MAX - 3, RAM_BASE + RAM_USER,
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		struct fake_request *r = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 0, "abcd", 4);

		expect_untouched(now(TX, offer_stray(TX, r, 32, 1, wild[i])), 0, CONNECTED);
	}
}

/* Boundaries of descriptors mean nothing: one holds the header and a payload that leaves. */
static void payload_leaves_memory(void **state)
{
	struct fake_request *r = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 0, "abcdefgh", 8);
	uint64_t where = RAM_BASE + RAM_SIZE - sizeof(struct mp_request) - 4;

	(void)state;
	memcpy(fake_at(driver, where), fake_at(driver, r->readable),
	       sizeof(struct mp_request) + 4);
	expect_untouched(now(TX, offer_stray(TX, r, 0, 0, where)), 0, CONNECTED);
	/* An address that wraps behind a header that does not. */
	expect_result(write_to(0, 1, 0, "a", 1), MP_OK, 1);
}

/* What the request gets anyway comes first. */
static void other_answers_first(void **state)
{
	(void)state;
	expect_result(now(TX, stray_write(0, 7, "x", 1)), MP_ORDER, 0);
	expect_result(now(TX, stray_write(3, 0, "x", 1)), MP_STALE, 0);
	expect_result(now(TX, stray_read(TX, 0, 7, 9, 3)), MP_ORDER, 0);
	fake_end(service->last);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
	expect_result(read_from(0, 1, 0, NULL, 9), MP_OK, 0);
	expect_result(now(TX, stray_read(TX, 0, 0, 9, 3)), MP_OK, 0);	/* the end */
	service->last->out_room = 0;
	service->last->out_error = -EPIPE;
	expect_result(write_to(0, 1, 0, "x", 1), MP_ENDED, 0);
	expect_result(now(TX, stray_write(0, 0, "x", 1)), MP_ENDED, 0);
}

/* It would be parked, so it would wait for bytes that cannot be put anywhere. */
static void read_is_not_parked(void **state)
{
	struct fake_request *r;

	(void)state;
	expect_untouched(now(RX, stray_read(RX, 0, 0, 48, 4)), 0, CONNECTED);
	assert_int_equal(stats_now().parked, 0);
	expect_result(read_from(0, 1, 0, NULL, 9), MP_AGAIN, 0);
	expect_untouched(now(RX, stray_read(RX, 0, 0, 48, 4)), 0, CONNECTED);
	r = fetch(0, 1, 0);
	assert_int_equal(stats_now().parked, 1);
	fake_say(service->last, "abc", 3);
	expect_result(finish(r), MP_OK, 3);
}

static void connect_costs_one_request(void **state)
{
	uint8_t payload[sizeof(struct mp_connect) + 16];
	uint32_t len = make_connect(payload, "db");
	struct fake_request *r = fake_make(driver, TX, MP_OP_CONNECT, 1, 1, 0, payload, len);
	struct mp_result result = now(TX, offer_stray(TX, r, 32, 1, OUTSIDE));

	(void)state;
	expect_state(result, MP_FAULT, 0, 0);
	assert_int_equal(le32toh(result.state.seq), 0);
	assert_int_equal(service->opened, 1);
	expect_result(write_to(1, 1, 0, "x", 1), MP_STALE, 0);
	expect_state(connect_to(1, 1, "db"), MP_OK, CONNECTED, 0);
}

/* The kernel, on its way to a socket, meets a hole that only it can see. */
static void kernel_cannot_reach(void **state)
{
	struct fake_request *r;
	struct mp_result result;
	char buf[16];

	(void)state;
	service->last->out_room = 3;
	service->last->out_error = -EFAULT;
	result = write_to(0, 1, 0, "abcdefgh", 8);
	expect_state(result, MP_FAULT, CONNECTED, 0);
	assert_int_equal(le32toh(result.count), 3);
	assert_int_equal(le64toh(result.offset), 3);
	result = write_to(0, 1, 3, "defgh", 5);
	expect_untouched(result, 3, CONNECTED);
	service->last->out_room = 100;
	expect_result(write_to(0, 1, 3, "defgh", 5), MP_OK, 5);
	assert_memory_equal(service->last->out, "abcdefgh", 8);

	service->last->in_error = -EFAULT;
	fake_say(service->last, "abc", 3);
	expect_event(0, 1, CONNECTED | MP_ST_IN, 0);
	result = read_from(0, 1, 0, buf, 8);
	expect_state(result, MP_FAULT, CONNECTED | MP_ST_IN, 0);
	assert_int_equal(le32toh(result.count), 3);
	assert_int_equal(le64toh(result.offset), 3);
	assert_memory_equal(buf, "abc", 3);
	expect_untouched(read_from(0, 1, 3, NULL, 8), 3, CONNECTED | MP_ST_IN);

	/* A parked one. */
	service->last->in_error = 0;
	r = fetch(0, 1, 3);
	assert_false(r->done);
	service->last->in_error = -EFAULT;
	fake_say(service->last, "", 0);
	expect_untouched(finish(r), 3, CONNECTED | MP_ST_IN);
	service->last->in_error = 0;
	service->last->in_end = true;
	expect_result(read_from(0, 1, 3, NULL, 8), MP_OK, 0);
	assert_int_equal(service->aborted, 0);
	assert_false(mem_guard_is_tripped());	/* all that memory is there */
}

static void broken_by(struct fake_request *r, unsigned int queue)
{
	(void)r;
	fake_kick(driver, queue);
	fake_run(driver);
	assert_true(device_is_broken(driver->device));
	assert_int_equal(service->opened, service->closed);
}

static void header_costs_the_device(void **state)
{
	(void)state;
	broken_by(stray_write(0, 0, "abcd", 0), TX);
}

static void half_a_header_costs_the_device(void **state)
{
	(void)state;
	broken_by(stray_read(TX, 0, 0, 9, 1), TX);
}

static void result_costs_the_device(void **state)
{
	(void)state;
	broken_by(stray_read(TX, 0, 0, 9, 2), TX);
}

static void event_buffer_costs_the_device(void **state)
{
	struct fake_request *r = fake_new(driver, FAKE_RAW, RX, 0, sizeof(struct mp_event));

	(void)state;
	broken_by(offer_stray(RX, r, 0, 0, OUTSIDE), RX);
}

static void control_message_costs_the_device(void **state)
{
	struct fake_request *r = fake_new(driver, FAKE_RAW, 3, 8, 0);

	(void)state;
	broken_by(offer_stray(3, r, 0, 0, OUTSIDE), 3);
}

/* No kick follows a service's call: the owner is asked to run the device, and looks then. */
static void broken_by_a_service_is_told(void **state)
{
	struct fake_request *r = fetch(0, 1, 0);

	(void)state;
	assert_false(r->done);
	driver->manual = true;
	driver->woken = false;
	assert_int_equal(mem_remove(&driver->mem, RAM_BASE, RAM_BASE + RAM_USER, RAM_HALF), 0);
	fake_say(service->last, "abc", 3);
	assert_true(device_is_broken(driver->device));
	assert_true(driver->woken);
}

#define MORE (RAM_BASE + RAM_SIZE + 0x10000)

/* More memory, of one page, from a file of its own. */
static int add_page(void)
{
	int fd = memfd_create("more", MFD_CLOEXEC);

	assert_int_equal(mem_guard_install(), 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(mem_add(&driver->mem, MORE, MORE + RAM_USER, 4096, 0, fd), 0);
	return fd;
}

/* Its file is gone; from now on the test runs the device. */
static void take_page(int fd)
{
	driver->manual = true;
	driver->woken = false;
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
}

/* The owner will be called, and will find out. */
static void expect_trip(void)
{
	assert_true(mem_guard_is_tripped());
	assert_true(driver->woken);
	assert_true(mem_guard_tripped());
}

/* A READ waits at the device, its payload in a page of its own. Returns the page's descriptor. */
static int park_into_page(struct fake_request **r)
{
	int fd = add_page();

	*r = fake_make(driver, RX, MP_OP_READ, 0, 1, 0, NULL, 24);
	offer_stray(RX, *r, 24, 3, MORE);
	fake_kick(driver, RX);
	fake_run(driver);
	assert_int_equal(stats_now().parked, 1);
	return fd;
}

/* The map changes while a READ waits. Its answer has the state of now: the bytes are there. */
static void parked_read_loses_its_payload(void **state)
{
	struct fake_request *r;
	int fd = park_into_page(&r);

	(void)state;
	assert_int_equal(mem_remove(&driver->mem, MORE, MORE + RAM_USER, 4096), 0);
	close(fd);
	fake_say(service->last, "abc", 3);
	expect_untouched(finish(r), 0, CONNECTED | MP_ST_IN);
	expect_no_event();
	expect_state(read_from(0, 1, 0, NULL, 3), MP_OK, CONNECTED | MP_ST_IN, 0);
}

static void truncated_under_a_service_is_told(void **state)
{
	struct fake_request *r;
	int fd = park_into_page(&r);

	(void)state;
	assert_false(r->done);
	take_page(fd);
	fake_say(service->last, "abc", 3);
	expect_trip();
}

/* Where the kernel meets the hole it raises no signal. The stream keeps its bytes. */
static void truncated_under_the_kernel_is_told(void **state)
{
	struct fake_request *r = fake_make(driver, RX, MP_OP_READ, 0, 1, 0, NULL, 24);
	int fd = add_page(), pair[2];
	char buf[8];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	service->last->fd = pair[0];
	offer_stray(RX, r, 24, 3, MORE);
	fake_kick(driver, RX);
	assert_int_equal(stats_now().parked, 1);
	take_page(fd);
	assert_int_equal(write(pair[1], "abc", 3), 3);
	service->last->owes_readable = false;
	service->last->peer->ops->readable(service->last->peer);
	expect_trip();
	assert_int_equal(read(pair[0], buf, sizeof(buf)), 3);
	/* The other direction. */
	driver->woken = false;
	offer_stray(TX, fake_make(driver, TX, MP_OP_WRITE, 0, 1, 0, "abcd", 4), 32, 1, MORE);
	fake_kick(driver, TX);
	expect_trip();
	assert_int_equal(read(pair[1], buf, sizeof(buf)), -1);
	close(pair[0]);
	close(pair[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(write_costs_one_request),
		TEST(nothing_moves),
		TEST(wild_addresses),
		TEST(payload_leaves_memory),
		TEST(other_answers_first),
		TEST(read_is_not_parked),
		TEST(connect_costs_one_request),
		TEST(kernel_cannot_reach),
		TEST(header_costs_the_device),
		TEST(half_a_header_costs_the_device),
		TEST(result_costs_the_device),
		TEST(event_buffer_costs_the_device),
		TEST(control_message_costs_the_device),
		TEST(broken_by_a_service_is_told),
		TEST(parked_read_loses_its_payload),
		TEST(truncated_under_a_service_is_told),
		TEST(truncated_under_the_kernel_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
