// SPDX-License-Identifier: MIT
/* A guest without MULTI_OPEN that lies: chains of today's virtio-serial port. */

#include <string.h>

#include "attack.h"

#define LARGE	 (16u << 20)
#define LARGE_AT (PEER_MEM_SIZE - LARGE)	/* nothing of the driver is there */
#define MAX_FILL (1u << 20)	/* what the device puts into one chain */

/* A chain of @count descriptors that all name the same bytes, in an indirect table. */
static void put_repeated(struct driver *d, struct peer_queue *queue, unsigned int count,
			 uint16_t flags)
{
	struct vring_desc *table = (void *)(d->peer->mem + d->out);

	for (unsigned int i = 0; i < count; i++)
		table[i] = (struct vring_desc){ peer_gpa(LARGE_AT), LARGE,
						flags | VRING_DESC_F_NEXT, i + 1 };
	table[count - 1].flags = flags;
	peer_desc(queue, FIRST, peer_gpa(d->out), count * sizeof(*table), VRING_DESC_F_INDIRECT, 0);
}

static void name_service(struct driver *d, const char *name)
{
	const struct peer_segment segment = { peer_gpa(d->request), strlen(name) + 1 };

	driver_start_classic(d);
	strcpy((char *)d->peer->mem + d->request, name);
	peer_add(d->tx, &segment, 1, 0);
	peer_kick(d->tx);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
}

static void show(struct driver *d, struct peer_queue *queue, uint32_t *len)
{
	peer_avail(queue, FIRST);
	peer_kick(queue);
	CHECK(peer_wait_used(d->peer, queue, len, PEER_WAIT_MS) == FIRST);
}

/*
 * Gigabytes in one chain, for a service that would fill them all: the loop would do nothing
 * else, and their number need not fit into a used entry. A part of it is as good.
 */
static void read_repeated(struct driver *d, unsigned int count)
{
	uint32_t len;

	put_repeated(d, d->rx, count, VRING_DESC_F_WRITE);
	for (int i = 0; i < 4; i++) {
		show(d, d->rx, &len);
		CHECK(len > 0 && len <= MAX_FILL);
	}
}

ATTACK(read_4000_mib, AT_SOCKET)
{
	name_service(d, "zero");
	read_repeated(d, 250);
}

ATTACK(read_4_gib, AT_SOCKET)
{
	name_service(d, "zero");
	read_repeated(d, 256);
}

/* What a guest sends is taken as a whole, in turns: a question of 4 GiB has its answers. */
ATTACK(write_4_gib, AT_SOCKET)
{
	uint32_t len;

	name_service(d, "pingpong");
	put_repeated(d, d->tx, 256, 0);
	show(d, d->tx, &len);
	CHECK(len == 0);
	read_repeated(d, 256);
}
