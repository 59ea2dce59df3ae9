// SPDX-License-Identifier: MIT
/* A guest that lies to a manyportd over its stream. See bad_stream.h. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bad_stream_guest.h"

#define SERVED_BYTES 200000U
#define MORE_KB	     32768	/* that the daemon may need for what a guest makes it hold */

static int idle_fds;			/* of the daemon, with no guest */

/* --- A session -------------------------------------------------------------- */

/* The daemon may not have seen the last guest's end yet: then it refuses a second stream. */
void guest_session(struct guest *g)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;

	for (;;) {
		stream_init(&g->s, peer_connect(in_folder("stream")), false);
		if (stream_hunt(&g->s, PEER_WAIT_MS))
			break;
		close(g->s.fd);
		if (peer_now_ms() >= limit)
			FAIL("the daemon opens no session");
		poll(NULL, 0, 5);
	}
	CHECK(g->s.peer_channels == GUEST_CHANNELS);
}

void guest_open(struct guest *g, uint32_t slot)
{
	CHECK(stream_connect(&g->s, slot, GENERATION(slot), "keep"));
	g->far[slot] = accept_within(g->listener, PEER_WAIT_MS);
	CHECK(g->far[slot] >= 0);
	stream_wait_state(&g->s, slot, MP_ST_CONNECTED);
	CHECK(stream_data(&g->s, slot, HELLO, strlen(HELLO)));
	expect_bytes(g->far[slot], HELLO);
}

void guest_start(struct guest *g)
{
	g->listener = listen_at("keep");
	guest_session(g);
	guest_open(g, 0);
	guest_open(g, 1);
}

static void wait_pong(struct guest *g)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	uint32_t before = g->s.pongs;

	CHECK(stream_put(&g->s, (struct frame){ .type = MP_FRAME_PING }, NULL));
	while (g->s.pongs == before) {
		CHECK(peer_now_ms() < limit);
		stream_look(&g->s, 100);
	}
}

/* A PONG may stand in front of what was owed with it, so the second one tells. */
void guest_sync(struct guest *g)
{
	wait_pong(g);
	wait_pong(g);
}

/* The daemon answers a PING, or the witness's far end sees that the session has ended. */
static enum outcome look_at_session(struct guest *g)
{
	struct pollfd wait[] = {
		{ .fd = g->far[0], .events = POLLRDHUP },
		{ .fd = g->s.fd, .events = POLLIN },
	};
	uint32_t before = g->s.pongs;

	stream_put(&g->s, (struct frame){ .type = MP_FRAME_PING }, NULL);
	while (poll(wait, 2, PEER_WAIT_MS) > 0) {
		if (wait[0].revents)
			return ENDS;
		if (stream_has_pong(&g->s, before))
			return GOES_ON;
	}
	FAIL("the session neither goes on nor ends");
}

/* --- An honest guest -------------------------------------------------------- */

static void echo_some(struct guest *g, uint32_t *sent, uint32_t *got)
{
	struct stream_end *end = &g->s.ends[0];
	static char bytes[MP_FRAME_BODY];
	struct frame frame;
	const char *body;
	uint32_t len = SERVED_BYTES - *sent;

	if (len > end->out_granted - end->out)
		len = end->out_granted - end->out;
	if (len > MP_FRAME_BODY)
		len = MP_FRAME_BODY;
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = byte_at(*sent + i);
	if (len)
		CHECK(stream_data(&g->s, 0, bytes, len));
	*sent += len;
	if (stream_take(&g->s, &frame, &body, PEER_WAIT_MS) != CAME_FRAME)
		FAIL("an honest guest has %u of %u bytes back", *got, *sent);
	if (frame.type != MP_FRAME_DATA)
		return;
	for (uint32_t i = 0; i < frame.length; i++)
		CHECK(body[i] == byte_at(*got + i));
	*got += frame.length;
	CHECK(stream_grant(&g->s, 0, *got + 60000));
}

static void be_honest(struct guest *g)
{
	uint32_t sent = 0, got = 0;

	CHECK(stream_connect(&g->s, 0, 1, "echo"));
	stream_wait_state(&g->s, 0, MP_ST_CONNECTED);
	while (got < SERVED_BYTES)
		echo_some(g, &sent, &got);
	CHECK(stream_say(&g->s, MP_FRAME_CLOSE, 0, 0, SERVED_BYTES));
	stream_wait_state(&g->s, 0, MP_ST_CLOSED);
	CHECK(g->s.ends[0].reason == MP_REASON_NONE);
}

void guest_be_honest(void)
{
	struct guest g;

	guest_session(&g);
	be_honest(&g);
	close(g.s.fd);
	expect_fds(daemon_pid, idle_fds);
}

void guest_expect_memory(uint64_t before)
{
	uint64_t now = resident_kb(daemon_pid);

	if (now > before + MORE_KB)
		FAIL("the daemon had %llu KiB and has %llu", (unsigned long long)before,
		     (unsigned long long)now);
}

void guest_use_other_road(void)
{
	int fd = name_at("vsock", "echo");

	expect_named(fd, MP_REASON_NONE);
	CHECK(send(fd, HELLO, strlen(HELLO), MSG_NOSIGNAL) == (ssize_t)strlen(HELLO));
	expect_bytes(fd, HELLO);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
	close(fd);
}

void guest_finish(struct guest *g, enum outcome outcome)
{
	enum outcome now = look_at_session(g);

	if (now != outcome)
		FAIL("the session %s", now == ENDS ? "has ended" : "goes on");
	guest_use_other_road();
	if (now == GOES_ON) {
		CHECK(stream_data(&g->s, 0, "again", 5));
		expect_bytes(g->far[0], "again");
	} else {
		expect_end(g->far[0]);
	}
	close(g->s.fd);
	close(g->far[0]);
	close(g->far[1]);
	guest_be_honest();
}

static void tell_nothing(const void *context)
{
	(void)context;
	guest_be_honest();
}

void run_guest(void)
{
	idle_fds = count_fds(daemon_pid);
	run(&(struct lie){ "an honest guest is served", tell_nothing, NULL });
	run_frames();
	run_channels();
	run_bytes();
}
