// SPDX-License-Identifier: MIT
/* A guest that has the host start programs. */

#include <string.h>
#include <time.h>

#include "attack.h"

/* As many as a ring has room for, with a write behind them. */
#define PROGRAMS 125

struct connect_request {
	struct mp_request header;
	struct mp_connect connect;
	char name[8];
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

/* A request of @len bytes, not kicked. Returns its head; its result is at *result. */
static uint16_t put(struct driver *d, const void *request, size_t len, uint32_t *result)
{
	uint32_t at = peer_alloc(d->peer, len);
	struct peer_segment segments[2] = { { peer_gpa(at), len } };

	*result = peer_alloc(d->peer, sizeof(struct mp_result));
	segments[1] = (struct peer_segment){ peer_gpa(*result), sizeof(struct mp_result) };
	memcpy(d->peer->mem + at, request, len);
	return peer_add(d->tx, segments, 1, 1);
}

static uint32_t put_connect(struct driver *d, uint32_t slot, const char *name)
{
	uint32_t len = sizeof(struct mp_connect) + strlen(name), result;
	struct connect_request request = {
		.header = { .op = htole16(MP_OP_CONNECT), .length = htole32(len),
			    .channel = htole32(slot), .generation = htole32(++d->generation) },
		.connect = { .uid = htole32(1000), .comm = "many",
			     .name_len = htole32(strlen(name)) },
	};

	CHECK(strlen(name) < sizeof(request.name));
	strcpy(request.name, name);
	d->channels[slot] = (struct driver_channel){ .generation = d->generation };
	put(d, &request, sizeof(request.header) + len, &result);
	return result;
}

static uint16_t put_write(struct driver *d, uint32_t slot)
{
	struct {
		struct mp_request header;
		char bytes[5];
	} request = {
		.header = { .op = htole16(MP_OP_WRITE), .length = htole32(sizeof(request.bytes)),
			    .channel = htole32(slot),
			    .generation = htole32(d->channels[slot].generation) },
		.bytes = "after",
	};
	uint32_t result;

	return put(d, &request, sizeof(request.header) + sizeof(request.bytes), &result);
}

/* How many of them run, as far as the device has said. */
static int count_running(struct driver *d, const uint32_t *results)
{
	int count = 0;

	driver_take_events(d);
	for (int i = 0; i < PROGRAMS; i++) {
		const struct mp_result *result = (const void *)(d->peer->mem + results[i]);

		count += ((le16toh(result->state.bits) | d->channels[i + 1].bits) &
			  MP_ST_CONNECTED) != 0;
	}
	return count;
}

/* Writes while programs start, one after the other. Returns what the slowest took. */
static uint64_t write_until_all_run(struct driver *d, const uint32_t *results, uint64_t offset)
{
	uint64_t slowest = 0, begin, us;

	while (count_running(d, results) < PROGRAMS) {
		begin = now_us();
		CHECK(driver_write(d, 0, offset++, "x", 1) == MP_OK);
		us = now_us() - begin;
		if (us > slowest)
			slowest = us;
	}
	return slowest;
}

/* Starting them holds no channel up: a write after them is answered before most of them run. */
ATTACK(programs_in_one_kick, AT_CHANNEL)
{
	uint32_t results[PROGRAMS];
	uint64_t begin;
	uint16_t write;
	int head, running;

	for (int i = 0; i < PROGRAMS; i++)
		results[i] = put_connect(d, i + 1, "cat");
	write = put_write(d, 0);
	begin = now_us();
	peer_kick(d->tx);
	do {
		head = peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS);
		CHECK(head >= 0);
	} while (head != write);
	running = count_running(d, results);
	printf("# answered after %llu us, when %d of %d programs ran\n",
	       (unsigned long long)(now_us() - begin), running, PROGRAMS);
	CHECK(running < PROGRAMS / 2);
	printf("# the slowest write until all ran took %llu us\n",
	       (unsigned long long)write_until_all_run(d, results, strlen("after")));
	for (int i = 1; i <= PROGRAMS; i++)
		CHECK(driver_simple(d, MP_OP_CLOSE, i, MP_CLOSE_ABORT, 0) == MP_OK);
	driver_expect_alive(d);
}

/* Channels whose programs have not started yet: closed in each way, and left to the end. */
ATTACK(programs_nobody_waits_for, AT_CHANNEL)
{
	for (int i = 1; i <= PROGRAMS; i++) {
		CHECK(driver_connect(d, i, "cat") == MP_OK);
		if (i % 3)
			CHECK(driver_simple(d, MP_OP_CLOSE, i, i % 3 == 1 ? MP_CLOSE_ABORT : 0,
					    0) == MP_OK);
	}
	driver_expect_alive(d);
}
