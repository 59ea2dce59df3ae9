// SPDX-License-Identifier: MIT
/* A driver that lies in descriptors and rings. */

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "attack.h"

#define GUEST_END PEER_MEM_SIZE

/* A complete WRITE of 5 bytes in descriptors 200 to 202 of the transmit queue. */
#define FIRST 200
static void put_write(struct driver *d)
{
	const struct mp_request header = {
		.op = htole16(MP_OP_WRITE), .length = htole32(5),
		.generation = htole32(d->channels[0].generation),
	};

	memcpy(d->peer->mem + d->request, &header, sizeof(header));
	peer_desc(d->tx, FIRST, peer_gpa(d->request), sizeof(header), VRING_DESC_F_NEXT, FIRST + 1);
	peer_desc(d->tx, FIRST + 1, peer_gpa(d->out), 5, VRING_DESC_F_NEXT, FIRST + 2);
	peer_desc(d->tx, FIRST + 2, peer_gpa(d->result), sizeof(struct mp_result),
		  VRING_DESC_F_WRITE, 0);
}

static void show(struct driver *d, uint16_t head)
{
	peer_avail(d->tx, head);
	peer_kick(d->tx);
}

static void show_and_break(struct driver *d, uint16_t head)
{
	show(d, head);
	peer_expect_broken(d->peer);
}

/* --- Addresses and lengths ----------------------------------------------------------- */

static void bad_segment(struct driver *d, uint64_t addr, uint32_t len)
{
	put_write(d);
	d->tx->desc[FIRST + 1].addr = addr;
	d->tx->desc[FIRST + 1].len = len;
	show_and_break(d, FIRST);
}

ATTACK(addr_0, AT_CHANNEL) { bad_segment(d, 0, 5); }
ATTACK(addr_below, AT_CHANNEL) { bad_segment(d, PEER_GUEST - 1, 5); }
ATTACK(addr_behind, AT_CHANNEL) { bad_segment(d, PEER_GUEST + GUEST_END, 1); }
ATTACK(addr_across_the_end, AT_CHANNEL) { bad_segment(d, PEER_GUEST + GUEST_END - 4, 5); }
ATTACK(addr_wraps, AT_CHANNEL) { bad_segment(d, UINT64_MAX - 3, 5); }
ATTACK(addr_of_the_front_end, AT_CHANNEL) { bad_segment(d, PEER_USER + d->out, 5); }
ATTACK(len_4_gib, AT_CHANNEL) { bad_segment(d, peer_gpa(d->out), UINT32_MAX); }
ATTACK(len_0, AT_CHANNEL) { bad_segment(d, peer_gpa(d->out), 0); }

ATTACK(addr_last_byte, AT_CHANNEL)
{
	put_write(d);
	d->tx->desc[FIRST + 1].addr = PEER_GUEST + GUEST_END - 5;
	show(d, FIRST);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
	CHECK(le32toh(driver_result(d)->status) == MP_OK);
}

/* --- Chains ------------------------------------------------------------------------------ */

ATTACK(next_out_of_range, AT_CHANNEL)
{
	put_write(d);
	d->tx->desc[FIRST + 1].next = d->tx->size;
	show_and_break(d, FIRST);
}

ATTACK(next_far_out_of_range, AT_CHANNEL)
{
	put_write(d);
	d->tx->desc[FIRST + 1].next = UINT16_MAX;
	show_and_break(d, FIRST);
}

ATTACK(loop_of_one, AT_CHANNEL)
{
	put_write(d);
	d->tx->desc[FIRST].next = FIRST;
	show_and_break(d, FIRST);
}

ATTACK(loop_of_two_writable, AT_CHANNEL)
{
	put_write(d);
	d->tx->desc[FIRST + 2].flags |= VRING_DESC_F_NEXT;
	d->tx->desc[FIRST + 2].next = FIRST + 3;
	peer_desc(d->tx, FIRST + 3, peer_gpa(d->in), 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
		  FIRST + 2);
	show_and_break(d, FIRST);
}

ATTACK(writable_before_readable, AT_CHANNEL)
{
	put_write(d);
	d->tx->desc[FIRST].flags |= VRING_DESC_F_WRITE;
	show_and_break(d, FIRST);
}

ATTACK(no_room_for_a_result, AT_CHANNEL)
{
	put_write(d);
	d->tx->desc[FIRST + 2].len = sizeof(struct mp_result) - 1;
	show_and_break(d, FIRST);
}

ATTACK(nothing_writable, AT_CHANNEL)
{
	put_write(d);
	d->tx->desc[FIRST + 1].flags = 0;
	show_and_break(d, FIRST);
}

ATTACK(unknown_flags, AT_CHANNEL)
{
	put_write(d);
	for (int i = 0; i < 3; i++)
		d->tx->desc[FIRST + i].flags |= 0xfff8;
	show(d, FIRST);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
}

/* Header and result in single bytes: unusual, and right. */
ATTACK(single_bytes, AT_CHANNEL)
{
	uint16_t at = 100;

	put_write(d);
	for (unsigned int i = 0; i < sizeof(struct mp_request); i++, at++)
		peer_desc(d->tx, at, peer_gpa(d->request + i), 1, VRING_DESC_F_NEXT, at + 1);
	for (unsigned int i = 0; i < 5; i++, at++)
		peer_desc(d->tx, at, peer_gpa(d->out + i), 1, VRING_DESC_F_NEXT, at + 1);
	for (unsigned int i = 0; i < sizeof(struct mp_result); i++, at++)
		peer_desc(d->tx, at, peer_gpa(d->result + i), 1,
			  VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, at + 1);
	d->tx->desc[at - 1].flags = VRING_DESC_F_WRITE;
	show(d, 100);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) == 100);
	CHECK(le32toh(driver_result(d)->status) == MP_OK);
}

/* --- Indirect tables ----------------------------------------------------------------------- */

static struct vring_desc *put_indirect(struct driver *d, uint64_t gpa, uint32_t len)
{
	struct vring_desc *table = (void *)(d->peer->mem + d->in);

	put_write(d);
	memcpy(table, &d->tx->desc[FIRST], 3 * sizeof(*table));
	table[0].next = 1;
	table[1].next = 2;
	peer_desc(d->tx, FIRST + 10, gpa, len, VRING_DESC_F_INDIRECT, 0);
	return table;
}

ATTACK(indirect_right, AT_CHANNEL)
{
	put_indirect(d, peer_gpa(d->in), 48);
	show(d, FIRST + 10);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) == FIRST + 10);
	CHECK(le32toh(driver_result(d)->status) == MP_OK);
}

static void bad_indirect(struct driver *d, uint64_t gpa, uint32_t len)
{
	put_indirect(d, gpa, len);
	show_and_break(d, FIRST + 10);
}

ATTACK(indirect_outside, AT_CHANNEL) { bad_indirect(d, PEER_GUEST + GUEST_END - 16, 48); }
ATTACK(indirect_wraps, AT_CHANNEL) { bad_indirect(d, UINT64_MAX - 15, 48); }
ATTACK(indirect_odd_size, AT_CHANNEL) { bad_indirect(d, peer_gpa(d->in), 47); }
ATTACK(indirect_empty, AT_CHANNEL) { bad_indirect(d, peer_gpa(d->in), 0); }
ATTACK(indirect_4_gib, AT_CHANNEL) { bad_indirect(d, peer_gpa(d->in), UINT32_MAX & ~15u); }
ATTACK(indirect_longer_than_ring, AT_CHANNEL)
{
	bad_indirect(d, peer_gpa(d->in), 16 * (PEER_RING_SIZE + 1));
}

ATTACK(indirect_too_short, AT_CHANNEL) { bad_indirect(d, peer_gpa(d->in), 32); }

ATTACK(indirect_and_next, AT_CHANNEL)
{
	put_indirect(d, peer_gpa(d->in), 48);
	d->tx->desc[FIRST + 10].flags |= VRING_DESC_F_NEXT;
	d->tx->desc[FIRST + 10].next = FIRST + 2;
	show_and_break(d, FIRST + 10);
}

ATTACK(indirect_nested, AT_CHANNEL)
{
	struct vring_desc *table = put_indirect(d, peer_gpa(d->in), 48);

	table[0] = (struct vring_desc){ peer_gpa(d->in), 48, VRING_DESC_F_INDIRECT, 0 };
	show_and_break(d, FIRST + 10);
}

ATTACK(indirect_loop, AT_CHANNEL)
{
	struct vring_desc *table = put_indirect(d, peer_gpa(d->in), 48);

	table[1].next = 0;
	show_and_break(d, FIRST + 10);
}

ATTACK(indirect_of_the_ring_itself, AT_CHANNEL)
{
	put_write(d);
	peer_desc(d->tx, 0, peer_gpa((uint8_t *)d->tx->desc - d->peer->mem), 16 * 256,
		  VRING_DESC_F_INDIRECT, 0);
	show_and_break(d, 0);
}

/* --- Avail and used --------------------------------------------------------------------------- */

ATTACK(head_out_of_range, AT_CHANNEL) { show_and_break(d, PEER_RING_SIZE); }
ATTACK(head_far_out_of_range, AT_CHANNEL) { show_and_break(d, UINT16_MAX); }

ATTACK(avail_idx_jumps, AT_CHANNEL)
{
	d->tx->avail->idx += d->tx->size + 1;
	peer_kick(d->tx);
	peer_expect_broken(d->peer);
}

ATTACK(avail_idx_goes_back, AT_CHANNEL)
{
	d->tx->avail->idx--;
	peer_kick(d->tx);
	peer_expect_broken(d->peer);
}

/* The same read twice: the second while the first is parked. */
ATTACK(head_that_is_out, AT_CHANNEL)
{
	driver_park(d, 0, 0, 100);
	peer_avail(d->rx, d->parked);
	peer_kick(d->rx);
	peer_expect_broken(d->peer);
}

ATTACK(an_event_buffer_twice, AT_CHANNEL)
{
	for (uint16_t head = 0; head < PEER_RING_SIZE; head++) {
		if (!d->event_buffers[head])
			continue;
		peer_avail(d->rx, head);
		break;
	}
	peer_kick(d->rx);
	peer_expect_broken(d->peer);
}

/* A ring full of one chain: all are answered, each once. */
ATTACK(one_chain_everywhere, AT_CHANNEL)
{
	put_write(d);
	for (unsigned int i = 0; i < d->tx->size; i++)
		d->tx->avail->ring[(d->tx->avail->idx + i) % d->tx->size] = FIRST;
	__atomic_fetch_add(&d->tx->avail->idx, d->tx->size, __ATOMIC_SEQ_CST);
	peer_kick(d->tx);
	for (unsigned int i = 0; i < d->tx->size; i++)
		if (peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) < 0)
			break;
}

ATTACK(used_ring_scribbled_on, AT_CHANNEL)
{
	memset(d->tx->used, 0xff, 4 + 8 * d->tx->size);
	memset(d->rx->used, 0xff, 4 + 8 * d->rx->size);
	put_write(d);
	show(d, FIRST);
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

ATTACK(avail_flags_and_events, AT_CHANNEL)
{
	for (unsigned int i = 0; i < 64; i++) {
		put_write(d);
		d->tx->avail->flags = 0xffff >> i % 16;
		d->tx->avail->ring[d->tx->size] = i * 1021;
		show(d, FIRST);
	}
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

/* --- Rings that overlap -------------------------------------------------------------------------- */

static void use_addr(struct driver *d, struct vhost_user_vring_addr addr)
{
	CHECK(peer_ask(d->peer, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) >= 0);
	for (int i = 0; i < 40; i++) {
		put_write(d);
		show(d, FIRST);
		peer_kick(d->rx);
	}
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

ATTACK(used_is_avail, AT_CHANNEL)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, d->tx->index);

	addr.used = addr.avail;
	use_addr(d, addr);
}

ATTACK(used_is_desc, AT_CHANNEL)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, d->tx->index);

	addr.used = addr.desc + FIRST * 16;
	use_addr(d, addr);
}

ATTACK(all_three_are_one, AT_CHANNEL)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, d->tx->index);

	addr.used = addr.avail = addr.desc;
	use_addr(d, addr);
}

ATTACK(two_queues_in_one_ring, AT_CHANNEL)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, d->rx->index);

	addr.index = d->tx->index;
	use_addr(d, addr);
}

ATTACK(rings_of_the_control_queues, AT_CHANNEL)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, 2);

	addr.index = d->tx->index;
	addr.used = peer_ring_addr(d->peer, 3).used;
	use_addr(d, addr);
}

/* What the device writes goes into the rings that it reads. */
static void write_into(struct driver *d, const void *where)
{
	uint64_t gpa = peer_gpa((const uint8_t *)where - d->peer->mem);

	for (int i = 0; i < 40; i++) {
		put_write(d);
		d->tx->desc[FIRST + 2].addr = gpa;
		show(d, FIRST);
		peer_wait_used(d->peer, d->tx, NULL, 20);
	}
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

ATTACK(result_into_desc, AT_CHANNEL) { write_into(d, &d->tx->desc[FIRST]); }
ATTACK(result_into_avail, AT_CHANNEL) { write_into(d, d->tx->avail); }
ATTACK(result_into_used, AT_CHANNEL) { write_into(d, d->tx->used); }
ATTACK(result_into_its_request, AT_CHANNEL) { write_into(d, d->peer->mem + d->request); }
ATTACK(result_into_other_queue, AT_CHANNEL) { write_into(d, d->control_rx->avail); }

/* Bytes that a service sends, into the rings of the queue that asks for them. */
ATTACK(payload_into_rings, AT_PORT)
{
	uint64_t offset = 0;

	driver_open_channel(d, 0, "zero");
	d->may_end = true;
	for (int i = 0; i < 20; i++) {
		d->in = (uint8_t *)d->rx->desc - d->peer->mem + i * 2048;
		if (driver_read(d, 0, offset, 2048) != MP_OK)
			break;
		offset = le64toh(driver_result(d)->offset);
		peer_kick(d->rx);
	}
	d->in = (uint8_t *)d->tx->desc - d->peer->mem;
	driver_read(d, 0, offset, 0x9000);
}

ATTACK(events_into_rings, AT_CHANNEL)
{
	const struct peer_segment segment = {
		peer_gpa((uint8_t *)d->rx->used - d->peer->mem), sizeof(struct mp_event),
	};

	d->may_end = true;
	d->keep_events = false;
	for (int i = 0; i < 50; i++)
		peer_add(d->rx, &segment, 0, 1);
	peer_kick(d->rx);
	for (uint32_t slot = 1; slot < 60; slot++) {
		CHECK(driver_connect(d, slot, "echo") == MP_OK);
		driver_write(d, slot, 0, "event", 5);
	}
}

/* --- Sizes ------------------------------------------------------------------------------------------ */

ATTACK(ring_of_one, AT_SESSION)
{
	driver_step(d, 2);
	for (unsigned int i = 0; i < d->peer->queue_count; i++) {
		d->peer->queues[i].size = 1;
		peer_start_queue(d->peer, i);
	}
	peer_desc(d->control_tx, 0, peer_gpa(d->control), 8, 0, 0);
	for (int i = 0; i < 10; i++) {
		peer_avail(d->control_tx, 0);
		peer_kick(d->control_tx);
		CHECK(peer_wait_used(d->peer, d->control_tx, NULL, PEER_WAIT_MS) == 0);
	}
}

ATTACK(ring_of_32768, AT_SESSION)
{
	struct vhost_user_vring_addr addr = {
		.index = 3, .desc = PEER_USER, .avail = PEER_USER + (1 << 20),
		.used = PEER_USER + (2 << 20),
	};
	struct vring_avail *avail = (void *)(d->peer->mem + (1 << 20));
	struct vring_desc *desc = (void *)d->peer->mem;
	int kick = eventfd(0, 0);

	/* All of it visible at once, each a control message, all in one place. */
	for (int i = 0; i < 32768; i++) {
		desc[i] = (struct vring_desc){ peer_gpa(d->out), 8, 0, 0 };
		avail->ring[i] = i;
	}
	avail->idx = 32768;
	CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_NUM, 3, 32768) == 0);
	CHECK(peer_ask(d->peer, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) == 0);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_KICK, 3, kick) == 0);
	CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, 3, 1) == 0);
	for (int i = 0; i < 1000; i++)
		CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

/* A chain as long as the largest ring, through an indirect table. */
ATTACK(longest_chain, AT_CHANNEL)
{
	struct vring_desc *table = (void *)(d->peer->mem + d->in);
	unsigned int count = PEER_RING_SIZE;

	put_write(d);
	table[0] = (struct vring_desc){ peer_gpa(d->request), 32, VRING_DESC_F_NEXT, 1 };
	for (unsigned int i = 1; i < count; i++)
		table[i] = (struct vring_desc){ peer_gpa(d->result), 24,
						VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, i + 1 };
	table[count - 1].flags = VRING_DESC_F_WRITE;
	peer_desc(d->tx, FIRST, peer_gpa(d->in), 16 * count, VRING_DESC_F_INDIRECT, 0);
	show(d, FIRST);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) == FIRST);
	CHECK(le32toh(driver_result(d)->status) == MP_INVALID);
}

/* --- Changing what is being read ----------------------------------------------------------------------- */

static void *scribble(void *context)
{
	struct driver *d = context;
	struct random random = { 42 };

	for (;;) {
		volatile struct vring_desc *desc = &d->tx->desc[FIRST + random_below(&random, 3)];
		volatile uint8_t *request = d->peer->mem + d->request;

		switch (random_below(&random, 4)) {
		case 0:
			desc->len = random_below(&random, 2) ? UINT32_MAX : 5;
			break;
		case 1:
			desc->addr = random_below(&random, 2) ? UINT64_MAX - 4 : peer_gpa(d->out);
			break;
		case 2:
			desc->next = random_below(&random, 2) ? UINT16_MAX : FIRST + 1;
			break;
		default:
			request[random_below(&random, 32)] = random_next(&random);
		}
	}
	return NULL;
}

/* A processor that changes descriptors and headers while the daemon reads them. */
ATTACK(a_race_for_descriptors, AT_SESSION)
{
	uint64_t end = peer_now_ms() + 1000;
	pthread_t thread;

	for (unsigned int step = 2; step < 7; step++)
		driver_step(d, step);
	driver_open_channel(d, 0, "echo");
	pthread_create(&thread, NULL, scribble, d);
	while (peer_now_ms() < end) {
		put_write(d);
		show(d, FIRST);
		peer_wait_used(d->peer, d->tx, NULL, 1);
		if (!peer_is_broken(d->peer))
			continue;
		/* The device is set up anew, as after a guest's reboot. */
		for (unsigned int i = 0; i < d->peer->queue_count; i++)
			CHECK(peer_stop_queue(d->peer, i) >= 0);
		for (unsigned int i = 0; i < d->peer->queue_count; i++) {
			close(d->peer->queues[i].kick);
			close(d->peer->queues[i].call);
			close(d->peer->queues[i].error);
		}
		driver_step(d, 2);
		driver_step(d, 3);
		peer_kick(d->tx);
	}
}
