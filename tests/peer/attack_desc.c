// SPDX-License-Identifier: MIT
/* A driver that lies in descriptors: addresses, lengths, chains, indirect tables. */

#include <string.h>

#include "attack.h"

void attack_put_write(struct driver *d)
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

void attack_show(struct driver *d, uint16_t head)
{
	peer_avail(d->tx, head);
	peer_kick(d->tx);
}

void attack_show_and_break(struct driver *d, uint16_t head)
{
	attack_show(d, head);
	peer_expect_broken(d->peer);
}

/* --- Addresses and lengths ---------------------------------------------- */

/* A payload that is not in memory costs its request [protocol.md 6.9]. */
static void bad_segment(struct driver *d, uint64_t addr, uint32_t len, enum mp_status status)
{
	attack_put_write(d);
	d->tx->desc[FIRST + 1].addr = addr;
	d->tx->desc[FIRST + 1].len = len;
	attack_show(d, FIRST);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) == FIRST);
	CHECK(le32toh(driver_result(d)->status) == status);
	CHECK(driver_result(d)->count == 0);
	driver_expect_alive(d);
}

static void bad_addr(struct driver *d, uint64_t addr)
{
	bad_segment(d, addr, 5, MP_FAULT);
}

ATTACK(addr_0, AT_CHANNEL) { bad_addr(d, 0); }
ATTACK(addr_below, AT_CHANNEL) { bad_addr(d, PEER_GUEST - 1); }
ATTACK(addr_behind, AT_CHANNEL) { bad_addr(d, PEER_GUEST + PEER_MEM_SIZE); }
ATTACK(addr_across_the_end, AT_CHANNEL) { bad_addr(d, PEER_GUEST + PEER_MEM_SIZE - 4); }
ATTACK(addr_wraps, AT_CHANNEL) { bad_addr(d, UINT64_MAX - 3); }
ATTACK(addr_of_the_front_end, AT_CHANNEL) { bad_addr(d, PEER_USER + d->out); }
ATTACK(len_4_gib, AT_CHANNEL) { bad_segment(d, peer_gpa(d->out), UINT32_MAX, MP_INVALID); }

ATTACK(len_0, AT_CHANNEL)
{
	attack_put_write(d);
	d->tx->desc[FIRST + 1].len = 0;
	attack_show_and_break(d, FIRST);
}

ATTACK(addr_last_byte, AT_CHANNEL)
{
	attack_put_write(d);
	d->tx->desc[FIRST + 1].addr = PEER_GUEST + PEER_MEM_SIZE - 5;
	attack_show(d, FIRST);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
	CHECK(le32toh(driver_result(d)->status) == MP_OK);
}

/* --- Chains ------------------------------------------------------------- */

ATTACK(next_out_of_range, AT_CHANNEL)
{
	attack_put_write(d);
	d->tx->desc[FIRST + 1].next = d->tx->size;
	attack_show_and_break(d, FIRST);
}

ATTACK(next_far_out_of_range, AT_CHANNEL)
{
	attack_put_write(d);
	d->tx->desc[FIRST + 1].next = UINT16_MAX;
	attack_show_and_break(d, FIRST);
}

ATTACK(loop_of_one, AT_CHANNEL)
{
	attack_put_write(d);
	d->tx->desc[FIRST].next = FIRST;
	attack_show_and_break(d, FIRST);
}

ATTACK(loop_of_two_writable, AT_CHANNEL)
{
	attack_put_write(d);
	d->tx->desc[FIRST + 2].flags |= VRING_DESC_F_NEXT;
	d->tx->desc[FIRST + 2].next = FIRST + 3;
	peer_desc(d->tx, FIRST + 3, peer_gpa(d->in), 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
		  FIRST + 2);
	attack_show_and_break(d, FIRST);
}

ATTACK(writable_before_readable, AT_CHANNEL)
{
	attack_put_write(d);
	d->tx->desc[FIRST].flags |= VRING_DESC_F_WRITE;
	attack_show_and_break(d, FIRST);
}

ATTACK(no_room_for_a_result, AT_CHANNEL)
{
	attack_put_write(d);
	d->tx->desc[FIRST + 2].len = sizeof(struct mp_result) - 1;
	attack_show_and_break(d, FIRST);
}

ATTACK(nothing_writable, AT_CHANNEL)
{
	attack_put_write(d);
	d->tx->desc[FIRST + 1].flags = 0;
	attack_show_and_break(d, FIRST);
}

ATTACK(unknown_flags, AT_CHANNEL)
{
	attack_put_write(d);
	for (int i = 0; i < 3; i++)
		d->tx->desc[FIRST + i].flags |= 0xfff8;
	attack_show(d, FIRST);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
}

/* Header and result in single bytes: unusual, and right. */
ATTACK(single_bytes, AT_CHANNEL)
{
	uint16_t at = 100;

	attack_put_write(d);
	for (unsigned int i = 0; i < sizeof(struct mp_request); i++, at++)
		peer_desc(d->tx, at, peer_gpa(d->request + i), 1, VRING_DESC_F_NEXT, at + 1);
	for (unsigned int i = 0; i < 5; i++, at++)
		peer_desc(d->tx, at, peer_gpa(d->out + i), 1, VRING_DESC_F_NEXT, at + 1);
	for (unsigned int i = 0; i < sizeof(struct mp_result); i++, at++)
		peer_desc(d->tx, at, peer_gpa(d->result + i), 1,
			  VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, at + 1);
	d->tx->desc[at - 1].flags = VRING_DESC_F_WRITE;
	attack_show(d, 100);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) == 100);
	CHECK(le32toh(driver_result(d)->status) == MP_OK);
}

/* --- Indirect tables ---------------------------------------------------- */

static struct vring_desc *put_indirect(struct driver *d, uint64_t gpa, uint32_t len)
{
	struct vring_desc *table = (void *)(d->peer->mem + d->in);

	attack_put_write(d);
	memcpy(table, &d->tx->desc[FIRST], 3 * sizeof(*table));
	table[0].next = 1;
	table[1].next = 2;
	peer_desc(d->tx, FIRST + 10, gpa, len, VRING_DESC_F_INDIRECT, 0);
	return table;
}

ATTACK(indirect_right, AT_CHANNEL)
{
	put_indirect(d, peer_gpa(d->in), 48);
	attack_show(d, FIRST + 10);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) == FIRST + 10);
	CHECK(le32toh(driver_result(d)->status) == MP_OK);
}

static void bad_indirect(struct driver *d, uint64_t gpa, uint32_t len)
{
	put_indirect(d, gpa, len);
	attack_show_and_break(d, FIRST + 10);
}

ATTACK(indirect_outside, AT_CHANNEL) { bad_indirect(d, PEER_GUEST + PEER_MEM_SIZE - 16, 48); }
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
	attack_show_and_break(d, FIRST + 10);
}

ATTACK(indirect_nested, AT_CHANNEL)
{
	struct vring_desc *table = put_indirect(d, peer_gpa(d->in), 48);

	table[0] = (struct vring_desc){ peer_gpa(d->in), 48, VRING_DESC_F_INDIRECT, 0 };
	attack_show_and_break(d, FIRST + 10);
}

ATTACK(indirect_loop, AT_CHANNEL)
{
	struct vring_desc *table = put_indirect(d, peer_gpa(d->in), 48);

	table[1].next = 0;
	attack_show_and_break(d, FIRST + 10);
}

ATTACK(indirect_of_the_ring_itself, AT_CHANNEL)
{
	attack_put_write(d);
	peer_desc(d->tx, 0, peer_gpa((uint8_t *)d->tx->desc - d->peer->mem), 16 * 256,
		  VRING_DESC_F_INDIRECT, 0);
	attack_show_and_break(d, 0);
}

/* A chain as long as the largest ring, through an indirect table. */
ATTACK(longest_chain, AT_CHANNEL)
{
	struct vring_desc *table = (void *)(d->peer->mem + d->in);
	unsigned int count = PEER_RING_SIZE;

	attack_put_write(d);
	table[0] = (struct vring_desc){ peer_gpa(d->request), 32, VRING_DESC_F_NEXT, 1 };
	for (unsigned int i = 1; i < count; i++)
		table[i] = (struct vring_desc){ peer_gpa(d->result), 24,
						VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, i + 1 };
	table[count - 1].flags = VRING_DESC_F_WRITE;
	peer_desc(d->tx, FIRST, peer_gpa(d->in), 16 * count, VRING_DESC_F_INDIRECT, 0);
	attack_show(d, FIRST);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) == FIRST);
	CHECK(le32toh(driver_result(d)->status) == MP_INVALID);
}
