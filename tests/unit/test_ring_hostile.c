// SPDX-License-Identifier: MIT
/*
 * The ring with a driver that breaks the rules: each breach costs the ring, is
 * seen at once, and touches nothing outside guest memory (guest_ram.h faults).
 */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest_ram.h"

#define NEXT	 VRING_DESC_F_NEXT
#define WRITE	 VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

static struct mem mem;
static struct ring ring;
static struct driver drv;
static struct ring_chain chain;

static int setup(void **state)
{
	(void)state;
	ram_create(&mem);
	driver_create(&drv, &ring, &mem, 8);
	ring.indirect = true;
	return ring_start(&ring, &mem, 0);
}

static int teardown(void **state)
{
	(void)state;
	ram_destroy(&mem);
	return 0;
}

/* Broken, for every call, until the ring is started again. */
static void assert_broken(void)
{
	uint16_t used = drv.used->idx;

	assert_int_equal(ring_take(&ring, &chain), -EPROTO);
	assert_int_equal(ring_take(&ring, &chain), -EPROTO);
	assert_int_equal(ring_waiting(&ring), -EPROTO);
	ring_give(&ring, 0, 0);
	assert_false(ring_publish(&ring));
	assert_false(ring_want_kick(&ring, true));
	assert_int_equal(drv.used->idx, used);
	assert_int_equal(ring_stop(&ring), ring.last_avail);
	drv.avail->idx = 0;
	assert_int_equal(ring_start(&ring, &mem, 0), 0);
	assert_int_equal(ring_take(&ring, &chain), 0);
}

static void offer_broken(uint16_t head)
{
	driver_offer(&drv, head);
	assert_broken();
}

static void head_out_of_range(void **state)
{
	(void)state;
	offer_broken(8);
	offer_broken(65535);
}

static void next_out_of_range(void **state)
{
	(void)state;
	desc_set(&drv.desc[0], DRIVER_DATA, 1, NEXT, 8);
	offer_broken(0);
	desc_set(&drv.desc[0], DRIVER_DATA, 1, NEXT, 65535);
	offer_broken(0);
}

static void loops(void **state)
{
	(void)state;
	desc_set(&drv.desc[0], DRIVER_DATA, 1, NEXT, 0);
	offer_broken(0);
	for (int i = 0; i < 8; i++)
		desc_set(&drv.desc[i], DRIVER_DATA, 1, NEXT | WRITE, (i + 1) % 8);
	offer_broken(3);
}

static void avail_index_too_far(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		desc_set(&drv.desc[i], DRIVER_DATA, 1, 0, 0);
	drv.avail->idx = 9;
	assert_true(ring_want_kick(&ring, true));
	assert_broken();
	drv.avail->idx = 65535;		/* backwards is far ahead */
	assert_broken();
	/* With chains out, less room is left. */
	driver_offer(&drv, 0);
	assert_int_equal(ring_take(&ring, &chain), 1);
	drv.avail->idx = 8;
	assert_int_equal(ring_waiting(&ring), 7);
	drv.avail->idx = 9;
	assert_int_equal(ring_waiting(&ring), -EPROTO);
	assert_broken();
}

static void head_that_is_out(void **state)
{
	(void)state;
	desc_set(&drv.desc[2], DRIVER_DATA, 1, 0, 0);
	driver_offer(&drv, 2);
	assert_int_equal(ring_take(&ring, &chain), 1);
	ring_give(&ring, 3, 0);		/* never taken: ignored */
	ring_give(&ring, 9, 0);
	assert_int_equal(ring.taken, 1);
	offer_broken(2);
	driver_offer(&drv, 2);
	assert_int_equal(ring_take(&ring, &chain), 1);
	ring_give(&ring, 2, 0);
	ring_give(&ring, 2, 0);		/* twice: ignored */
	assert_int_equal(ring.taken, 0);
	driver_offer(&drv, 2);
	assert_int_equal(ring_take(&ring, &chain), 1);
}

/*
 * What is there, the ring takes: what an address outside of memory costs is for whoever
 * uses the segment. An indirect table is the ring's own.
 */
static void addresses_outside_memory(void **state)
{
	static const struct { uint64_t addr; uint32_t len; } bad[] = {
		{ 0, 1 },
		{ RAM_A - 1, 1 },
		{ RAM_A - 1, 2 },
		{ RAM_HOLE, 1 },
		{ RAM_HOLE - 1, 2 },
		{ RAM_A, RAM_HOLE - RAM_A + 1 },
		{ RAM_A, UINT32_MAX },
		{ RAM_A, INT32_MAX },
		{ RAM_C + RAM_C_SIZE - 1, 2 },
		{ RAM_C + RAM_C_SIZE, 1 },
		{ RAM_TOP, RAM_TOP_SIZE + 1 },
		{ RAM_TOP + RAM_TOP_SIZE, RAM_PAGE },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, UINT32_MAX },
		{ UINT64_MAX - 7, 16 },
		{ RAM_TOP, UINT32_MAX },
		{ DRIVER_DATA + RAM_USER, 1 },	/* the front end's address */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		desc_set(&drv.desc[0], DRIVER_DATA, 1, NEXT, 1);
		desc_set(&drv.desc[1], bad[i].addr, bad[i].len, WRITE, 0);
		driver_offer(&drv, 0);
		assert_int_equal(ring_take(&ring, &chain), 1);
		assert_int_equal(chain.segments[1].addr.value, bad[i].addr);
		assert_int_equal(chain.segments[1].len, bad[i].len);
		assert_true(mem_reach(&mem, chain.segments[1].addr, bad[i].len) < bad[i].len);
		ring_give(&ring, 0, 0);
	}
	assert_int_equal(mem_reach(&mem, gpa(RAM_A), RAM_HOLE - RAM_A), RAM_HOLE - RAM_A);
	assert_int_equal(mem_reach(&mem, gpa(RAM_TOP), RAM_TOP_SIZE), RAM_TOP_SIZE);
	assert_false(ring.has_missing);
	desc_set(&drv.desc[0], RAM_HOLE - 16, 32, INDIRECT, 0);
	driver_offer(&drv, 0);
	assert_int_equal(ring_take(&ring, &chain), -EPROTO);
	assert_true(ring.has_missing);
	assert_int_equal(ring.missing.value, RAM_HOLE);
}

static void zero_length(void **state)
{
	(void)state;
	desc_set(&drv.desc[0], DRIVER_DATA, 0, 0, 0);
	offer_broken(0);
	desc_set(&drv.desc[0], DRIVER_DATA, 4, NEXT, 1);
	desc_set(&drv.desc[1], DRIVER_DATA, 0, WRITE, 0);
	offer_broken(0);
}

static void readable_behind_writable(void **state)
{
	(void)state;
	desc_set(&drv.desc[0], DRIVER_DATA, 4, NEXT | WRITE, 1);
	desc_set(&drv.desc[1], DRIVER_DATA, 4, 0, 0);
	offer_broken(0);
}

static void indirect_not_negotiated(void **state)
{
	(void)state;
	desc_set(mem_at(&mem, gpa(RAM_C), 16), DRIVER_DATA, 4, 0, 0);
	desc_set(&drv.desc[0], RAM_C, 16, INDIRECT, 0);
	ring.indirect = false;
	offer_broken(0);
	ring.indirect = true;
	driver_offer(&drv, 0);
	assert_int_equal(ring_take(&ring, &chain), 1);
}

static void indirect_size(void **state)
{
	static const uint32_t bad[] = {
		0, 1, 15, 17, 16 * 9, UINT32_MAX, UINT32_MAX - 15, 0x80000000,
	};

	(void)state;
	desc_set(mem_at(&mem, gpa(DRIVER_DATA), 16), DRIVER_DATA, 4, 0, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		desc_set(&drv.desc[0], DRIVER_DATA, bad[i], INDIRECT, 0);
		offer_broken(0);
	}
}

static void indirect_place(void **state)
{
	static const uint64_t bad[] = {
		0, RAM_A - 16, RAM_A - 8, RAM_HOLE, RAM_HOLE - 16, RAM_C + RAM_C_SIZE - 16,
		RAM_B - 16 /* goes on in the next region */, UINT64_MAX - 15, UINT64_MAX,
		RAM_TOP + RAM_TOP_SIZE - 31,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		desc_set(&drv.desc[0], bad[i], 32, INDIRECT, 0);
		offer_broken(0);
	}
}

/* At the very end of memory: the entry behind the last is not looked at. */
static void indirect_at_the_end(void **state)
{
	struct vring_desc *table = mem_at(&mem, gpa(RAM_C + RAM_C_SIZE - 32), 32);

	(void)state;
	desc_set(&table[0], DRIVER_DATA, 4, NEXT, 1);
	desc_set(&table[1], DRIVER_DATA, 4, NEXT, 2);
	desc_set(&drv.desc[0], RAM_C + RAM_C_SIZE - 32, 32, INDIRECT, 0);
	offer_broken(0);
	table[1].flags = WRITE;
	driver_offer(&drv, 0);
	assert_int_equal(ring_take(&ring, &chain), 1);
	assert_int_equal(chain.readable + chain.writable, 2);
}

static void indirect_nested_or_followed(void **state)
{
	struct vring_desc *table = mem_at(&mem, gpa(RAM_C), 32);

	(void)state;
	desc_set(&drv.desc[0], RAM_C, 32, INDIRECT, 0);
	desc_set(&table[0], RAM_B, 16, INDIRECT, 0);
	offer_broken(0);
	desc_set(&table[0], RAM_C, 32, INDIRECT, 0);
	offer_broken(0);
	desc_set(&table[0], DRIVER_DATA, 4, 0, 0);
	drv.desc[0].flags = INDIRECT | NEXT;
	drv.desc[0].next = 1;
	desc_set(&drv.desc[1], DRIVER_DATA, 4, 0, 0);
	offer_broken(0);
	/* The ring's own table as the indirect one: nested in itself, for ever. */
	desc_set(&drv.desc[0], DRIVER_DESC, 8 * 16, INDIRECT, 0);
	offer_broken(0);
}

static void indirect_loop(void **state)
{
	struct vring_desc *table = mem_at(&mem, gpa(RAM_C), 32);

	(void)state;
	desc_set(&drv.desc[0], RAM_C, 32, INDIRECT, 0);
	desc_set(&table[0], DRIVER_DATA, 4, NEXT, 1);
	desc_set(&table[1], DRIVER_DATA, 4, NEXT, 0);
	offer_broken(0);
	/* Direct and indirect descriptors count together [protocol.md 9.2]. */
	for (int i = 0; i < 7; i++)
		desc_set(&drv.desc[i], DRIVER_DATA, 4, NEXT, i + 1);
	desc_set(&drv.desc[7], RAM_C, 32, INDIRECT, 0);
	table[1].flags = 0;
	offer_broken(0);
}

static void longest_chain_of_a_large_ring(void **state)
{
	(void)state;
	driver_create(&drv, &ring, &mem, 1024);
	assert_int_equal(ring_start(&ring, &mem, 0), 0);
	for (int i = 0; i < 1024; i++)
		desc_set(&drv.desc[i], DRIVER_DATA, UINT16_MAX / 4, i < 1023 ? NEXT : 0, i + 1);
	driver_offer(&drv, 0);
	assert_int_equal(ring_take(&ring, &chain), 1);
	assert_int_equal(chain.readable, RING_MAX_SEGMENTS);
	drv.avail->idx = 0;
	assert_int_equal(ring_start(&ring, &mem, 0), 0);
	desc_set(&drv.desc[1023], DRIVER_DATA, 1, NEXT, 0);
	offer_broken(0);
}

/* The used index is the driver's to lie about: it only harms the driver. */
static void used_index_is_noise(void **state)
{
	(void)state;
	desc_set(&drv.desc[0], DRIVER_DATA, 4, WRITE, 0);
	drv.used->idx = 0xfffe;
	assert_int_equal(ring_start(&ring, &mem, 0), 0);
	for (int i = 0; i < 4; i++) {
		driver_offer(&drv, 0);
		assert_int_equal(ring_take(&ring, &chain), 1);
		drv.used->idx = 0x1234;
		ring_give(&ring, 0, 4);
		ring_publish(&ring);
		assert_int_equal(drv.used->idx, (uint16_t)(0xffff + i));
	}
}

/* --- A driver that changes descriptors while they are read --------------- */

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The race is what is tested: not a thing for the thread sanitizer. */
#ifndef __SANITIZE_THREAD__
static atomic_bool stop;

static void *scribble(void *unused)
{
	static const uint64_t addr[] = { DRIVER_DATA, RAM_HOLE, RAM_C, UINT64_MAX, RAM_B - 2 };
	unsigned int x = 1;

	(void)unused;
	while (!atomic_load(&stop)) {
		volatile struct vring_desc *d = &drv.desc[x % 8];

		x = x * 1103515245 + 12345;
		d->addr = addr[(x >> 8) % 5];
		d->len = (x >> 12) % 5 ? 4 : x;
		d->flags = (x >> 16) & 7;
		d->next = (x >> 20) % 9;
	}
	return NULL;
}

/* Takes until both outcomes were seen often; the scribbler may be slow to start. */
static void descriptors_change_meanwhile(void **state)
{
	unsigned int taken = 0, refused = 0;
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 8; i++)
		desc_set(&drv.desc[i], DRIVER_DATA, 4, 0, 0);
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, scribble, NULL), 0);
	for (unsigned int i = 0; taken < 20000 || refused < 20000; i++) {
		drv.avail->idx = 0;
		assert_int_equal(ring_start(&ring, &mem, 0), 0);
		driver_offer(&drv, i % 8);
		if (ring_take(&ring, &chain) != 1) {
			refused++;
			continue;
		}
		taken++;
		for (int s = 0; s < chain.readable + chain.writable; s++)
			assert_int_not_equal(chain.segments[s].len, 0);
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(head_out_of_range),
		RING_TEST(next_out_of_range),
		RING_TEST(loops),
		RING_TEST(avail_index_too_far),
		RING_TEST(head_that_is_out),
		RING_TEST(addresses_outside_memory),
		RING_TEST(zero_length),
		RING_TEST(readable_behind_writable),
		RING_TEST(indirect_not_negotiated),
		RING_TEST(indirect_size),
		RING_TEST(indirect_place),
		RING_TEST(indirect_at_the_end),
		RING_TEST(indirect_nested_or_followed),
		RING_TEST(indirect_loop),
		RING_TEST(longest_chain_of_a_large_ring),
		RING_TEST(used_index_is_noise),
#ifndef __SANITIZE_THREAD__
		RING_TEST(descriptors_change_meanwhile),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
