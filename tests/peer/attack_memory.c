// SPDX-License-Identifier: MIT
/* A front end that takes its memory away, or gives what is none. */

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attack.h"

static int ask_table(struct driver *d, struct vhost_user_region region, int fd)
{
	const struct vhost_user_mem_table table = { .count = 1, .regions = { region } };

	return peer_ask(d->peer, VHOST_USER_SET_MEM_TABLE, &table, 40, &fd, 1);
}

/* --- Tables ------------------------------------------------------------- */

ATTACK(regions_that_cannot_be, AT_CHANNEL)
{
	static const struct vhost_user_region bad[] = {
		{ 0, 0, 0, 0 },				/* empty */
		{ 0, PEER_MEM_SIZE + 4096, 0, 0 },	/* longer than the file */
		{ 0, PEER_MEM_SIZE, 0, 4096 },
		{ 0, 4096, 0, PEER_MEM_SIZE },
		{ 0, 4096, 0, UINT64_MAX - 4095 },
		{ 0, UINT64_MAX, 0, 0 },
		{ 0, 1ULL << 63, 0, 0 },
		{ UINT64_MAX - 4095, 8192, 0, 0 },	/* wraps */
		{ 0, 8192, UINT64_MAX - 4095, 0 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct vhost_user_mem_slot slot = { .region = bad[i] };

		CHECK(ask_table(d, bad[i], d->peer->memfd) == 1);
		CHECK(peer_ask(d->peer, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot),
			       &d->peer->memfd, 1) == 1);
	}
	/* None of them has replaced what there was. */
	driver_expect_alive(d);
}

ATTACK(overlapping_regions, AT_CHANNEL)
{
	struct vhost_user_mem_slot slot = {
		.region = { PEER_GUEST + PEER_MEM_SIZE - 4096, 8192, PEER_USER - (1 << 30), 0 },
	};

	CHECK(peer_ask(d->peer, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &d->peer->memfd, 1) ==
	      1);
	/* The same file once more, somewhere else, is allowed. */
	slot.region.guest = PEER_GUEST + (1ULL << 32);
	CHECK(peer_ask(d->peer, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &d->peer->memfd, 1) ==
	      0);
	driver_expect_alive(d);
	CHECK(peer_ask(d->peer, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0) == 0);
	CHECK(peer_ask(d->peer, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0) == 1);
	driver_expect_alive(d);
}

ATTACK(too_many_slots, AT_SESSION)
{
	unsigned int slots = peer_get_u64(d->peer, VHOST_USER_GET_MAX_MEM_SLOTS), i;

	for (i = 1; i <= slots; i++) {
		const struct vhost_user_mem_slot slot = {
			.region = { i << 20, 4096, i << 20, 0 },
		};

		if (peer_ask(d->peer, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot),
			     &d->peer->memfd, 1))
			break;
	}
	CHECK(i == slots);	/* one was there before */
}

/* Read-only: sealed against writing, and a descriptor that may only read. */
ATTACK(read_only_memory, AT_SESSION)
{
	const struct vhost_user_region region = { PEER_GUEST, 1 << 20, PEER_USER, 0 };
	int sealed = memfd_create("sealed", MFD_ALLOW_SEALING), read_only;
	char name[64];

	CHECK(ftruncate(sealed, 1 << 20) == 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", d->peer->memfd);
	read_only = open(name, O_RDONLY);
	CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0 && read_only >= 0);
	CHECK(ask_table(d, region, sealed) == 1);
	CHECK(ask_table(d, region, read_only) == 1);
	driver_step(d, 2);
	driver_step(d, 3);
}

/* The rings' memory goes, with a read parked in it, and comes back. */
ATTACK(memory_under_the_rings, AT_CHANNEL)
{
	const struct vhost_user_mem_slot slot = {
		.region = { PEER_GUEST, PEER_MEM_SIZE, PEER_USER, 0 },
	};

	driver_park(d, 0, 0, 4096);
	CHECK(peer_ask(d->peer, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0) == 0);
	for (unsigned int i = 0; i < d->peer->queue_count; i++)
		peer_kick(&d->peer->queues[i]);
	CHECK(peer_ask(d->peer, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &d->peer->memfd, 1) ==
	      0);
	driver_take_events(d);
	CHECK(d->parked_is_back);
	driver_expect_alive(d);
}

/* --- Files that shrink -------------------------------------------------- */

static void truncate_and_end(struct driver *d, uint32_t size)
{
	CHECK(ftruncate(d->peer->memfd, size) == 0);
	for (unsigned int i = 0; i < d->peer->queue_count; i++)
		peer_kick(&d->peer->queues[i]);
	peer_expect_closed(d->peer);
}

ATTACK(truncated_rings, AT_CHANNEL)
{
	truncate_and_end(d, 0);
}

ATTACK(truncated_at_once_with_a_stop, AT_CHANNEL)
{
	driver_park(d, 0, 0, 4096);
	CHECK(ftruncate(d->peer->memfd, 0) == 0);
	/* The stop itself meets the hole. */
	peer_stop_queue(d->peer, d->rx->index);
	peer_expect_closed(d->peer);
}

ATTACK(truncated_and_gone, AT_CHANNEL)
{
	driver_park(d, 0, 0, 4096);
	CHECK(ftruncate(d->peer->memfd, 0) == 0);
}

/* The rings stay; the request's header, its payload or its result is in the hole. */
static void submit_into_hole(struct driver *d, enum mp_op op, uint64_t hole, unsigned int part)
{
	struct mp_request header = {
		.op = htole16(op), .length = htole32(4096), .channel = htole32(0),
		.generation = htole32(d->channels[0].generation),
	};
	struct peer_segment segments[3] = {
		{ peer_gpa(d->request), sizeof(header) }, { peer_gpa(d->out), 4096 },
		{ peer_gpa(d->result), sizeof(struct mp_result) },
	};
	bool is_read = op == MP_OP_READ;

	memcpy(d->peer->mem + d->request, &header, sizeof(header));
	if (is_read) {
		segments[1] = segments[2];
		segments[2] = (struct peer_segment){ peer_gpa(d->in), 4096 };
	}
	segments[part].gpa = peer_gpa(hole);
	peer_add(d->tx, segments, is_read ? 1 : 2, is_read ? 2 : 1);
	peer_kick(d->tx);
}

#define UNSHARED (PEER_MEM_SIZE + 4096)

/* Only the payload's place costs no more than the request [protocol.md 6.9, 10.7]. */
static void unshared_payload(struct driver *d, enum mp_op op)
{
	submit_into_hole(d, op, UNSHARED, op == MP_OP_READ ? 2 : 1);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
	CHECK(le32toh(driver_result(d)->status) == MP_FAULT);
	CHECK(driver_result(d)->count == 0);
	driver_expect_alive(d);
}

ATTACK(unshared_write_payload, AT_CHANNEL)
{
	unshared_payload(d, MP_OP_WRITE);
	CHECK(driver_write(d, 0, 0, "still", 5) == MP_OK);
}

ATTACK(unshared_read_payload, AT_CHANNEL)
{
	CHECK(driver_write(d, 0, 0, "bytes", 5) == MP_OK);
	driver_wait(d, 0, MP_ST_IN);
	unshared_payload(d, MP_OP_READ);
	CHECK(driver_read(d, 0, 0, 4096) == MP_OK);
	CHECK(le32toh(driver_result(d)->count) == 5);
	CHECK(!memcmp(driver_in(d), "bytes", 5));
}

ATTACK(unshared_header, AT_CHANNEL)
{
	submit_into_hole(d, MP_OP_WRITE, UNSHARED, 0);
	peer_expect_broken(d->peer);
}

ATTACK(unshared_result, AT_CHANNEL)
{
	submit_into_hole(d, MP_OP_WRITE, UNSHARED, 2);
	peer_expect_broken(d->peer);
}

ATTACK(unshared_event_buffer, AT_CHANNEL)
{
	const struct peer_segment segment = { peer_gpa(UNSHARED), sizeof(struct mp_event) };

	peer_add(d->rx, &segment, 0, 1);
	peer_kick(d->rx);
	peer_expect_broken(d->peer);
}

static void truncate_data(struct driver *d, enum mp_op op, unsigned int part)
{
	static const uint8_t bytes[4096] = { 1 };
	uint32_t hole = PEER_MEM_SIZE - 65536;

	if (op == MP_OP_READ) {
		CHECK(driver_write(d, 0, 0, bytes, sizeof(bytes)) == MP_OK);
		driver_wait(d, 0, MP_ST_IN);
	}
	CHECK(ftruncate(d->peer->memfd, hole) == 0);
	submit_into_hole(d, op, hole + 4096, part);
	/* An end, if the service looks at the bytes at all. */
	peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS);
}

ATTACK(truncated_header, AT_CHANNEL)
{
	truncate_data(d, MP_OP_WRITE, 0);
	peer_expect_closed(d->peer);
}

ATTACK(truncated_write_payload, AT_CHANNEL)
{
	truncate_data(d, MP_OP_WRITE, 1);
}

ATTACK(truncated_result, AT_CHANNEL)
{
	truncate_data(d, MP_OP_WRITE, 2);
	peer_expect_closed(d->peer);
}

ATTACK(truncated_read_payload, AT_CHANNEL)
{
	truncate_data(d, MP_OP_READ, 2);
}

/* Bytes go through a system call, which says EFAULT where the daemon gets a signal: as bad. */
ATTACK(truncated_payload_of_a_socket, AT_PORT)
{
	uint32_t hole = PEER_MEM_SIZE - 65536;

	driver_open_channel(d, 0, "cat");
	CHECK(ftruncate(d->peer->memfd, hole) == 0);
	submit_into_hole(d, MP_OP_WRITE, hole, 1);
	peer_expect_closed(d->peer);
}

ATTACK(truncated_parked_read_of_a_socket, AT_PORT)
{
	static const uint8_t bytes[4096] = { 1 };

	driver_open_channel(d, 0, "cat");
	d->parked_in = PEER_MEM_SIZE - 8192;
	driver_park(d, 0, 0, 4096);
	CHECK(ftruncate(d->peer->memfd, PEER_MEM_SIZE - 16384) == 0);
	driver_write(d, 0, 0, bytes, sizeof(bytes));
	peer_expect_closed(d->peer);
}

ATTACK(truncated_parked_read, AT_CHANNEL)
{
	static const uint8_t bytes[4096] = { 1 };

	d->parked_in = PEER_MEM_SIZE - 8192;
	driver_park(d, 0, 0, 4096);
	CHECK(ftruncate(d->peer->memfd, PEER_MEM_SIZE - 16384) == 0);
	driver_write(d, 0, 0, bytes, sizeof(bytes));
	peer_expect_closed(d->peer);
}

ATTACK(truncated_event_buffers, AT_CHANNEL)
{
	const struct peer_segment segment = { peer_gpa(PEER_MEM_SIZE - 4096),
					      sizeof(struct mp_event) };

	/* All buffers that remain are in the hole. */
	d->keep_events = false;
	for (int i = 0; i < 100; i++)
		peer_add(d->rx, &segment, 0, 1);
	peer_kick(d->rx);
	CHECK(ftruncate(d->peer->memfd, PEER_MEM_SIZE - 16384) == 0);
	d->may_end = true;
	for (uint32_t slot = 1; slot < 60; slot++) {
		CHECK(driver_connect(d, slot, "echo") == MP_OK);
		driver_write(d, slot, 0, "event", 5);
	}
	peer_expect_closed(d->peer);
}

/* Shrinks and grows while requests are served. */
ATTACK(breathing_memory, AT_CHANNEL)
{
	static const uint8_t bytes[60000];

	for (int i = 0; i < 200; i++) {
		CHECK(ftruncate(d->peer->memfd, d->out + (i % 16) * 4096) == 0);
		CHECK(ftruncate(d->peer->memfd, PEER_MEM_SIZE) == 0);
		submit_into_hole(d, MP_OP_WRITE, d->out, 1);
		if (peer_wait_used(d->peer, d->tx, NULL, 1000) < 0)
			break;
		memcpy(d->peer->mem + d->out, bytes, sizeof(bytes));
	}
}

ATTACK(punched_holes, AT_CHANNEL)
{
	uint32_t data = d->out & ~4095u;

	/* Holes in a file are zeros, not errors. */
	CHECK(fallocate(d->peer->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, data + 4096,
			DRIVER_BUFFER - 8192) == 0);
	driver_expect_alive(d);
}
