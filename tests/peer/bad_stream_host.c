// SPDX-License-Identifier: MIT
/* A host that lies to a manyport serve. See bad_stream_host.h. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bad_stream_host.h"

#define MORE_KB 49152			/* that serve may need for what a host makes it hold */

/* --- A serve ---------------------------------------------------------------- */

static void exec_serve(void)
{
	char port[200], door[200];
	int log = open(in_folder("../log"), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);

	snprintf(port, sizeof(port), "unix:%s", in_folder("stream"));
	snprintf(door, sizeof(door), "--door=%s", in_folder("door"));
	dup2(log, STDERR_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execl(command, command, "serve", port, door, (char *)NULL);
	_exit(127);
}

void host_begin(struct host *h)
{
	char own[100];
	int listener;

	snprintf(own, sizeof(own), "%s/%d", folder, getpid());
	CHECK(!mkdir(own, 0755));
	folder = strdup(own);
	listener = listen_at("stream");
	h->serve = fork();
	if (!h->serve)
		exec_serve();
	stream_init(&h->s, accept_within(listener, PEER_WAIT_MS), true);
	CHECK(h->s.fd >= 0);
	close(listener);
	/* Its start is the first that it says, when all is open. */
	CHECK(recv(h->s.fd, own, 1, MSG_PEEK) == 1);
	h->idle_fds = count_fds(h->serve);
}

static void wait_connect(struct host *h, uint32_t before)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;

	while (h->s.connects == before) {
		if (peer_now_ms() >= limit)
			FAIL("no CONNECT comes");
		stream_look(&h->s, 100);
	}
}

int host_come(struct host *h)
{
	uint32_t before = h->s.connects;
	int client = name_at("door", "any");

	wait_connect(h, before);
	return client;
}

int host_open(struct host *h)
{
	int client = host_come(h);
	uint32_t slot = h->s.newest;

	CHECK(stream_say(&h->s, MP_FRAME_STATE, MP_ST_CONNECTED, slot, 0));
	expect_named(client, MP_REASON_NONE);
	CHECK(send(client, HELLO, 5, MSG_NOSIGNAL) == 5);
	CHECK(stream_data(&h->s, slot, HELLO, 5));
	expect_bytes(client, HELLO);
	while (h->s.ends[slot].in < 5)
		stream_look(&h->s, PEER_WAIT_MS);
	return client;
}

void host_start(struct host *h)
{
	host_begin(h);
	CHECK(stream_hunt(&h->s, PEER_WAIT_MS));
	for (uint32_t i = 0; i < 2; i++) {
		h->clients[i] = host_open(h);
		CHECK(h->s.newest == i);
	}
}

/* The CLOSE comes, and is answered. */
static void close_slot(struct host *h, uint32_t slot)
{
	struct stream_end *end = &h->s.ends[slot];
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;

	while (!end->has_closed && !end->leaves) {
		if (peer_now_ms() >= limit)
			FAIL("no CLOSE comes for slot %u", slot);
		stream_look(&h->s, 100);
	}
	CHECK(stream_say(&h->s, MP_FRAME_STATE, MP_ST_CLOSED, slot, 0));
	end->generation = 0;
}

void host_close(struct host *h, int client, uint32_t slot)
{
	close(client);
	close_slot(h, slot);
}

static void wait_pong(struct host *h)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	uint32_t before = h->s.pongs;

	CHECK(stream_put(&h->s, (struct frame){ .type = MP_FRAME_PING }, NULL));
	while (h->s.pongs == before) {
		CHECK(peer_now_ms() < limit);
		stream_look(&h->s, 100);
	}
}

void host_sync(struct host *h)
{
	wait_pong(h);
	wait_pong(h);
}

void host_wait_idle(const struct host *h)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	char name[64], state = 0;
	FILE *stat;

	snprintf(name, sizeof(name), "/proc/%d/stat", h->serve);
	while (state != 'S') {
		CHECK(peer_now_ms() < limit);
		stat = fopen(name, "re");
		CHECK(stat && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1);
		fclose(stat);
	}
}

void host_fill(struct host *h, uint32_t slot)
{
	struct stream_end *end = &h->s.ends[slot];
	uint64_t room;

	for (host_sync(h); (room = end->out_granted - end->out); host_sync(h))
		CHECK(stream_data(&h->s, slot, NULL, room < MP_FRAME_BODY ? room : MP_FRAME_BODY));
}

/* --- What must hold ----------------------------------------------------------- */

void host_expect_memory(const struct host *h, uint64_t before)
{
	uint64_t now = resident_kb(h->serve);

	if (now > before + MORE_KB)
		FAIL("serve had %llu KiB and has %llu", (unsigned long long)before,
		     (unsigned long long)now);
}

static enum outcome look_at_session(struct host *h)
{
	struct pollfd wait[] = {
		{ .fd = h->clients[0], .events = POLLRDHUP },
		{ .fd = h->s.fd, .events = POLLIN },
	};
	uint32_t before = h->s.pongs;

	stream_put(&h->s, (struct frame){ .type = MP_FRAME_PING }, NULL);
	while (poll(wait, 2, PEER_WAIT_MS) > 0) {
		if (wait[0].revents)
			return ENDS;
		if (stream_has_pong(&h->s, before))
			return GOES_ON;
	}
	FAIL("the session neither goes on nor ends");
}

static void expect_serve_ends(struct host *h)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	int status = 0;

	kill(h->serve, SIGTERM);
	while (waitpid(h->serve, &status, WNOHANG) == 0) {
		CHECK(peer_now_ms() < limit);
		poll(NULL, 0, 2);
	}
	if (status)
		FAIL("serve has ended with status %#x", status);
}

void host_expect_service(struct host *h, enum outcome outcome)
{
	uint32_t slots[3];
	int clients[3];

	if (outcome == ENDS)
		CHECK(stream_hunt(&h->s, PEER_WAIT_MS));
	for (int i = 0; i < 3; i++) {
		clients[i] = host_open(h);
		slots[i] = h->s.newest;
	}
	for (int i = 0; i < 3; i++)
		host_close(h, clients[i], slots[i]);
	expect_fds(h->serve, h->idle_fds);
	expect_serve_ends(h);
}

void host_finish(struct host *h, enum outcome outcome)
{
	enum outcome now = look_at_session(h);

	if (now != outcome)
		FAIL("the session %s", now == ENDS ? "has ended" : "goes on");
	if (now == GOES_ON) {
		CHECK(stream_data(&h->s, 0, "again", 5));
		expect_bytes(h->clients[0], "again");
		host_close(h, h->clients[0], 0);
		close(h->clients[1]);
		if (h->s.ends[1].generation)
			close_slot(h, 1);
	} else {
		expect_end(h->clients[0]);
		close(h->clients[0]);
		close(h->clients[1]);
	}
	host_expect_service(h, outcome);
}

/* --- Frames ------------------------------------------------------------------- */

#define MAX_STEPS 3
#define G	  1			/* of the first client in a slot */
#define SAID	  5			/* bytes, by each side of channel 1 */
#define OPEN	  MP_ST_CONNECTED

#define AT(at, count, frame_type, ...)							\
	{ .type = MP_FRAME_##frame_type, .slot = at, .generation = count, __VA_ARGS__ }
#define FRAME(...) AT(1, G, __VA_ARGS__)
#define STATE(bits) FRAME(STATE, .flags = bits)
#define DATA(at)    FRAME(DATA, .offset = at, .length = 1)

static const struct order {
	const char *name;
	struct frame steps[MAX_STEPS];
	enum outcome outcome;
	bool ends_client;		/* though the session goes on */
	uint32_t more;			/* bytes that the client has got then */
} orders[] = {
	{ "type 0", { { .slot = 1, .generation = G }, { .type = 9 } }, ENDS, 0, 0 },
	{ "type 9", { { .type = 9, .slot = 1, .generation = G } }, ENDS, 0, 0 },
	{ "CONNECT, from a host", { AT(2, G, CONNECT, .length = 40) }, ENDS, 0, 0 },
	{ "SHUTDOWN, from a host", { FRAME(SHUTDOWN, .offset = SAID, .flags = 2) }, ENDS, 0, 0 },
	{ "CLOSE, from a host", { FRAME(CLOSE, .offset = SAID) }, ENDS, 0, 0 },

	{ "STATE: no bit", { STATE(0) }, ENDS, 0, 0 },
	{ "STATE: IN", { STATE(OPEN | MP_ST_IN) }, ENDS, 0, 0 },
	{ "STATE: OUT", { STATE(OPEN | MP_ST_OUT) }, ENDS, 0, 0 },
	{ "STATE: a body", { FRAME(STATE, .flags = OPEN, .length = 1) }, ENDS, 0, 0 },
	{ "STATE: generation 0", { AT(1, 0, STATE, .flags = OPEN) }, ENDS, 0, 0 },
	{ "STATE: another generation", { AT(1, 7, STATE, .flags = MP_ST_CLOSED) }, GOES_ON, 0, 0 },
	{ "STATE: a free slot", { AT(2, G, STATE, .flags = OPEN) }, GOES_ON, 0, 0 },
	{ "STATE: a slot that is none", { AT(-1U, G, STATE, .flags = OPEN) }, GOES_ON, 0, 0 },
	{ "CLOSED, unasked", { STATE(MP_ST_CLOSED) }, ENDS, 0, 0 },
	{ "REFUSED behind CONNECTED", { STATE(MP_ST_REFUSED) }, ENDS, 0, 0 },
	{ "REFUSED with CONNECTED", { STATE(OPEN | MP_ST_REFUSED) }, ENDS, 0, 0 },
	{ "CONNECTED twice", { STATE(OPEN), STATE(OPEN) }, GOES_ON, 0, 0 },
	{ "an end of both, twice", { STATE(OPEN | MP_ST_IN_END | MP_ST_OUT_END),
				     STATE(OPEN | MP_ST_IN_END | MP_ST_OUT_END) }, GOES_ON, 1, 0 },
	{ "an end that is taken back", { STATE(OPEN | MP_ST_IN_END), STATE(OPEN) }, GOES_ON, 1, 0 },
	{ "DATA behind an end", { STATE(OPEN | MP_ST_IN_END), DATA(SAID) }, ENDS, 0, 0 },
	{ "DATA behind an end that is taken back", { STATE(OPEN | MP_ST_IN_END), STATE(OPEN),
						    DATA(SAID) }, ENDS, 0, 0 },
	{ "DATA behind a failure", { DATA(SAID), STATE(OPEN | MP_ST_FAILED), DATA(SAID + 1) },
	  GOES_ON, 1, 1 },
	{ "a failure, twice", { STATE(OPEN | MP_ST_FAILED), STATE(OPEN | MP_ST_FAILED) }, GOES_ON,
	  1, 0 },
	{ "CLOSED behind a failure", { STATE(OPEN | MP_ST_FAILED | MP_ST_IN_END),
				       STATE(MP_ST_CLOSED) }, ENDS, 0, 0 },

	{ "DATA: no byte", { FRAME(DATA, .offset = SAID) }, ENDS, 0, 0 },
	{ "DATA: a flag", { FRAME(DATA, .offset = SAID, .length = 1, .flags = 1) }, ENDS, 0, 0 },
	{ "DATA: a lower offset", { DATA(SAID - 1) }, ENDS, 0, 0 },
	{ "DATA: a higher offset", { DATA(SAID + 1) }, ENDS, 0, 0 },
	{ "DATA: an offset that wraps", { DATA(-1ULL) }, ENDS, 0, 0 },
	{ "DATA: beyond the first grant", { FRAME(DATA, .offset = SAID, .length = MP_WINDOW_MAX) },
	  ENDS, 0, 0 },
	{ "DATA: the largest body", { FRAME(DATA, .offset = SAID, .length = MP_FRAME_BODY) }, ENDS,
	  0, 0 },
	{ "DATA: generation 0", { AT(1, 0, DATA, .offset = SAID, .length = 1) }, ENDS, 0, 0 },
	{ "DATA: another generation", { AT(1, 9, DATA, .length = 9) }, GOES_ON, 0, 0 },
	{ "DATA: a free slot", { AT(2, G, DATA, .length = 9) }, GOES_ON, 0, 0 },

	{ "GRANT: a body", { FRAME(GRANT, .offset = 9999, .length = 1) }, ENDS, 0, 0 },
	{ "GRANT: a flag", { FRAME(GRANT, .offset = 9999, .flags = 1) }, ENDS, 0, 0 },
	{ "GRANT: lower than before", { FRAME(GRANT, .offset = 0) }, GOES_ON, 0, 0 },
	{ "GRANT: everything", { FRAME(GRANT, .offset = -1ULL) }, GOES_ON, 0, 0 },
	{ "GRANT: a slot that is none", { AT(-1U, G, GRANT, .offset = 9999) }, GOES_ON, 0, 0 },

	{ "PING: an offset", { AT(0, 0, PING, .offset = 1) }, ENDS, 0, 0 },
	{ "PING: a slot", { AT(1, 0, PING, .flags = 0) }, ENDS, 0, 0 },
	{ "PONG: unasked", { AT(0, 0, PONG, .flags = 0) }, GOES_ON, 0, 0 },
};

/* In one piece, about channel 1. */
static void tell_order(const void *context)
{
	static char bytes[MAX_STEPS * FRAME_MAX];
	const struct order *order = context;
	struct host h;
	size_t len = 0;

	host_start(&h);
	for (unsigned int i = 0; i < MAX_STEPS && (!i || order->steps[i].type); i++)
		len += stream_make(&h.s, order->steps[i], NULL, bytes + len);
	stream_send(&h.s, bytes, len);
	if (order->outcome == ENDS || order->ends_client)
		CHECK(count_to_end(h.clients[1]) == order->more);
	host_finish(&h, order->outcome);
}

void run_host(void)
{
	char name[100];

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		snprintf(name, sizeof(name), "to serve: %s", orders[i].name);
		run(&(struct lie){ name, tell_order, &orders[i] });
	}
	run_host_clients();
}
