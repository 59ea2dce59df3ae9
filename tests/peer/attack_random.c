// SPDX-License-Identifier: MIT
/* Anything at all, by seed. */

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "attack.h"

#define STEPS 400

static uint64_t random_gpa(struct driver *d, struct random *r)
{
	switch (random_below(r, 12)) {
	case 0:
		return random_next(r);
	case 1:
		return PEER_GUEST + PEER_MEM_SIZE - random_below(r, 64);
	case 2:
		return peer_gpa(random_below(r, PEER_DATA));	/* the rings */
	default:
		return peer_gpa(d->request + random_below(r, 4 * DRIVER_BUFFER));
	}
}

static uint32_t random_len(struct random *r)
{
	static const uint32_t usual[] = { 0, 1, 5, 16, 24, 32, 4096, 65536 };

	return random_below(r, 10) ? usual[random_below(r, 8)] : random_next(r);
}

static struct mp_request random_header(struct driver *d, struct random *r)
{
	uint32_t slot = random_below(r, 6);
	struct mp_request header = {
		.op = htole16(1 + random_below(r, 6)), .channel = htole32(slot),
		.generation = htole32(d->channels[slot].generation),
		.length = htole32(random_len(r) % 70000), .offset = htole64(random_below(r, 200)),
	};

	/* MP_LAZY of a READ or WRITE, MP_READ_NOW; what it is of the others they may refuse. */
	if (!random_below(r, 3))
		header.flags = htole16(1 + random_below(r, 3));
	if (!random_below(r, 20))
		((uint8_t *)&header)[random_below(r, sizeof(header))] = random_next(r);
	return header;
}

/* Of the right form, more or less, on any queue. */
static void random_request(struct driver *d, struct random *r)
{
	struct peer_queue *queue = &d->peer->queues[random_below(r, d->peer->queue_count)];
	uint16_t at = random_below(r, queue->size - 4), flags = VRING_DESC_F_NEXT;
	struct mp_request header = random_header(d, r);
	uint32_t len = le32toh(header.length);
	bool is_read = le16toh(header.op) == MP_OP_READ;

	memcpy(d->peer->mem + d->request, &header, sizeof(header));
	peer_desc(queue, at, peer_gpa(d->request), sizeof(header), flags, at + 1);
	if (len && !is_read) {
		peer_desc(queue, at + 1, random_gpa(d, r), len, flags, at + 2);
		peer_desc(queue, at + 2, peer_gpa(d->result), 24, VRING_DESC_F_WRITE, 0);
	} else {
		peer_desc(queue, at + 1, peer_gpa(d->result), 24,
			  VRING_DESC_F_WRITE | (len ? flags : 0), at + 2);
		peer_desc(queue, at + 2, random_gpa(d, r), len, VRING_DESC_F_WRITE, 0);
	}
	peer_avail(queue, at);
	peer_kick(queue);
}

/* Any descriptors, any head. */
static void random_chain(struct driver *d, struct random *r)
{
	struct peer_queue *queue = &d->peer->queues[random_below(r, d->peer->queue_count)];
	unsigned int count = 1 + random_below(r, 6);

	for (unsigned int i = 0; i < count; i++)
		peer_desc(queue, random_below(r, 16), random_gpa(d, r), random_len(r),
			  random_below(r, 8), random_below(r, 16));
	peer_avail(queue, random_below(r, 50) ? random_below(r, 16) : random_next(r));
	peer_kick(queue);
}

static void random_scribble(struct driver *d, struct random *r)
{
	uint32_t base = random_below(r, d->peer->queue_count) * PEER_RING_STRIDE;
	uint32_t at = base + random_below(r, 3) * 0x4000 + random_below(r, 600);

	d->peer->mem[at] = random_next(r);
}

static bool random_message(struct driver *d, struct random *r)
{
	uint32_t queue = random_below(r, d->peer->queue_count + 1), value[2];
	/*
	 * Not the connection's own end: a daemon that holds it never sees it close. A front end
	 * that does so has only locked itself out.
	 */
	int fds[] = { d->peer->memfd, d->tx->kick, d->tx->call, d->rx->call };
	uint8_t payload[300];
	uint32_t size;

	switch (random_below(r, 8)) {
	case 0:
		value[0] = queue;
		value[1] = random_below(r, 2);
		return peer_ask(d->peer, VHOST_USER_SET_VRING_ENABLE, value, 8, NULL, 0) >= 0;
	case 1:
		value[0] = queue;
		value[1] = random_below(r, 300);
		return peer_ask(d->peer, VHOST_USER_SET_VRING_BASE, value, 8, NULL, 0) >= 0;
	case 2:
		return peer_ask_u64(d->peer, VHOST_USER_SET_VRING_CALL, queue,
				    fds[random_below(r, 4)]) >= 0;
	case 3:
		return peer_stop_queue(d->peer, queue) >= 0;
	case 4:
		return peer_ask_u64(d->peer, VHOST_USER_SET_STATUS, random_below(r, 2) * 15, -1) >=
		       0;
	default:
		size = random_below(r, sizeof(payload));
		for (uint32_t i = 0; i < size; i++)
			payload[i] = random_next(r);
		return peer_ask(d->peer, random_below(r, 45), payload, size, fds,
				random_below(r, 4)) >= 0;
	}
}

static bool random_step(struct driver *d, struct random *r)
{
	switch (random_below(r, 16)) {
	case 0:
		random_scribble(d, r);
		return true;
	case 1:
		return random_message(d, r);
	case 2:
		random_chain(d, r);
		return true;
	case 3:
		peer_kick(&d->peer->queues[random_below(r, d->peer->queue_count)]);
		return true;
	default:
		random_request(d, r);
		return true;
	}
}

/* Ends early when the daemon has had enough, which is its right. */
void attack_randomly(struct driver *d, uint64_t seed)
{
	struct random r = { (seed + 1) * 0x9e3779b97f4a7c15ULL };

	for (uint32_t slot = 1; slot < 6; slot++)
		driver_open_channel(d, slot, slot % 2 ? "zero" : "echo");
	for (int i = 0; i < STEPS; i++) {
		if (!random_step(d, &r))
			return;
		/* The daemon looks at it before the next step, not at a heap of them. */
		if (i % 4 == 0 && peer_ask(d->peer, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0) < 0)
			return;
		if (peer_is_broken(d->peer))
			return;
	}
}
