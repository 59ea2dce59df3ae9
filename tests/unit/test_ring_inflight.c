// SPDX-License-Identifier: MIT
/* A ring whose process ends at any instruction, and the one that goes on with it. */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "guest_ram.h"
#include "ring/inflight.h"

#define SIZE	8
#define WRITE	VRING_DESC_F_WRITE
#define BASE	65500		/* indices wrap on the way */
#define AREA	INFLIGHT_BYTES(SIZE)

static struct mem mem;
static struct ring ring;
static struct driver drv;
static struct ring_chain chain;
static struct inflight *area;

static void put_descriptors(void)
{
	for (int i = 0; i < SIZE; i++)
		desc_set(&drv.desc[i], DRIVER_DATA + i * 64, 64, WRITE, 0);
}

static int setup(void **state)
{
	(void)state;
	ram_create(&mem);
	driver_create(&drv, &ring, &mem, SIZE);
	put_descriptors();
	area = calloc(1, AREA);
	ring.inflight = area;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ring_stop(&ring);
	ram_destroy(&mem);
	free(area);
	return 0;
}

static void start(uint16_t base)
{
	drv.avail->idx = base;
	drv.used->idx = base;
	assert_int_equal(ring_start(&ring, &mem, base), 0);
}

static void take(uint16_t head)
{
	driver_offer(&drv, head);
	assert_int_equal(ring_take(&ring, &chain), 1);
	assert_int_equal(chain.head, head);
}

/* The process is gone: another one has only what lies in memory. */
static void begin_again(void)
{
	struct ring next = {
		.size = ring.size, .desc_addr = ring.desc_addr, .avail_addr = ring.avail_addr,
		.used_addr = ring.used_addr, .inflight = area,
	};

	ring_stop(&ring);
	ring = next;
	assert_int_equal(ring_start_again(&ring, &mem), 0);
}

static void assert_next_out(int head)
{
	assert_int_equal(ring_next_out(&ring, &chain), head < 0 ? 0 : 1);
	if (head < 0)
		return;
	assert_int_equal(chain.head, head);
	assert_int_equal(chain.writable_len, 64);
}

/* --- What a successor finds ------------------------------------------------------ */

static void goes_on_in_order(void **state)
{
	(void)state;
	start(0);
	take(5);
	take(2);
	take(7);
	take(0);
	ring_give(&ring, 2, 0);
	ring_publish(&ring);
	ring_give(&ring, 0, 0);		/* not visible yet */
	driver_offer(&drv, 3);
	begin_again();
	assert_true(ring.goes_on);
	assert_int_equal(ring.last_avail, 4);
	assert_int_equal(ring.taken, 3);
	assert_int_equal(ring_waiting(&ring), 1);
	assert_next_out(5);
	assert_next_out(7);
	/* It ends again, before it gave one back and after. */
	begin_again();
	assert_next_out(5);
	ring_give(&ring, 5, 0);
	assert_true(ring_publish(&ring));
	begin_again();
	assert_int_equal(ring.last_avail, 4);
	assert_next_out(7);
	take(3);
	ring_give(&ring, 0, 0);
	assert_next_out(-1);
	ring_give(&ring, 3, 0);
	ring_give(&ring, 7, 0);
	assert_true(ring_publish(&ring));
	assert_int_equal(drv.used->idx, 5);
	assert_int_equal(ring.taken, 0);
	begin_again();
	assert_next_out(-1);
	assert_int_equal(ring.last_avail, 5);
}

/* What a process does with a ring that it has left is its own affair. */
static void left_is_left(void **state)
{
	(void)state;
	start(0);
	take(5);
	take(2);
	ring_give(&ring, 5, 7);
	ring_publish(&ring);
	ring_give(&ring, 2, 0);		/* not visible when it is left */
	take(6);
	assert_int_equal(ring_leave(&ring), 0);
	ring_publish(&ring);
	ring_give(&ring, 6, 9);
	ring_publish(&ring);
	ring_want_kick(&ring, true);
	assert_int_equal(drv.used->idx, 1);
	assert_int_equal(ring_stop(&ring), 3);
	assert_null(ring.own);
	begin_again();
	assert_next_out(2);
	assert_next_out(6);
	assert_next_out(-1);
	assert_int_equal(ring.last_avail, 3);
	/* One that does not run has nothing to leave. */
	ring_stop(&ring);
	assert_int_equal(ring_leave(&ring), 0);
}

static void untaken_is_not_out(void **state)
{
	(void)state;
	start(0);
	take(4);
	ring_untake(&ring, 4);
	begin_again();
	assert_int_equal(ring.taken, 0);
	assert_next_out(-1);
	assert_int_equal(ring_take(&ring, &chain), 1);
	assert_int_equal(chain.head, 4);
}

/* A ring that was stopped begins with nothing out. */
static void stop_forgets(void **state)
{
	(void)state;
	start(0);
	take(1);
	assert_int_equal(ring_stop(&ring), 1);
	assert_int_equal(ring_start(&ring, &mem, 1), 0);
	assert_false(ring.goes_on);
	begin_again();
	assert_int_equal(ring.taken, 0);
}

/* --- Ended at any instruction ---------------------------------------------------- */

struct marks {
	uint64_t words[AREA / 8];
};

/* In memory that both processes have. */
struct shared {
	uint16_t offered[65536];	/* by position */
	struct marks area;
};

static struct shared *shared;

static unsigned int next_random(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

/* The driver offers what is free, the device takes, takes back, gives, publishes. */
static void run_child(unsigned int seed)
{
	uint16_t out[SIZE], idle[SIZE], seen = BASE;
	unsigned int out_count = 0, idle_count = SIZE, which;

	for (unsigned int i = 0; i < SIZE; i++)
		idle[i] = i;
	for (int i = 0; i < 120; i++) {
		while (seen != drv.used->idx)
			idle[idle_count++] = drv.used->ring[seen++ % SIZE].id;
		which = next_random(&seed) % 8;
		if (which < 3 && idle_count) {
			shared->offered[drv.avail->idx] = idle[--idle_count];
			driver_offer(&drv, idle[idle_count]);
		} else if (which < 5 && ring_take(&ring, &chain) > 0) {
			if (next_random(&seed) % 8)
				out[out_count++] = chain.head;
			else
				ring_untake(&ring, chain.head);
		} else if (which < 7 && out_count) {
			which = next_random(&seed) % out_count;
			ring_give(&ring, out[which], 0);
			out[which] = out[--out_count];
		} else {
			ring_publish(&ring);
		}
	}
	_exit(0);
}

/* What the driver had back, by head. */
struct seen {
	uint16_t used;
	unsigned int count[SIZE];
};

static void see_used(struct seen *seen)
{
	for (; seen->used != drv.used->idx; seen->used++)
		seen->count[drv.used->ring[seen->used % SIZE].id]++;
}

/* Each chain is used, out, or to be taken: one of the three. */
static void check_successor(struct seen *seen)
{
	struct marks copy = shared->area;
	struct ring next = ring;
	unsigned int count[SIZE] = { 0 };
	uint16_t event = *driver_avail_event(&drv), flags = drv.used->flags;

	next.inflight = (void *)&copy;
	assert_int_equal(ring_start_again(&next, &mem), 0);
	assert_false(next.broken);
	for (uint16_t i = BASE; i != next.last_avail; i++) {
		assert_int_not_equal(i, drv.avail->idx);
		count[shared->offered[i]]++;
	}
	see_used(seen);
	for (unsigned int i = 0; i < SIZE; i++)
		assert_int_equal(count[i] - seen->count[i], next.out[0] >> i & 1);
	ring_stop(&next);
	*driver_avail_event(&drv) = event;
	drv.used->flags = flags;
}

/* Parent and child have the rings and the marks in common; the parent looks after each step. */
static unsigned int watch_child(pid_t pid)
{
	struct seen seen = { .used = BASE };
	struct marks before = shared->area;
	uint16_t used = drv.used->idx, avail = drv.avail->idx;
	unsigned int changes = 0;
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	for (;;) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		if (!memcmp(&before, &shared->area, AREA) && used == drv.used->idx &&
		    avail == drv.avail->idx)
			continue;
		before = shared->area;
		used = drv.used->idx;
		avail = drv.avail->idx;
		check_successor(&seen);
		changes++;
	}
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	return changes;
}

static void ends_at_any_instruction(void **state)
{
	(void)state;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	ring.inflight = (void *)&shared->area;
	for (unsigned int seed = 1; seed <= 2; seed++) {
		pid_t pid;

		ring.event_idx = seed & 1;
		start(BASE);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
				_exit(77);
			raise(SIGSTOP);
			run_child(seed);
		}
		assert_true(watch_child(pid) > 150);
	}
	munmap(shared, sizeof(*shared));
}

/* --- Whatever the marks and the driver say --------------------------------------- */

static void mark(uint16_t head)
{
	area->chains[head].is_out = 1;
}

static void wrong_marks_break_the_ring(void **state)
{
	(void)state;
	start(0);
	area->version = 2;
	begin_again();
	assert_true(ring.broken);
	assert_int_equal(ring_next_out(&ring, &chain), -EPROTO);
	assert_int_equal(ring_take(&ring, &chain), -EPROTO);
	start(0);
	area->size = SIZE / 2;
	begin_again();
	assert_true(ring.broken);
	/* The driver wrote the index. */
	start(0);
	drv.used->idx = SIZE + 1;
	begin_again();
	assert_true(ring.broken);
	start(0);
	drv.used->idx = 1;
	area->last_batch_head = SIZE;
	begin_again();
	assert_true(ring.broken);
	start(0);
	drv.used->idx = 2;
	area->chains[0].next = SIZE;
	begin_again();
	assert_true(ring.broken);
	/* A list that goes round ends. */
	start(0);
	drv.used->idx = SIZE;
	area->chains[0].next = 0;
	begin_again();
	assert_false(ring.broken);
	assert_int_equal(ring.last_avail, SIZE);
}

/* Descriptors that are out are the driver's to spoil: what it reads is checked again. */
static void chain_is_walked_again(void **state)
{
	(void)state;
	start(0);
	for (int i = 0; i < 3; i++)
		mark(i);
	desc_set(&drv.desc[1], 0, 0, WRITE, 0);
	begin_again();
	assert_next_out(0);
	assert_int_equal(ring_next_out(&ring, &chain), -EPROTO);
	assert_true(ring.broken);
	ring_give(&ring, 0, 0);
	assert_false(ring_publish(&ring));
}

static void everything_is_out(void **state)
{
	(void)state;
	start(0);
	for (int i = 0; i < SIZE; i++)
		mark(i);
	drv.avail->idx = SIZE;
	begin_again();
	assert_int_equal(ring_waiting(&ring), 0);
	for (int i = 0; i < SIZE; i++)
		assert_int_equal(ring_next_out(&ring, &chain), 1);
	assert_next_out(-1);
	drv.avail->idx++;
	assert_int_equal(ring_take(&ring, &chain), -EPROTO);
}

static void bad_memory(void **state)
{
	(void)state;
	start(0);
	mark(1);
	ring_stop(&ring);
	ring.used_addr = 4;
	assert_int_equal(ring_start_again(&ring, &mem), -EFAULT);
	assert_false(ring.running);
	assert_int_equal(ring_next_out(&ring, &chain), 0);
}

#define WITH_RING(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RING(goes_on_in_order),
		WITH_RING(left_is_left),
		WITH_RING(untaken_is_not_out),
		WITH_RING(stop_forgets),
		WITH_RING(ends_at_any_instruction),
		WITH_RING(wrong_marks_break_the_ring),
		WITH_RING(chain_is_walked_again),
		WITH_RING(everything_is_out),
		WITH_RING(bad_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
