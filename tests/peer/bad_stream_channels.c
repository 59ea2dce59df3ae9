// SPDX-License-Identifier: MIT
/* A guest whose frames are in order each, and do not follow each other in order. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bad_stream_guest.h"

#define G    GENERATION(1)
#define SAID 5				/* bytes of channel 1 */

/* --- Orders: what the daemon takes in one read ------------------------------- */

#define MAX_STEPS 4

#define DATA(at)	{ .type = MP_FRAME_DATA, .offset = at, .length = 1 }
#define SHUT(how, at)	{ .type = MP_FRAME_SHUTDOWN, .flags = how, .offset = at }
#define CLOSE(at)	{ .type = MP_FRAME_CLOSE, .offset = at }
#define LATER		CLOSE(MP_CLOSE_LATER)
#define ABORT		{ .type = MP_FRAME_CLOSE, .flags = MP_CLOSE_ABORT }
#define GRANT		{ .type = MP_FRAME_GRANT, .offset = 1 << 20 }

static const struct order {
	const char *name;
	struct frame steps[MAX_STEPS];
	enum outcome outcome;
	uint32_t more;			/* bytes that reach the far end, zeros */
} orders[] = {
	{ "DATA behind SHUTDOWN", { SHUT(MP_SHUT_WRITE, SAID), DATA(SAID) }, ENDS, 0 },
	{ "DATA behind SHUTDOWN of reading", { SHUT(MP_SHUT_READ, 77), DATA(SAID),
					       CLOSE(SAID + 1) }, GOES_ON, 1 },
	{ "SHUTDOWN twice", { SHUT(MP_SHUT_WRITE, SAID), SHUT(MP_SHUT_WRITE, SAID), CLOSE(SAID) },
	  GOES_ON, 0 },
	{ "DATA behind CLOSE", { CLOSE(SAID), DATA(SAID) }, ENDS, 0 },
	{ "DATA behind an abort", { ABORT, DATA(SAID) }, ENDS, 0 },
	{ "SHUTDOWN behind CLOSE", { CLOSE(SAID), SHUT(MP_SHUT_WRITE, SAID) }, ENDS, 0 },
	{ "CLOSE twice", { CLOSE(SAID), CLOSE(SAID) }, ENDS, 0 },
	{ "CLOSE behind an abort", { ABORT, CLOSE(SAID) }, ENDS, 0 },
	{ "an abort behind CLOSE", { CLOSE(SAID), ABORT }, GOES_ON, 0 },
	{ "an abort behind an abort", { ABORT, ABORT }, GOES_ON, 0 },
	{ "GRANT behind CLOSE", { CLOSE(SAID), GRANT }, GOES_ON, 0 },
	{ "CLOSE_LATER twice", { LATER, LATER }, ENDS, 0 },
	{ "CLOSE_LATER behind CLOSE", { CLOSE(SAID), LATER }, ENDS, 0 },
	{ "CLOSE_LATER behind SHUTDOWN", { SHUT(MP_SHUT_WRITE, SAID), LATER, CLOSE(SAID) }, GOES_ON,
	  0 },
	{ "DATA and CLOSE behind CLOSE_LATER", { LATER, DATA(SAID), CLOSE(SAID + 1) }, GOES_ON, 1 },
	{ "SHUTDOWN behind CLOSE_LATER", { LATER, SHUT(MP_SHUT_WRITE, 3), DATA(SAID),
					   CLOSE(SAID + 1) }, GOES_ON, 1 },
	{ "a wrong end behind CLOSE_LATER", { LATER, DATA(SAID), CLOSE(SAID) }, ENDS, 1 },
	{ "DATA behind CLOSE_LATER and CLOSE", { LATER, CLOSE(SAID), DATA(SAID) }, ENDS, 0 },
	{ "an abort behind CLOSE_LATER", { LATER, DATA(SAID), ABORT }, GOES_ON, 1 },
	{ "CLOSE_LATER, and nothing more", { LATER }, GOES_ON, 0 },
};

/* All frames in one piece, so that the daemon has told nothing of the first before the last. */
static void tell_order(const void *context)
{
	static char bytes[4 * FRAME_MAX];
	const struct order *order = context;
	struct guest g;
	size_t len = 0;
	uint64_t more;

	guest_start(&g);
	for (unsigned int i = 0; i < MAX_STEPS && order->steps[i].type; i++) {
		struct frame frame = order->steps[i];

		frame.slot = 1;
		frame.generation = G;
		len += stream_make(&g.s, frame, NULL, bytes + len);
	}
	stream_send(&g.s, bytes, len);
	more = count_to_end(g.far[1]);
	if (more != order->more)
		FAIL("%llu bytes came behind what was said", (unsigned long long)more);
	if (order->outcome == GOES_ON) {
		stream_wait_state(&g.s, 1, MP_ST_CLOSED);
		/* The slot is free. */
		guest_open(&g, 1);
	}
	guest_finish(&g, order->outcome);
}

/* --- Names ------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint16_t reason;
} names[] = {
	{ "nothing", MP_REASON_NO_SERVICE }, { "tab\there", MP_REASON_NAME_INVALID },
	{ "\x01mPt", MP_REASON_NAME_INVALID }, { "+argument", MP_REASON_NAME_INVALID },
	{ "two words", MP_REASON_NAME_INVALID }, { "\x7f", MP_REASON_NAME_INVALID },
	{ "\xff\xff", MP_REASON_NAME_INVALID }, { "line\n", MP_REASON_NAME_INVALID },
	{ "..", MP_REASON_NO_SERVICE }, { "%s%s%n", MP_REASON_NO_SERVICE },
};

/* Each is refused, in one slot: a refused one is tried again. */
static void tell_names(const void *context)
{
	struct guest g;

	(void)context;
	guest_start(&g);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		CHECK(stream_connect(&g.s, 2, 7, names[i].name));
		stream_wait_state(&g.s, 2, MP_ST_REFUSED);
		if (g.s.ends[2].reason != names[i].reason)
			FAIL("'%s': reason %llu", names[i].name,
			     (unsigned long long)g.s.ends[2].reason);
	}
	CHECK(stream_connect(&g.s, 2, 7, "echo"));
	stream_wait_state(&g.s, 2, MP_ST_CONNECTED);
	guest_finish(&g, GOES_ON);
}

/* Again, before the first answer: in one piece. */
static void tell_name_twice(const void *context)
{
	const struct frame_connect connect = { .name = "no", .name_len = 2 };
	const struct frame frame = {
		.type = MP_FRAME_CONNECT, .slot = 2, .generation = 9,
		.length = sizeof(struct mp_connect) + 2,
	};
	char body[FRAME_CONNECT_MAX];
	static char bytes[2 * FRAME_MAX];
	struct guest g;
	size_t len;

	(void)context;
	guest_start(&g);
	frame_put_connect(body, &connect);
	len = stream_make(&g.s, frame, body, bytes);
	len += stream_make(&g.s, frame, body, bytes + len);
	stream_send(&g.s, bytes, len);
	expect_end(g.far[1]);
	guest_finish(&g, ENDS);
}

/* --- A service that is not reached yet ----------------------------------------- */

static const struct order early[] = {
	{ "DATA before CONNECTED", { DATA(0) }, ENDS, 0 },
	{ "SHUTDOWN before CONNECTED", { SHUT(MP_SHUT_WRITE, 0) }, ENDS, 0 },
	{ "CLOSE before CONNECTED", { CLOSE(0) }, GOES_ON, 0 },
	{ "CLOSE_LATER before CONNECTED", { LATER }, GOES_ON, 0 },
	{ "an abort before CONNECTED", { ABORT }, GOES_ON, 0 },
	{ "GRANT before CONNECTED", { GRANT, ABORT }, GOES_ON, 0 },
};

/* Its listener has a connection that waits, and room for no other. */
static void tell_early(const void *context)
{
	const struct order *order = context;
	struct guest g;
	int busy = listen_at("busy"), first;

	CHECK(!listen(busy, 0));
	first = peer_connect(in_folder("busy"));
	guest_start(&g);
	CHECK(stream_connect(&g.s, 2, 3, "busy"));
	guest_sync(&g);
	CHECK(!g.s.ends[2].state);
	for (unsigned int i = 0; i < MAX_STEPS && order->steps[i].type; i++) {
		struct frame frame = order->steps[i];

		frame.slot = 2;
		frame.generation = 3;
		stream_put(&g.s, frame, NULL);
	}
	if (order->outcome == GOES_ON)
		stream_wait_state(&g.s, 2, MP_ST_CLOSED);
	guest_finish(&g, order->outcome);
	close(first);
	close(busy);
}

/* --- Grants ------------------------------------------------------------------- */

/* Everything that is granted to a service that does not read. */
static void fill(struct guest *g, uint32_t slot)
{
	struct stream_end *end = &g->s.ends[slot];
	uint64_t room;

	for (guest_sync(g); (room = end->out_granted - end->out); guest_sync(g))
		CHECK(stream_data(&g->s, slot, NULL, room < MP_FRAME_BODY ? room : MP_FRAME_BODY));
}

static void overflow(const void *context)
{
	struct guest g;
	uint64_t got, sent;

	(void)context;
	guest_start(&g);
	fill(&g, 1);
	sent = g.s.ends[1].out;
	stream_data(&g.s, 1, "x", 1);
	got = SAID + count_to_end(g.far[1]);
	if (got < 4096 || got > sent)
		FAIL("%llu of %llu bytes have come", (unsigned long long)got,
		     (unsigned long long)sent);
	guest_finish(&g, ENDS);
}

/* No service reads, and the guest sends all that it may. */
static void fill_all(const void *context)
{
	uint64_t before = resident_kb(daemon_pid);
	struct guest g;
	int far[100];

	(void)context;
	guest_start(&g);
	for (uint32_t i = 0; i < 100; i++) {
		CHECK(stream_connect(&g.s, 2 + i, 3, "keep"));
		stream_wait_state(&g.s, 2 + i, MP_ST_CONNECTED);
		far[i] = accept_within(g.listener, PEER_WAIT_MS);
		fill(&g, 2 + i);
	}
	guest_expect_memory(before);
	guest_finish(&g, GOES_ON);
	for (int i = 0; i < 100; i++)
		close(far[i]);
}

/* Services that talk, grants of 2^62, and no read: each side holds what the stream holds. */
static void read_nothing(const void *context)
{
	uint64_t before = resident_kb(daemon_pid);
	struct guest g;

	(void)context;
	guest_start(&g);
	for (uint32_t i = 2; i < 102; i++) {
		CHECK(stream_connect(&g.s, i, 3, "zero"));
		CHECK(stream_grant(&g.s, i, 1ULL << 62));
	}
	for (uint32_t i = 0; i < 10000; i++) {
		CHECK(stream_put(&g.s, (struct frame){ .type = MP_FRAME_PING }, NULL));
		CHECK(stream_send_sync(&g.s, true));
	}
	guest_use_other_road();
	CHECK(stream_data(&g.s, 0, "still", 5));
	expect_bytes(g.far[0], "still");
	guest_expect_memory(before);
	guest_finish(&g, GOES_ON);
}

/* DATA that crosses the end of its service is dropped, and counts for grants. */
static void talk_to_the_dead(const void *context)
{
	static const char bytes[1024];
	struct guest g;

	(void)context;
	guest_start(&g);
	close(g.far[1]);
	stream_wait_state(&g.s, 1, MP_ST_OUT_END | MP_ST_FAILED);
	for (int i = 0; i < 300; i++) {
		while (g.s.ends[1].out + sizeof(bytes) > g.s.ends[1].out_granted)
			guest_sync(&g);
		CHECK(stream_data(&g.s, 1, bytes, sizeof(bytes)));
	}
	CHECK(stream_say(&g.s, MP_FRAME_CLOSE, MP_CLOSE_ABORT, 1, 0));
	stream_wait_state(&g.s, 1, MP_ST_CLOSED);
	guest_open(&g, 1);
	guest_finish(&g, GOES_ON);
}

/* --- Many --------------------------------------------------------------------- */

/* Every slot, most of them beyond what a user may have; then one more. */
static void flood_connects(const void *context)
{
	struct guest g;
	uint32_t refused = 0;

	(void)context;
	guest_start(&g);
	for (uint32_t i = 2; i < GUEST_CHANNELS; i++)
		CHECK(stream_connect(&g.s, i, 3, "zero"));
	for (uint32_t i = 2; i < GUEST_CHANNELS; i++) {
		stream_wait_state(&g.s, i, MP_ST_CONNECTED | MP_ST_REFUSED);
		refused += g.s.ends[i].reason == MP_REASON_BUSY;
	}
	CHECK(refused == GUEST_CHANNELS - GUEST_USER);
	guest_use_other_road();
	stream_connect(&g.s, GUEST_CHANNELS, 3, "zero");
	expect_end(g.far[1]);
	guest_finish(&g, ENDS);
}

static void connect_and_abort(const void *context)
{
	struct guest g;

	(void)context;
	guest_start(&g);
	for (uint32_t round = 1; round <= 20; round++) {
		for (uint32_t i = 2; i < 100; i++) {
			CHECK(stream_connect(&g.s, i, round, "echo"));
			CHECK(stream_say(&g.s, MP_FRAME_CLOSE, MP_CLOSE_ABORT, i, 0));
		}
		for (uint32_t i = 2; i < 100; i++)
			stream_wait_state(&g.s, i, MP_ST_CLOSED);
	}
	guest_finish(&g, GOES_ON);
}

void run_channels(void)
{
	static const struct lie lies[] = {
		{ "names that are none", tell_names, NULL },
		{ "a refused name again, before its answer", tell_name_twice, NULL },
		{ "one byte beyond all grants", overflow, NULL },
		{ "100 services that do not read", fill_all, NULL },
		{ "100 services that talk, and a guest that does not read", read_nothing, NULL },
		{ "a service that is gone", talk_to_the_dead, NULL },
		{ "more channels than there are slots", flood_connects, NULL },
		{ "channels that are aborted at once", connect_and_abort, NULL },
	};

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		run(&(struct lie){ orders[i].name, tell_order, &orders[i] });
	for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++)
		run(&(struct lie){ early[i].name, tell_early, &early[i] });
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		run(&lies[i]);
}
