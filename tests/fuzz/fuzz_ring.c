// SPDX-License-Identifier: MIT
/*
 * A driver that does anything, against the ring.
 *
 * The input's first bytes choose the ring, the others are a program: writes into
 * the ring's parts and into indirect tables, and calls of the ring. Checked
 * after each call: what a taken chain says lies in guest memory, heads are
 * out once, a broken ring stays broken. Guest memory has inaccessible
 * pages around it, so one byte too far is a fault; a walk without end is a timeout.
 */

#include <errno.h>

#include "guest_ram.h"
#include "ring/inflight.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) do { if (!(condition)) __builtin_trap(); } while (0)

struct input {
	const uint8_t *at, *end;
};

static struct mem mem;
static struct ring ring;
static struct driver drv;
static struct ring_chain chain;
static uint16_t heads[RING_MAX_SIZE];	/* taken, not given back; oldest first */
static unsigned int head_count;
static struct inflight *area;

/* --- The input ------------------------------------------------------------- */

static uint64_t get(struct input *in, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes-- && in->at < in->end)
		value = value << 8 | *in->at++;
	return value;
}

/* Addresses at and around every edge of the memory map, and now and then any. */
static uint64_t get_addr(struct input *in)
{
	const uint64_t edges[] = {
		DRIVER_DATA, RAM_A, RAM_B, RAM_HOLE, RAM_C, RAM_C + RAM_C_SIZE, RAM_TOP,
		RAM_TOP + RAM_TOP_SIZE, 0, ring.desc_addr - RAM_USER, DRIVER_DATA + 0x100,
	};
	unsigned int which = get(in, 1);

	if (which % 16 >= sizeof(edges) / sizeof(edges[0]))
		return get(in, 8);
	if (which < 128)
		return edges[which % 16];
	return edges[which % 16] + (int8_t)get(in, 1) * (which & 0x40 ? 16 : 1);
}

static uint32_t get_len(struct input *in)
{
	unsigned int how = get(in, 1);

	return how < 128 ? how : how < 192 ? (how - 128) * 16 : how < 224 ? get(in, 2) : get(in, 4);
}

/* --- What the driver writes -------------------------------------------------- */

static void write_desc(struct input *in, struct vring_desc *desc)
{
	uint64_t addr = get_addr(in);
	uint32_t len = get_len(in);
	uint8_t flags = get(in, 1);
	uint16_t next = get(in, 1);

	desc_set(desc, addr, len, flags & 0x80 ? flags : flags & 7, next);
}

static void write_own_desc(struct input *in)
{
	write_desc(in, &drv.desc[get(in, 1) % drv.size]);
}

static void write_table_desc(struct input *in)
{
	struct vring_desc *table = mem_at(&mem, gpa(DRIVER_DATA), 64 * sizeof(*table));

	write_desc(in, &table[get(in, 1) % 64]);
}

static void write_anything(struct input *in)
{
	uint16_t *words = mem_at(&mem, gpa(RAM_A), RAM_A_SIZE);
	unsigned int at = get(in, 2) % (RAM_A_SIZE / 2);

	words[at] = get(in, 2);
}

static void write_index(struct input *in)
{
	unsigned int which = get(in, 1);
	uint16_t value = get(in, 2);

	if (which % 4 == 0)
		drv.avail->idx = value;
	else if (which % 4 == 1)
		drv.used->idx = value;
	else if (which % 4 == 2)
		drv.avail->flags = value;
	else if (ring.event_idx)
		*driver_used_event(&drv) = value;
}

/* --- Calls of the ring ------------------------------------------------------- */

static void check_segment(const struct ring_segment *segment)
{
	struct iovec iov[MEM_MAX_REGIONS];
	int n = mem_iov(&mem, segment->addr, segment->len, iov, MEM_MAX_REGIONS);
	uint64_t sum = 0;

	CHECK(segment->len > 0);
	if (n < 0) {
		CHECK(n == -EFAULT && mem_reach(&mem, segment->addr, segment->len) < segment->len);
		return;
	}
	for (int i = 0; i < n; i++) {
		volatile uint8_t *bytes = iov[i].iov_base;

		(void)bytes[0];
		(void)bytes[iov[i].iov_len - 1];
		sum += iov[i].iov_len;
	}
	CHECK(sum == segment->len && sum > 0);
}

static void check_chain(void)
{
	unsigned int n = chain.readable + chain.writable;
	uint64_t readable = 0, writable = 0;

	CHECK(n >= 1 && n <= ring.size && n <= RING_MAX_SEGMENTS);
	CHECK(chain.head < ring.size);
	for (unsigned int i = 0; i < head_count; i++)
		CHECK(heads[i] != chain.head);
	for (unsigned int i = 0; i < n; i++) {
		check_segment(&chain.segments[i]);
		*(i < chain.readable ? &readable : &writable) += chain.segments[i].len;
	}
	CHECK(readable == chain.readable_len && writable == chain.writable_len);
}

static void take(void)
{
	bool was_broken = ring.broken;
	int ret = ring_take(&ring, &chain);

	CHECK(ret == 1 || ret == 0 || ret == -EPROTO);
	CHECK((ret == -EPROTO) == ring.broken);
	CHECK(!was_broken || ret == -EPROTO);
	if (ret != 1)
		return;
	check_chain();
	heads[head_count++] = chain.head;
	CHECK(ring.taken == head_count && head_count <= ring.size);
}

static void give(unsigned int which)
{
	uint16_t before = ring.used_idx, head;

	if (!head_count)
		return;
	which %= head_count;
	head = heads[which];
	ring_give(&ring, head, chain.writable_len);
	if (ring.broken) {
		CHECK(ring.used_idx == before);
		return;
	}
	CHECK(ring.used_idx == (uint16_t)(before + 1));
	heads[which] = heads[--head_count];
	CHECK(ring.taken == head_count);
}

static void publish(void)
{
	bool call = ring_publish(&ring);

	CHECK(!call || !ring.broken);
	CHECK(!ring_publish(&ring));	/* nothing given since */
}

static void restart(struct input *in)
{
	ring_stop(&ring);
	head_count = 0;
	CHECK(ring_take(&ring, &chain) <= 0);
	CHECK(ring_start(&ring, &mem, get(in, 2)) == 0);
	CHECK(!ring.broken && ring.taken == 0);
}

/* Another process goes on with what lies in memory, or with anything. */
static void start_again(struct input *in)
{
	uint8_t *bytes = (uint8_t *)area;
	unsigned int changes = get(in, 1) % 8, waiting;

	ring_stop(&ring);
	for (; changes < 4; changes++)
		bytes[get(in, 2) % INFLIGHT_BYTES(ring.size)] = get(in, 1);
	head_count = 0;
	CHECK(ring_start_again(&ring, &mem) == 0);
	waiting = ring.taken;
	CHECK(waiting <= ring.size);
	while (ring_next_out(&ring, &chain) > 0) {
		check_chain();
		heads[head_count++] = chain.head;
	}
	CHECK(ring.broken || head_count == waiting);
}

static void step(struct input *in)
{
	unsigned int op = get(in, 1);

	switch (op % 13) {
	case 0: write_own_desc(in); break;
	case 1: write_table_desc(in); break;
	case 2: write_anything(in); break;
	case 3: write_index(in); break;
	case 4:
	case 5: driver_offer(&drv, op & 0x80 ? get(in, 2) : get(in, 1) % drv.size); break;
	case 6:
	case 7: take(); break;
	case 8: give(op / 12); break;
	case 9: publish(); break;
	case 10: (void)ring_want_kick(&ring, op & 0x80); break;
	case 11: start_again(in); break;
	default:
		if (op & 0x80)
			restart(in);
		else
			CHECK(ring_waiting(&ring) <= ring.size);
	}
}

/* Each part ends where its region ends: nothing of it may be read behind. */
static void move_to_the_ends(void)
{
	unsigned int event = ring.event_idx ? 2 : 0, n = ring.size;
	unsigned int avail = 4 + 2 * n + event, used = (4 + 8 * n + event + 3) & ~3U;

	ring.desc_addr = RAM_A + RAM_A_SIZE - 16 * n + RAM_USER;
	ring.avail_addr = RAM_B + RAM_B_SIZE - avail + RAM_USER;
	ring.used_addr = RAM_TOP + RAM_TOP_SIZE - used + RAM_USER;
	drv.desc = mem_at_user(&mem, ring.desc_addr, 16 * n);
	drv.avail = mem_at_user(&mem, ring.avail_addr, avail);
	drv.used = mem_at_user(&mem, ring.used_addr, used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned int config = get(&in, 1), order = get(&in, 1);

	if (!mem.count)
		ram_create(&mem);
	for (unsigned int i = 0; i < mem.count; i++)
		memset(mem.regions[i].host, 0, mem.regions[i].size);
	head_count = 0;
	driver_create(&drv, &ring, &mem, 1 << (order % 9));
	free(area);
	area = calloc(1, INFLIGHT_BYTES(ring.size));
	CHECK(area);
	ring.inflight = area;
	ring.event_idx = config & 1;
	ring.indirect = config & 2;
	if (config & 4)
		move_to_the_ends();
	CHECK(drv.desc && drv.avail && drv.used);
	drv.avail->idx = drv.used->idx = config & 8 ? 0xfffc : 0;
	CHECK(ring_start(&ring, &mem, drv.avail->idx) == 0);
	while (in.at < in.end)
		step(&in);
	ring_stop(&ring);
	return 0;
}
