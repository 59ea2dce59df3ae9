// SPDX-License-Identifier: MIT
/* The clients of a manyport serve whose host lies, restarts, floods or is silent. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bad_stream_host.h"

#define MANY 60				/* clients */

static void expect_not_let_in(int client)
{
	expect_named(client, MP_REASON_RESET);
	expect_end(client);
	close(client);
}

/* --- Before CONNECTED --------------------------------------------------------- */

static const struct answer {
	const char *name;
	struct frame frame;
	uint16_t reason;		/* that the client is told */
	enum outcome outcome;
} answers[] = {
	{ "DATA before CONNECTED", { .type = MP_FRAME_DATA, .length = 1 }, MP_REASON_RESET, ENDS },
	{ "CLOSED before CONNECTED", { .type = MP_FRAME_STATE, .flags = MP_ST_CLOSED },
	  MP_REASON_RESET, ENDS },
	{ "a failure, and not CONNECTED", { .type = MP_FRAME_STATE, .flags = MP_ST_FAILED },
	  MP_REASON_RESET, ENDS },
	{ "REFUSED without a reason", { .type = MP_FRAME_STATE, .flags = MP_ST_REFUSED },
	  MP_REASON_RESET, GOES_ON },
	{ "REFUSED with a reason that is none",
	  { .type = MP_FRAME_STATE, .flags = MP_ST_REFUSED, .offset = 1ULL << 40 },
	  MP_REASON_RESET, GOES_ON },
	{ "REFUSED", { .type = MP_FRAME_STATE, .flags = MP_ST_REFUSED, .offset = 1 },
	  MP_REASON_NO_SERVICE, GOES_ON },
};

static void tell_answer(const void *context)
{
	const struct answer *answer = context;
	struct frame frame = answer->frame;
	struct host h;
	int client;

	host_start(&h);
	client = host_come(&h);
	frame.slot = h.s.newest;
	frame.generation = h.s.ends[frame.slot].generation;
	stream_put(&h.s, frame, NULL);
	expect_named(client, answer->reason);
	expect_end(client);
	if (answer->outcome == GOES_ON)
		host_close(&h, client, frame.slot);
	else
		close(client);
	host_finish(&h, answer->outcome);
}

/* Sends until neither side takes more: serve sleeps, and the socket is full. */
static void upload(struct host *h, int client)
{
	static const char bytes[1 << 16];
	const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	bool moves;

	do {
		moves = false;
		while (send(client, bytes, sizeof(bytes), flags) > 0)
			moves = true;
		CHECK(errno == EAGAIN);
		host_wait_idle(h);
	} while (moves);
}

/* The host reads nothing, so the CONNECT is not even sent when its answer comes. */
static void answer_early(const void *context)
{
	struct host h;
	int client;

	(void)context;
	host_start(&h);
	CHECK(stream_grant(&h.s, 1, 1ULL << 62));
	upload(&h, h.clients[1]);
	client = name_at("door", "any");
	host_wait_idle(&h);
	stream_put(&h.s, (struct frame){ .type = MP_FRAME_STATE, .slot = 2, .generation = 1,
					 .flags = MP_ST_CONNECTED }, NULL);
	expect_not_let_in(client);
	host_finish(&h, ENDS);
}

/* --- Sessions ----------------------------------------------------------------- */

/* A client that waits for a session, one that was not answered, one that has closed. */
static void restart(const void *context)
{
	struct host h;
	int waits, asks;

	(void)context;
	host_begin(&h);
	waits = name_at("door", "any");
	host_wait_idle(&h);
	CHECK(stream_hunt(&h.s, PEER_WAIT_MS));
	while (!h.s.connects)
		stream_look(&h.s, PEER_WAIT_MS);
	CHECK(stream_hunt(&h.s, PEER_WAIT_MS));
	expect_not_let_in(waits);
	h.clients[0] = host_open(&h);
	h.clients[1] = host_open(&h);
	asks = host_come(&h);
	close(h.clients[1]);
	while (!h.s.ends[1].has_closed)
		stream_look(&h.s, PEER_WAIT_MS);
	CHECK(stream_hunt(&h.s, PEER_WAIT_MS));
	expect_not_let_in(asks);
	expect_end(h.clients[0]);
	close(h.clients[0]);
	host_expect_service(&h, GOES_ON);
}

static const struct bad_sync {
	const char *name;
	uint16_t version, window;
	uint32_t max_channels;
} syncs[] = {
	{ "version 0", 0, 4096, 100 },
	{ "window 0", 1, 0, 100 },
	{ "window 65535", 1, 65535, 100 },
	{ "no slot", 1, 4096, 0 },
	{ "2^32 - 1 slots", 1, 4096, -1U },
};

static void send_bad_sync(struct stream *s, const struct bad_sync *bad)
{
	struct sync sync = {
		.version = bad->version, .window = bad->window,
		.max_channels = bad->max_channels, .hunts = true,
	};
	char buf[sizeof(struct mp_sync)];

	memcpy(sync.mine, s->mine, MP_NONCE_SIZE);
	memcpy(sync.yours, s->heard, MP_NONCE_SIZE);
	sync_put(buf, &sync);
	stream_send(s, buf, sizeof(buf));
}

/* First where serve hunts, which takes no notice; then in a session, which ends. */
static void tell_sync(const void *context)
{
	struct host h;

	host_begin(&h);
	send_bad_sync(&h.s, context);
	CHECK(stream_hunt(&h.s, PEER_WAIT_MS));
	h.clients[0] = host_open(&h);
	h.clients[1] = host_open(&h);
	send_bad_sync(&h.s, context);
	expect_end(h.clients[1]);
	host_finish(&h, ENDS);
}

static void one_slot(const void *context)
{
	struct host h;
	int client;

	(void)context;
	host_begin(&h);
	h.s.max_channels = 1;
	CHECK(stream_hunt(&h.s, PEER_WAIT_MS));
	h.clients[0] = host_open(&h);
	client = name_at("door", "any");
	expect_named(client, MP_REASON_BUSY);
	expect_end(client);
	close(client);
	host_close(&h, h.clients[0], 0);
	client = host_open(&h);
	close(client);
	h.s.max_channels = STREAM_SLOTS;
	CHECK(stream_hunt(&h.s, PEER_WAIT_MS));
	host_expect_service(&h, GOES_ON);
}

/* --- Bytes -------------------------------------------------------------------- */

static void tear(const void *context)
{
	const struct frame frame = {
		.type = MP_FRAME_DATA, .slot = 1, .generation = 1, .offset = 5, .length = 100,
	};
	char buf[FRAME_MAX];
	struct host h;

	(void)context;
	host_start(&h);
	stream_make(&h.s, frame, NULL, buf);
	stream_send(&h.s, buf, 100);
	stream_send_zeros(&h.s, MP_STREAM_PAD);
	expect_end(h.clients[1]);
	host_finish(&h, ENDS);
}

static void flood_bytes(const void *context)
{
	static char bytes[1 << 16];
	struct host h;

	(void)context;
	host_start(&h);
	memset(bytes, 0xff, sizeof(bytes));
	for (int i = 0; i < 256; i++)
		CHECK(stream_send(&h.s, bytes, sizeof(bytes)));
	expect_end(h.clients[1]);
	host_finish(&h, ENDS);
}

/* Zeros, and what serve has to answer, of which the host reads nothing before the end. */
static void flood_much(const void *context)
{
	struct host h;
	uint64_t before;

	(void)context;
	host_start(&h);
	before = resident_kb(h.serve);
	for (int i = 0; i < 20000; i++) {
		CHECK(stream_put(&h.s, (struct frame){ .type = MP_FRAME_PING }, NULL));
		CHECK(stream_send_sync(&h.s, true));
	}
	CHECK(stream_send_zeros(&h.s, 64 << 20));
	CHECK(stream_data(&h.s, 1, "still", 5));
	expect_bytes(h.clients[1], "still");
	host_expect_memory(&h, before);
	host_finish(&h, GOES_ON);
}

/* --- Grants ------------------------------------------------------------------- */

static void overflow(const void *context)
{
	struct host h;
	uint64_t got, sent;

	(void)context;
	host_start(&h);
	host_fill(&h, 1);
	sent = h.s.ends[1].out;
	stream_data(&h.s, 1, "x", 1);
	got = 5 + count_to_end(h.clients[1]);
	if (got < 4096 || got > sent)
		FAIL("%llu of %llu bytes have come", (unsigned long long)got,
		     (unsigned long long)sent);
	host_finish(&h, ENDS);
}

/* Many clients that do not read, and a host that sends all it may. */
static void fill_all(const void *context)
{
	int clients[MANY];
	struct host h;
	uint64_t before;

	(void)context;
	host_start(&h);
	before = resident_kb(h.serve);
	for (uint32_t i = 0; i < MANY; i++) {
		clients[i] = host_open(&h);
		host_fill(&h, 2 + i);
	}
	host_expect_memory(&h, before);
	for (uint32_t i = 0; i < MANY; i++)
		host_close(&h, clients[i], 2 + i);
	host_finish(&h, GOES_ON);
}

/* A host that grants nothing: what its clients have sent stays theirs, and they can leave. */
static void grant_nothing(const void *context)
{
	int clients[10];
	struct host h;

	(void)context;
	host_start(&h);
	for (uint32_t i = 0; i < 10; i++) {
		clients[i] = host_open(&h);
		upload(&h, clients[i]);
	}
	host_sync(&h);
	for (uint32_t i = 0; i < 10; i++) {
		CHECK(h.s.ends[2 + i].in <= MP_WINDOW_MAX);
		host_close(&h, clients[i], 2 + i);
		CHECK(h.s.ends[2 + i].leaves && !h.s.ends[2 + i].has_closed);
	}
	host_finish(&h, GOES_ON);
}

/* A host that grants everything, and reads nothing until its clients have gone. */
static void read_nothing(const void *context)
{
	int clients[10];
	struct host h;
	uint64_t before;

	(void)context;
	host_start(&h);
	before = resident_kb(h.serve);
	for (uint32_t i = 0; i < 10; i++)
		clients[i] = host_open(&h);
	for (uint32_t i = 0; i < 10; i++) {
		CHECK(stream_grant(&h.s, 2 + i, 1ULL << 62));
		upload(&h, clients[i]);
	}
	host_expect_memory(&h, before);
	for (uint32_t i = 0; i < 10; i++)
		host_close(&h, clients[i], 2 + i);
	host_finish(&h, GOES_ON);
}

/* --- At random ---------------------------------------------------------------- */

/* Some clients are in, and some are not answered. All must end with the session. */
static void one_round(struct host *h)
{
	int clients[6];

	for (int i = 0; i < 3; i++)
		clients[i] = host_open(h);
	for (int i = 3; i < 6; i++)
		clients[i] = host_come(h);
	lie_randomly(&h->s, current_seed++);
	CHECK(stream_hunt(&h->s, PEER_WAIT_MS));
	h->s.is_lax = false;
	for (int i = 0; i < 6; i++) {
		count_to_end(clients[i]);
		close(clients[i]);
	}
}

static void tell_anything(const void *context)
{
	uint64_t end = peer_now_ms() + 1000 * random_seconds;
	struct host h;

	current_seed = *(const uint64_t *)context;
	host_begin(&h);
	CHECK(stream_hunt(&h.s, PEER_WAIT_MS));
	while (peer_now_ms() < end)
		one_round(&h);
	host_expect_service(&h, GOES_ON);
	printf("# to seed %llu\n", (unsigned long long)current_seed);
}

void run_host_clients(void)
{
	static const struct lie lies[] = {
		{ "to serve: CONNECTED before CONNECT was sent", answer_early, NULL },
		{ "to serve: sessions that restart", restart, NULL },
		{ "to serve: one slot", one_slot, NULL },
		{ "to serve: a torn frame", tear, NULL },
		{ "to serve: 16 MiB that are nothing", flood_bytes, NULL },
		{ "to serve: zeros, PINGs and SYNCs, and no read", flood_much, NULL },
		{ "to serve: one byte beyond all grants", overflow, NULL },
		{ "to serve: clients that do not read", fill_all, NULL },
		{ "to serve: no grant", grant_nothing, NULL },
		{ "to serve: all grants, and no read", read_nothing, NULL },
	};
	const uint64_t seeds[] = { random_seed, random_seed + 1000, random_seed + 2000 };
	char name[100];

	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "to serve: %u s of anything, from seed %llu",
			 random_seconds, (unsigned long long)seeds[i]);
		run(&(struct lie){ name, tell_anything, &seeds[i] });
	}
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		snprintf(name, sizeof(name), "to serve: %s", answers[i].name);
		run(&(struct lie){ name, tell_answer, &answers[i] });
	}
	for (size_t i = 0; i < sizeof(syncs) / sizeof(syncs[0]); i++) {
		snprintf(name, sizeof(name), "to serve: a SYNC with %s", syncs[i].name);
		run(&(struct lie){ name, tell_sync, &syncs[i] });
	}
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		run(&lies[i]);
}
