// SPDX-License-Identifier: MIT
/* When the ring calls and when it wants kicks: flags, EVENT_IDX, and both at speed. */

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "guest_ram.h"

static struct mem mem;
static struct ring ring;
static struct driver drv;
static struct ring_chain chain;

static int setup(void **state)
{
	(void)state;
	ram_create(&mem);
	driver_create(&drv, &ring, &mem, 8);
	for (int i = 0; i < 8; i++)
		desc_set(&drv.desc[i], DRIVER_DATA, 4, VRING_DESC_F_WRITE, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ram_destroy(&mem);
	return 0;
}

static void start(uint16_t base, bool event_idx)
{
	ring.event_idx = event_idx;
	drv.avail->idx = base;
	drv.used->idx = base;
	assert_int_equal(ring_start(&ring, &mem, base), 0);
}

/* Takes, gives and publishes @n chains at once. */
static bool serve(int n)
{
	for (int i = 0; i < n; i++) {
		driver_offer(&drv, i);
		assert_int_equal(ring_take(&ring, &chain), 1);
	}
	for (int i = 0; i < n; i++)
		ring_give(&ring, i, 4);
	return ring_publish(&ring);
}

static void flags_decide_without_event_idx(void **state)
{
	(void)state;
	start(0, false);
	*driver_used_event(&drv) = 77;
	assert_true(serve(1));
	assert_false(ring_publish(&ring));	/* nothing new */
	drv.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_false(serve(1));
	drv.avail->flags = 0;
	assert_true(serve(1));

	assert_false(ring_want_kick(&ring, false));
	assert_int_equal(drv.used->flags, VRING_USED_F_NO_NOTIFY);
	driver_offer(&drv, 0);
	assert_true(ring_want_kick(&ring, true));
	assert_int_equal(drv.used->flags, 0);
	assert_int_equal(*driver_avail_event(&drv), 0);
	assert_int_equal(ring_take(&ring, &chain), 1);
	assert_false(ring_want_kick(&ring, true));
	/* A start asks for kicks, whatever was asked before. */
	ring_want_kick(&ring, false);
	assert_int_equal(ring_start(&ring, &mem, ring_stop(&ring)), 0);
	assert_int_equal(drv.used->flags, 0);
}

static void kicks_with_event_idx(void **state)
{
	(void)state;
	start(65534, true);
	assert_int_equal(*driver_avail_event(&drv), 65534);
	for (int i = 0; i < 4; i++) {
		driver_offer(&drv, i);
		assert_true(ring_want_kick(&ring, true));
		assert_int_equal(*driver_avail_event(&drv), (uint16_t)(65534 + i));
		assert_int_equal(ring_take(&ring, &chain), 1);
		assert_false(ring_want_kick(&ring, true));
		assert_int_equal(*driver_avail_event(&drv), (uint16_t)(65535 + i));
	}
	/* The flags are not in use [virtio-1.2 2.7.10]. */
	assert_false(ring_want_kick(&ring, false));
	assert_int_equal(drv.used->flags, 0);
}

static void calls_with_event_idx(void **state)
{
	(void)state;
	start(0, true);
	*driver_used_event(&drv) = 30000;
	assert_true(serve(1));		/* first after the start, always */
	assert_false(serve(1));
	*driver_used_event(&drv) = 4;	/* when index 4 has been used */
	assert_false(serve(2));
	assert_true(serve(1));
	assert_false(serve(1));
	*driver_used_event(&drv) = 8;	/* in the middle of a batch */
	assert_true(serve(6));
	drv.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;	/* not looked at */
	*driver_used_event(&drv) = ring.used_idx;
	assert_true(serve(1));
}

static void calls_across_the_wrap(void **state)
{
	(void)state;
	for (unsigned int at = 65530; at < 65536 + 6; at++) {
		start(65528, true);
		assert_true(serve(1));
		*driver_used_event(&drv) = at;
		for (unsigned int used = 65529; used < 65536 + 8; used++)
			assert_int_equal(serve(1), used == at);
	}
	/* A batch over the wrap, with the event on each side of it. */
	for (unsigned int at = 65530; at < 65536 + 8; at++) {
		start(65531, true);
		assert_true(serve(1));
		*driver_used_event(&drv) = at;
		assert_int_equal(serve(8), at >= 65532 && at < 65540);
	}
}

/* --- Two threads, few entries, no call or kick may get lost --------------- */

#define CHAINS 100000
#define LIMIT_MS 60000

static int kick_fd, call_fd;
static bool with_event_idx;

static bool wait_for(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t count;

	return poll(&pfd, 1, LIMIT_MS) == 1 && read(fd, &count, 8) == 8;
}

static void notify(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, 8) != 8)
		abort();
}

static void driver_barrier(void)
{
	static int any;

	__atomic_fetch_add(&any, 0, __ATOMIC_SEQ_CST);
}

static uint16_t load(uint16_t *field)
{
	return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

static void store(uint16_t *field, uint16_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static void offer_and_kick(uint16_t head)
{
	uint16_t old = drv.avail->idx;
	bool kick;

	store(&drv.avail->ring[old & (drv.size - 1)], head);
	__atomic_store_n(&drv.avail->idx, (uint16_t)(old + 1), __ATOMIC_RELEASE);
	driver_barrier();
	kick = with_event_idx ? vring_need_event(load(driver_avail_event(&drv)), old + 1, old) :
				!(load(&drv.used->flags) & VRING_USED_F_NO_NOTIFY);
	if (kick)
		notify(kick_fd);
}

/* Keeps all entries with the device; sleeps only when all of them are there. */
static void *drive(void *unused)
{
	uint16_t seen = 0;
	unsigned long offered = 0, back = 0;

	(void)unused;
	for (; offered < drv.size; offered++)
		offer_and_kick(offered);
	while (back < CHAINS) {
		if (with_event_idx)
			store(driver_used_event(&drv), seen);
		else
			store(&drv.avail->flags, 0);
		driver_barrier();
		if (load(&drv.used->idx) == seen && !wait_for(call_fd))
			return "a call was lost";
		if (!with_event_idx)
			store(&drv.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
		while (seen != load(&drv.used->idx)) {
			uint16_t head = drv.used->ring[seen & (drv.size - 1)].id;

			seen++;
			back++;
			if (offered++ < CHAINS)
				offer_and_kick(head);
		}
	}
	return NULL;
}

/* The device: all that is visible, one publish, sleep when nothing is. */
static bool serve_all(void)
{
	unsigned long served = 0;

	while (served < CHAINS) {
		ring_want_kick(&ring, false);
		while (ring_take(&ring, &chain) == 1) {
			ring_give(&ring, chain.head, 4);
			served++;
			if (served % 3 == 0 && ring_publish(&ring))
				notify(call_fd);
		}
		if (ring_publish(&ring))
			notify(call_fd);
		if (ring.broken)
			return false;
		if (!ring_want_kick(&ring, true) && served < CHAINS && !wait_for(kick_fd))
			return false;
	}
	return true;
}

static void nothing_lost(bool event_idx)
{
	void *verdict;
	pthread_t thread;

	with_event_idx = event_idx;
	kick_fd = eventfd(0, EFD_CLOEXEC);
	call_fd = eventfd(0, EFD_CLOEXEC);
	start(0, event_idx);
	assert_int_equal(pthread_create(&thread, NULL, drive, NULL), 0);
	assert_true(serve_all());
	pthread_join(thread, &verdict);
	assert_null(verdict);
	close(kick_fd);
	close(call_fd);
}

/*
 * One entry and one side that never sleeps, so that each chain is a race between the
 * other side's "I go to sleep" and this side's "here is something": what the
 * full barriers are for.
 */
static atomic_bool over;

/* Sweeps the time between the two sides, up to a microsecond or so. */
static void delay(unsigned long i)
{
	for (volatile unsigned int left = i * 7919 % 1024; left; left--)
		;
}

static void *drive_and_sleep(void *unused)
{
	const char *verdict = NULL;

	(void)unused;
	for (unsigned long i = 0; i < CHAINS && !verdict; i++) {
		uint16_t seen = drv.avail->idx;

		offer_and_kick(0);
		delay(i);
		store(driver_used_event(&drv), seen);
		driver_barrier();
		while (load(&drv.used->idx) == seen && !verdict)
			verdict = wait_for(call_fd) ? NULL : "a call was lost";
	}
	atomic_store(&over, true);
	return (void *)verdict;
}

static void *drive_and_spin(void *unused)
{
	(void)unused;
	for (unsigned long i = 0; i < CHAINS && !atomic_load(&over); i++) {
		uint16_t seen = drv.avail->idx;

		offer_and_kick(0);
		while (load(&drv.used->idx) == seen && !atomic_load(&over))
			;
	}
	return NULL;
}

static bool serve_one(void)
{
	if (ring_take(&ring, &chain) != 1)
		return false;
	ring_give(&ring, chain.head, 4);
	if (ring_publish(&ring))
		notify(call_fd);
	return true;
}

static bool serve_and_sleep(void)
{
	for (unsigned long served = 0; served < CHAINS;) {
		delay(served);
		if (serve_one())
			served++;
		else if (!ring_want_kick(&ring, true) && !wait_for(kick_fd))
			return false;
	}
	return true;
}

static void race(void *(*drive_it)(void *), bool sleep)
{
	bool lost = false;
	void *verdict;
	pthread_t thread;

	driver_create(&drv, &ring, &mem, 1);
	with_event_idx = true;
	kick_fd = eventfd(0, EFD_CLOEXEC);
	call_fd = eventfd(0, EFD_CLOEXEC);
	start(0, true);
	atomic_store(&over, false);
	assert_int_equal(pthread_create(&thread, NULL, drive_it, NULL), 0);
	if (sleep)
		lost = !serve_and_sleep();
	else
		while (!atomic_load(&over))
			serve_one();
	atomic_store(&over, true);
	pthread_join(thread, &verdict);
	assert_null(verdict);
	assert_false(lost);
	close(kick_fd);
	close(call_fd);
}

static void no_call_lost_in_a_race(void **state)
{
	(void)state;
	race(drive_and_sleep, false);
}

static void no_kick_lost_in_a_race(void **state)
{
	(void)state;
	race(drive_and_spin, true);
}

static void nothing_lost_with_event_idx(void **state)
{
	(void)state;
	nothing_lost(true);
}

static void nothing_lost_with_flags(void **state)
{
	(void)state;
	nothing_lost(false);
}

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(flags_decide_without_event_idx),
		RING_TEST(kicks_with_event_idx),
		RING_TEST(calls_with_event_idx),
		RING_TEST(calls_across_the_wrap),
		RING_TEST(nothing_lost_with_event_idx),
		RING_TEST(nothing_lost_with_flags),
		RING_TEST(no_call_lost_in_a_race),
		RING_TEST(no_kick_lost_in_a_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
