// SPDX-License-Identifier: MIT
/* A guest that sends what is no frame, SYNCs out of turn, and too much of anything. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bad_stream_guest.h"

/* --- Bytes ------------------------------------------------------------------ */

static void garble(const void *context)
{
	const size_t *at = context;
	const struct frame frame = {
		.type = MP_FRAME_DATA, .slot = 1, .generation = GENERATION(1), .offset = 5,
		.length = 10,
	};
	char buf[FRAME_MAX];
	struct guest g;
	size_t len;

	guest_start(&g);
	len = stream_make(&g.s, frame, NULL, buf);
	buf[*at] ^= 0x10;
	stream_send(&g.s, buf, len);
	/* It may look longer now. */
	stream_send_zeros(&g.s, 100);
	expect_end(g.far[1]);
	guest_finish(&g, ENDS);
}

/* A frame without its last bytes; then its sender starts. */
static void tear(const void *context)
{
	const size_t *left = context;
	const struct frame frame = {
		.type = MP_FRAME_DATA, .slot = 1, .generation = GENERATION(1), .offset = 5,
		.length = 100,
	};
	char buf[FRAME_MAX];
	struct guest g;

	guest_start(&g);
	stream_make(&g.s, frame, NULL, buf);
	stream_send(&g.s, buf, *left);
	stream_send_zeros(&g.s, MP_STREAM_PAD);
	expect_end(g.far[1]);
	guest_finish(&g, ENDS);
}

static void send_zeros(const void *context)
{
	struct guest g;

	(void)context;
	guest_start(&g);
	CHECK(stream_send_zeros(&g.s, 64 << 20));
	guest_finish(&g, GOES_ON);
}

/* The guest goes in mid-frame: what is left of it is nothing. */
static void leave(const void *context)
{
	struct guest g;

	(void)context;
	guest_start(&g);
	stream_send(&g.s, "half", 4);
	close(g.s.fd);
	expect_end(g.far[0]);
	expect_end(g.far[1]);
	guest_use_other_road();
	guest_be_honest();
}

/* --- SYNCs ------------------------------------------------------------------ */

static const struct bad_sync {
	const char *name;
	uint16_t version, window;
	uint32_t max_channels;
	int at;				/* this byte is another one */
} syncs[] = {
	{ "version 0", 0, 4096, 0, 63 },
	{ "window 0", 1, 0, 0, 63 },
	{ "a window that is too large", 1, MP_WINDOW_MAX + 1, 0, 63 },
	{ "slots, as a device has them", 1, 4096, 100, 63 },
	{ "a wrong check", 1, 4096, 0, 60 },
	{ "a flag that is none", 1, 4096, 0, 57 },
};

/* The check fits, but for the last two of the table. */
static void make_bad_sync(struct stream *s, const struct bad_sync *bad, char *buf)
{
	struct sync sync = {
		.version = bad->version, .window = bad->window,
		.max_channels = bad->max_channels, .hunts = true,
	};

	memcpy(sync.mine, s->mine, MP_NONCE_SIZE);
	memcpy(sync.yours, s->heard, MP_NONCE_SIZE);
	sync_put(buf, &sync);
	if (bad->at < 63)
		buf[bad->at] ^= 2;
}

static void sync_in_session(const void *context)
{
	char buf[sizeof(struct mp_sync)];
	struct guest g;

	guest_start(&g);
	make_bad_sync(&g.s, context, buf);
	stream_send(&g.s, buf, sizeof(buf));
	expect_end(g.far[1]);
	guest_finish(&g, ENDS);
}

/* No such SYNC is answered: the daemon says nothing but its own start. */
static void sync_while_hunting(const void *context)
{
	char buf[sizeof(struct mp_sync)];
	struct guest g = { .listener = listen_at("keep") };
	struct sync sync;

	guest_session(&g);
	close(g.s.fd);
	do {
		stream_init(&g.s, peer_connect(in_folder("stream")), false);
		make_bad_sync(&g.s, context, buf);
	} while (!stream_send(&g.s, buf, sizeof(buf)) ||
		 recv(g.s.fd, g.s.in, MP_STREAM_PAD + sizeof(buf), MSG_WAITALL) <= 0);
	CHECK(sync_get(&sync, g.s.in + MP_STREAM_PAD, false) && sync.hunts);
	CHECK(!memcmp(sync.yours, (char[MP_NONCE_SIZE]){ 0 }, MP_NONCE_SIZE));
	CHECK(stream_hunt(&g.s, PEER_WAIT_MS));
	guest_open(&g, 0);
	guest_open(&g, 1);
	guest_finish(&g, GOES_ON);
}

static void restart(const void *context)
{
	struct guest g;

	(void)context;
	guest_start(&g);
	for (int i = 0; i < 2; i++) {
		CHECK(stream_hunt(&g.s, PEER_WAIT_MS));
		expect_end(g.far[0]);
		expect_end(g.far[1]);
		guest_open(&g, 0);
		guest_open(&g, 1);
	}
	guest_finish(&g, GOES_ON);
}

/* The same stream goes on after a session that a lie has ended. */
static void come_back(const void *context)
{
	struct guest g;

	(void)context;
	guest_start(&g);
	stream_send(&g.s, "this is neither a frame nor a SYNC, but as long", 47);
	expect_end(g.far[0]);
	expect_end(g.far[1]);
	CHECK(stream_hunt(&g.s, PEER_WAIT_MS));
	guest_open(&g, 0);
	guest_open(&g, 1);
	guest_finish(&g, GOES_ON);
}

/* Each asks for an answer, and the guest reads none of them before the last. */
static void flood_syncs(const void *context)
{
	uint64_t before = resident_kb(daemon_pid);
	struct guest g;

	(void)context;
	guest_start(&g);
	for (int i = 0; i < 30000; i++)
		CHECK(stream_send_sync(&g.s, true));
	guest_use_other_road();
	guest_expect_memory(before);
	guest_finish(&g, GOES_ON);
}

static void flood_starts(const void *context)
{
	struct guest g;
	bool ok;

	(void)context;
	do {
		guest_session(&g);
		ok = true;
		for (int i = 0; i < 10000; i++) {
			memcpy(g.s.mine, &i, sizeof(i));
			ok = ok && stream_send_sync(&g.s, true);
		}
	} while (!ok);
	guest_use_other_road();
	CHECK(stream_hunt(&g.s, PEER_WAIT_MS));
	g.listener = listen_at("keep");
	guest_open(&g, 0);
	guest_open(&g, 1);
	guest_finish(&g, GOES_ON);
}

static void flood_bytes(const void *context)
{
	static char bytes[1 << 16];
	struct guest g;

	(void)context;
	guest_start(&g);
	memset(bytes, 0xff, sizeof(bytes));	/* with which a SYNC begins */
	for (int i = 0; i < 256; i++)
		CHECK(stream_send(&g.s, bytes, sizeof(bytes)));
	expect_end(g.far[1]);
	guest_finish(&g, ENDS);
}

static void flood_pings(const void *context)
{
	struct guest g;

	(void)context;
	guest_start(&g);
	for (int i = 0; i < 30000; i++)
		CHECK(stream_put(&g.s, (struct frame){ .type = MP_FRAME_PING }, NULL));
	guest_finish(&g, GOES_ON);
}

/* --- At random -------------------------------------------------------------- */

static void tell_anything(const void *context)
{
	uint64_t end = peer_now_ms() + 1000 * random_seconds;
	struct guest g;

	(void)context;
	for (current_seed = random_seed; peer_now_ms() < end; current_seed++) {
		guest_start(&g);
		lie_randomly(&g.s, current_seed);
		guest_use_other_road();
		close(g.s.fd);
		count_to_end(g.far[0]);
		count_to_end(g.far[1]);
		close(g.far[0]);
		close(g.far[1]);
		close(g.listener);
		guest_be_honest();
	}
	printf("# %llu seeds\n", (unsigned long long)(current_seed - random_seed));
}

void run_bytes(void)
{
	static const size_t garbled[] = { 0, 4, 12, 32 + 10, 32 + 10 + 7 };
	static const size_t torn[] = { 1, 31, 32, 100, 139 };
	static const struct lie lies[] = {
		{ "64 MiB of zeros", send_zeros, NULL },
		{ "the guest leaves in mid-frame", leave, NULL },
		{ "the guest starts again, twice", restart, NULL },
		{ "the same stream after a lie", come_back, NULL },
		{ "SYNCs without end, none read", flood_syncs, NULL },
		{ "starts without end", flood_starts, NULL },
		{ "16 MiB that are nothing", flood_bytes, NULL },
		{ "PINGs without end, none read", flood_pings, NULL },
	};
	char name[100];

	for (size_t i = 0; i < 5; i++)
		run(&(struct lie){ "a byte of a frame is another one", garble, &garbled[i] });
	for (size_t i = 0; i < 5; i++)
		run(&(struct lie){ "a torn frame", tear, &torn[i] });
	for (size_t i = 0; i < sizeof(syncs) / sizeof(syncs[0]); i++) {
		snprintf(name, sizeof(name), "a SYNC in a session: %s", syncs[i].name);
		run(&(struct lie){ name, sync_in_session, &syncs[i] });
		snprintf(name, sizeof(name), "a SYNC while the daemon hunts: %s", syncs[i].name);
		run(&(struct lie){ name, sync_while_hunting, &syncs[i] });
	}
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		run(&lies[i]);
	snprintf(name, sizeof(name), "%u s of anything, from seed %llu", random_seconds,
		 (unsigned long long)random_seed);
	run(&(struct lie){ name, tell_anything, NULL });
}
