// SPDX-License-Identifier: MIT
/* A guest that has the host start programs. */

#include <linux/virtio_console.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

/* So many, with a write after them, are less than a ring has room for. */
#define PROGRAMS 180
#define ROUND_TRIPS 1000

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

/* --- The process that starts them ------------------------------------------- */

static pid_t spawner;			/* that is held; 0: none */

/* The daemon's first child. */
static pid_t find_spawner(void)
{
	char path[64], own[256] = "", of_daemon[256] = "";
	FILE *children;
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", daemon_pid, daemon_pid);
	children = fopen(path, "re");
	CHECK(children && fscanf(children, "%d", &pid) == 1);
	fclose(children);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	CHECK(readlink(path, own, sizeof(own) - 1) > 0);
	snprintf(path, sizeof(path), "/proc/%d/exe", daemon_pid);
	CHECK(readlink(path, of_daemon, sizeof(of_daemon) - 1) > 0);
	CHECK(!strcmp(own, of_daemon));
	return pid;
}

static char state_of(pid_t pid)
{
	char path[64], state = 0;
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	stat = fopen(path, "re");
	CHECK(stat && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1);
	fclose(stat);
	return state;
}

static void release_spawner(void)
{
	if (spawner)
		kill(spawner, SIGCONT);
	spawner = 0;
}

/* No program starts until it is released, or the attack fails. */
static void hold_spawner(void)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;

	if (!daemon_pid)
		return;
	atexit(release_spawner);
	spawner = find_spawner();
	CHECK(!kill(spawner, SIGSTOP));
	while (state_of(spawner) != 'T') {
		CHECK(peer_now_ms() < limit);
		poll(NULL, 0, 1);
	}
}

/*
 * Writes while programs start, one after the other. Returns what the slowest took. When the echo
 * is full it is emptied.
 */
static uint64_t write_until_all_run(struct driver *d, const uint32_t *results, uint64_t offset)
{
	uint64_t slowest = 0, in = 0, begin, us;
	uint32_t status;

	while (count_running(d, results) < PROGRAMS) {
		begin = now_us();
		status = driver_write(d, 0, offset, "x", 1);
		us = now_us() - begin;
		if (us > slowest)
			slowest = us;
		CHECK(status == MP_OK || status == MP_AGAIN);
		offset += status == MP_OK;
		while (status == MP_AGAIN && driver_read(d, 0, in, DRIVER_BUFFER) == MP_OK)
			in += le32toh(driver_result(d)->count);
	}
	return slowest;
}

/* Starting them holds no channel up: a write after them is answered before any of them runs. */
ATTACK(programs_in_one_kick, AT_CHANNEL)
{
	uint32_t results[PROGRAMS];
	uint64_t begin;
	uint16_t write;
	int head, running;

	for (int i = 0; i < PROGRAMS; i++)
		results[i] = put_connect(d, i + 1, "cat");
	write = put_write(d, 0);
	hold_spawner();
	begin = now_us();
	peer_kick(d->tx);
	do {
		head = peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS);
		CHECK(head >= 0);
	} while (head != write);
	running = count_running(d, results);
	printf("# answered after %llu us, when %d of %d programs ran\n",
	       (unsigned long long)(now_us() - begin), running, PROGRAMS);
	CHECK(!spawner || !running);
	release_spawner();
	printf("# the slowest write until all ran took %llu us\n",
	       (unsigned long long)write_until_all_run(d, results, strlen("after")));
	for (int i = 1; i <= PROGRAMS; i++)
		CHECK(driver_simple(d, MP_OP_CLOSE, i, MP_CLOSE_ABORT, 0) == MP_OK);
	driver_expect_alive(d);
}

/* A driver of the next port of @d's session, with a channel that is connected to "echo". */
static struct driver *open_other_port(struct driver *d)
{
	struct driver *other = calloc(1, sizeof(*other));
	uint32_t rx;

	CHECK(other);
	*other = *d;
	other->port = d->port + 1;
	rx = 4 + 2 * (other->port - 1);
	CHECK(rx + 1 < d->peer->queue_count);
	other->rx = &d->peer->queues[rx];
	other->tx = &d->peer->queues[rx + 1];
	other->request = peer_alloc(d->peer, sizeof(struct mp_request));
	other->result = peer_alloc(d->peer, sizeof(struct mp_result));
	memset(other->channels, 0, sizeof(other->channels));
	memset(other->event_buffers, 0, sizeof(other->event_buffers));
	driver_add_events(other, DRIVER_EVENTS);
	driver_control(other, other->port, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	driver_open_channel(other, 0, "echo");
	return other;
}

/* A byte there and back. Returns how long it took. */
static uint64_t round_trip_us(struct driver *d, uint64_t offset)
{
	uint64_t begin = now_us();

	CHECK(driver_write(d, 0, offset, "x", 1) == MP_OK);
	driver_wait(d, 0, MP_ST_IN);
	CHECK(driver_read(d, 0, offset, 1) == MP_OK);
	CHECK(*driver_in(d) == 'x');
	return now_us() - begin;
}

/* The longest of the round trips until all programs run, or, without @results, of many. */
static uint64_t longest_round_trip(struct driver *other, uint64_t *offset, struct driver *d,
				   const uint32_t *results)
{
	uint64_t longest = 0, us, begin = *offset;

	while (results ? count_running(d, results) < PROGRAMS : *offset < begin + ROUND_TRIPS) {
		us = round_trip_us(other, (*offset)++);
		if (us > longest)
			longest = us;
	}
	return longest;
}

/*
 * Nor another port: its round trips are made while none of them has started. How long they take
 * while they start is only said.
 */
ATTACK(programs_beside_another_port, AT_CHANNEL)
{
	struct driver *other = open_other_port(d);
	uint64_t offset = 0, alone, begin, beside;
	uint32_t results[PROGRAMS];
	uint64_t before;
	int running;

	alone = longest_round_trip(other, &offset, NULL, NULL);
	for (int i = 0; i < PROGRAMS; i++)
		results[i] = put_connect(d, i + 1, "cat");
	hold_spawner();
	peer_kick(d->tx);
	longest_round_trip(other, &offset, NULL, NULL);
	running = count_running(d, results);
	CHECK(!spawner || !running);
	before = offset;
	begin = now_us();
	release_spawner();
	beside = longest_round_trip(other, &offset, d, results);
	printf("# %d programs in %llu us; meanwhile %llu round trips, the longest %llu us; "
	       "without programs %llu us\n", PROGRAMS, (unsigned long long)(now_us() - begin),
	       (unsigned long long)(offset - before), (unsigned long long)beside,
	       (unsigned long long)alone);
	while (peer_take_used(d->tx, NULL) >= 0)
		;
	for (int i = 1; i <= PROGRAMS; i++)
		CHECK(driver_simple(d, MP_OP_CLOSE, i, MP_CLOSE_ABORT, 0) == MP_OK);
	free(other);
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
