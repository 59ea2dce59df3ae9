// SPDX-License-Identifier: MIT
/* The ring with a driver that keeps the rules. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
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
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ram_destroy(&mem);
	return 0;
}

static void start(uint16_t base)
{
	drv.avail->idx = base;
	drv.used->idx = base;
	assert_int_equal(ring_start(&ring, &mem, base), 0);
}

static void take_one_chain(void **state)
{
	(void)state;
	start(0);
	assert_int_equal(ring_take(&ring, &chain), 0);
	desc_set(&drv.desc[5], DRIVER_DATA, 32, NEXT, 2);
	desc_set(&drv.desc[2], RAM_C, RAM_C_SIZE, NEXT, 7);
	desc_set(&drv.desc[7], RAM_TOP, 24, WRITE | NEXT, 0);
	desc_set(&drv.desc[0], RAM_B - 1, 2, WRITE, 3);
	driver_offer(&drv, 5);
	assert_int_equal(ring_waiting(&ring), 1);
	assert_int_equal(ring_take(&ring, &chain), 1);
	assert_int_equal(ring_waiting(&ring), 0);
	assert_int_equal(chain.head, 5);
	assert_int_equal(chain.readable, 2);
	assert_int_equal(chain.writable, 2);
	assert_int_equal(chain.readable_len, 32 + RAM_C_SIZE);
	assert_int_equal(chain.writable_len, 26);
	assert_int_equal(chain.segments[1].addr.value, RAM_C);
	assert_int_equal(chain.segments[3].addr.value, RAM_B - 1);
	assert_int_equal(chain.segments[3].len, 2);
	assert_int_equal(ring_take(&ring, &chain), 0);

	/* What the driver does to a descriptor now is its own affair. */
	desc_set(&drv.desc[2], 0, 0, 0xffff, 0xffff);
	assert_int_equal(chain.segments[1].addr.value, RAM_C);
	ring_give(&ring, 5, 26);
	assert_int_equal(drv.used->idx, 0);
	assert_true(ring_publish(&ring));
	assert_int_equal(drv.used->idx, 1);
	assert_int_equal(drv.used->ring[0].id, 5);
	assert_int_equal(drv.used->ring[0].len, 26);
	assert_int_equal(ring.taken, 0);
}

static void indirect_table(void **state)
{
	struct vring_desc *table = mem_at(&mem, gpa(DRIVER_DATA + 4), 8 * 16);

	(void)state;
	start(0);
	/* At an odd place, and as long as the ring; the write flag in front means nothing. */
	for (int i = 0; i < 8; i++) {
		struct vring_desc d;

		desc_set(&d, RAM_C + i, i + 1, i < 3 ? NEXT : i < 7 ? NEXT | WRITE : WRITE, i + 1);
		memcpy((char *)table + 16 * i, &d, 16);
	}
	desc_set(&drv.desc[3], DRIVER_DATA + 4, 8 * 16, INDIRECT | WRITE, 9999);
	driver_offer(&drv, 3);
	assert_int_equal(ring_take(&ring, &chain), 1);
	assert_int_equal(chain.head, 3);
	assert_int_equal(chain.readable, 3);
	assert_int_equal(chain.writable, 5);
	assert_int_equal(chain.readable_len, 6);
	assert_int_equal(chain.writable_len, 30);

	/* Direct descriptors may stand before it [virtio-1.2 2.7.5.3.2]. */
	desc_set((struct vring_desc *)mem_at(&mem, gpa(RAM_B), 16), RAM_C, 7, WRITE, 0);
	desc_set(&drv.desc[0], DRIVER_DATA, 5, NEXT, 1);
	desc_set(&drv.desc[1], RAM_B, 16, INDIRECT, 0);
	driver_offer(&drv, 0);
	assert_int_equal(ring_take(&ring, &chain), 1);
	assert_int_equal(chain.readable_len, 5);
	assert_int_equal(chain.writable_len, 7);
}

static void full_ring_and_longest_chain(void **state)
{
	(void)state;
	start(0);
	for (int i = 0; i < 8; i++) {
		desc_set(&drv.desc[i], DRIVER_DATA, 1, 0, 0);
		driver_offer(&drv, i);
	}
	assert_int_equal(ring_waiting(&ring), 8);
	for (int i = 0; i < 8; i++)
		assert_int_equal(ring_take(&ring, &chain), 1);
	for (int i = 0; i < 8; i++)
		ring_give(&ring, 7 - i, 0);
	ring_publish(&ring);
	assert_int_equal(drv.used->ring[0].id, 7);
	for (int i = 0; i < 8; i++)
		desc_set(&drv.desc[i], DRIVER_DATA, 1, i < 7 ? NEXT : 0, i + 1);
	driver_offer(&drv, 0);
	assert_int_equal(ring_take(&ring, &chain), 1);
	assert_int_equal(chain.readable, 8);
}

static void out_of_order_use_across_the_wrap(void **state)
{
	uint16_t parked = 7;

	(void)state;
	start(65500);
	for (int i = 0; i < 8; i++)
		desc_set(&drv.desc[i], DRIVER_DATA, 8, WRITE, 0);
	driver_offer(&drv, parked);
	assert_int_equal(ring_take(&ring, &chain), 1);
	for (unsigned int i = 0; i < 100; i++) {
		uint16_t idx = 65500 + i;

		driver_offer(&drv, i % 7);
		assert_int_equal(ring_take(&ring, &chain), 1);
		assert_int_equal(chain.head, i % 7);
		ring_give(&ring, chain.head, i);
		ring_publish(&ring);
		assert_int_equal(drv.used->idx, (uint16_t)(idx + 1));
		assert_int_equal(drv.used->ring[idx % 8].id, i % 7);
		assert_int_equal(drv.used->ring[idx % 8].len, i);
		assert_int_equal(ring.taken, 1);
	}
	ring_give(&ring, parked, 0);
	assert_int_equal(ring.taken, 0);
	assert_int_equal(ring_stop(&ring), (uint16_t)(65500 + 101));
}

static void stop_and_go_on(void **state)
{
	uint16_t base;

	(void)state;
	start(0);
	desc_set(&drv.desc[0], DRIVER_DATA, 1, 0, 0);
	driver_offer(&drv, 0);
	assert_int_equal(ring_take(&ring, &chain), 1);
	ring_give(&ring, 0, 0);
	assert_true(ring_publish(&ring));
	base = ring_stop(&ring);
	assert_int_equal(base, 1);

	/* A stopped ring touches nothing and says nothing. */
	driver_offer(&drv, 0);
	assert_int_equal(ring_take(&ring, &chain), 0);
	assert_int_equal(ring_waiting(&ring), 0);
	assert_false(ring_publish(&ring));
	assert_false(ring_want_kick(&ring, true));
	ring_give(&ring, 0, 0);

	assert_int_equal(ring_start(&ring, &mem, base), 0);
	assert_int_equal(ring_take(&ring, &chain), 1);
	ring_give(&ring, 0, 9);
	assert_true(ring_publish(&ring));
	assert_int_equal(drv.used->idx, 2);
	assert_int_equal(drv.used->ring[1].len, 9);
}

static void start_checks_the_parts(void **state)
{
	static const uint16_t bad_sizes[] = { 0, 3, 6, 32769, 65535 };
	struct ring good = ring;

	(void)state;
	for (size_t i = 0; i < sizeof(bad_sizes) / sizeof(bad_sizes[0]); i++) {
		ring.size = bad_sizes[i];
		assert_int_equal(ring_start(&ring, &mem, 0), -EINVAL);
		assert_int_equal(ring_take(&ring, &chain), 0);
	}
	ring = good;
	ring.desc_addr += 8;
	assert_int_equal(ring_start(&ring, &mem, 0), -EFAULT);
	ring = good;
	ring.avail_addr += 1;
	assert_int_equal(ring_start(&ring, &mem, 0), -EFAULT);
	ring = good;
	ring.used_addr += 2;
	assert_int_equal(ring_start(&ring, &mem, 0), -EFAULT);
	ring = good;
	ring.used_addr = UINT64_MAX - 3;
	assert_int_equal(ring_start(&ring, &mem, 0), -EFAULT);
	ring = good;
	ring.desc_addr = DRIVER_DESC;	/* a guest address, not the front end's */
	assert_int_equal(ring_start(&ring, &mem, 0), -EFAULT);
	ring = good;
	ring.desc_addr = RAM_B - 16 + RAM_USER;		/* would go on in another region */
	assert_int_equal(ring_start(&ring, &mem, 0), -EFAULT);
	assert_int_equal(ring_take(&ring, &chain), 0);
}

/* The two bytes of the event index count only where they are negotiated. */
static void parts_end_with_their_region(void **state)
{
	(void)state;
	ring.avail_addr = RAM_C + RAM_C_SIZE - 20 + RAM_USER;
	ring.used_addr = RAM_B + RAM_B_SIZE - 68 + RAM_USER;
	assert_int_equal(ring_start(&ring, &mem, 0), 0);
	ring.event_idx = true;
	assert_int_equal(ring_start(&ring, &mem, 0), -EFAULT);
	ring.avail_addr -= 2;
	ring.used_addr -= 4;
	assert_int_equal(ring_start(&ring, &mem, 0), 0);
	assert_false(ring_want_kick(&ring, true));
	ring_publish(&ring);
}

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(take_one_chain),
		RING_TEST(indirect_table),
		RING_TEST(full_ring_and_longest_chain),
		RING_TEST(out_of_order_use_across_the_wrap),
		RING_TEST(stop_and_go_on),
		RING_TEST(start_checks_the_parts),
		RING_TEST(parts_end_with_their_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
