// SPDX-License-Identifier: MIT
/* Frames of a guest with one thing wrong, or none, about channel 1, which has said HELLO. */
#include "bad_stream_guest.h"

#define G    GENERATION(1)
#define SAID 5				/* bytes */
#define CONNECT_SIZE (sizeof(struct mp_connect) + 4)	/* to "keep" */

#define AT(at, count, frame_type, ...)							\
	{ .type = MP_FRAME_##frame_type, .slot = at, .generation = count, __VA_ARGS__ }
#define FRAME(...) AT(1, G, __VA_ARGS__)

static const struct frame_lie {
	const char *name;
	struct frame frame;
	enum outcome outcome;
} lies[] = {
	{ "type 0", { .slot = 1, .generation = G }, ENDS },
	{ "type 9", { .type = 9, .slot = 1, .generation = G }, ENDS },
	{ "type 65535", { .type = 65535, .slot = 1, .generation = G }, ENDS },
	{ "STATE, from a guest", FRAME(STATE, .flags = MP_ST_CONNECTED), ENDS },

	{ "CONNECT: a flag", AT(2, G, CONNECT, .flags = 1, .length = CONNECT_SIZE), ENDS },
	{ "CONNECT: an offset", AT(2, G, CONNECT, .offset = 1, .length = CONNECT_SIZE), ENDS },
	{ "CONNECT: no body", AT(2, G, CONNECT, .flags = 0), ENDS },
	{ "CONNECT: no name", AT(2, G, CONNECT, .length = CONNECT_SIZE - 4), ENDS },
	{ "CONNECT: a shorter name", AT(2, G, CONNECT, .length = CONNECT_SIZE - 1), ENDS },
	{ "CONNECT: a longer name", AT(2, G, CONNECT, .length = CONNECT_SIZE + 1), ENDS },
	{ "CONNECT: a body that is too long", AT(2, G, CONNECT, .length = FRAME_CONNECT_MAX + 1),
	  ENDS },
	{ "CONNECT: the largest body", AT(2, G, CONNECT, .length = MP_FRAME_BODY), ENDS },
	{ "CONNECT: generation 0", AT(2, 0, CONNECT, .length = CONNECT_SIZE), ENDS },
	{ "CONNECT: a slot in use", AT(1, G, CONNECT, .length = CONNECT_SIZE), ENDS },
	{ "CONNECT: a slot of another generation", AT(1, G + 1, CONNECT, .length = CONNECT_SIZE),
	  ENDS },
	{ "CONNECT: a slot beyond the last", AT(GUEST_CHANNELS, G, CONNECT, .length = CONNECT_SIZE),
	  ENDS },
	{ "CONNECT: the largest slot", AT(-1U, G, CONNECT, .length = CONNECT_SIZE), ENDS },

	{ "DATA: no byte", FRAME(DATA, .offset = SAID), ENDS },
	{ "DATA: a flag", FRAME(DATA, .offset = SAID, .length = 1, .flags = 1), ENDS },
	{ "DATA: a lower offset", FRAME(DATA, .offset = SAID - 1, .length = 1), ENDS },
	{ "DATA: a higher offset", FRAME(DATA, .offset = SAID + 1, .length = 1), ENDS },
	{ "DATA: an offset that wraps", FRAME(DATA, .offset = -1ULL, .length = 2), ENDS },
	{ "DATA: beyond the first grant", FRAME(DATA, .offset = SAID, .length = MP_WINDOW_MAX),
	  ENDS },
	{ "DATA: the largest body, beyond the grant", FRAME(DATA, .offset = SAID,
							   .length = MP_FRAME_BODY), ENDS },
	{ "DATA: generation 0", AT(1, 0, DATA, .offset = SAID, .length = 1), ENDS },
	{ "DATA: another generation", AT(1, G + 1, DATA, .length = 100), GOES_ON },
	{ "DATA: a free slot", AT(2, G, DATA, .length = 100), GOES_ON },
	{ "DATA: a slot that is none", AT(-1U, G, DATA, .length = 100), GOES_ON },

	{ "GRANT: a body", FRAME(GRANT, .offset = 9999, .length = 1), ENDS },
	{ "GRANT: a flag", FRAME(GRANT, .offset = 9999, .flags = 0x8000), ENDS },
	{ "GRANT: generation 0", AT(1, 0, GRANT, .offset = 9999), ENDS },
	{ "GRANT: lower than before", FRAME(GRANT, .offset = 0), GOES_ON },
	{ "GRANT: everything", FRAME(GRANT, .offset = -1ULL), GOES_ON },
	{ "GRANT: a slot that is none", AT(GUEST_CHANNELS, G, GRANT), GOES_ON },

	{ "SHUTDOWN: of nothing", FRAME(SHUTDOWN, .offset = SAID), ENDS },
	{ "SHUTDOWN: another flag", FRAME(SHUTDOWN, .offset = SAID, .flags = 7), ENDS },
	{ "SHUTDOWN: a body", FRAME(SHUTDOWN, .offset = SAID, .flags = MP_SHUT_WRITE, .length = 1),
	  ENDS },
	{ "SHUTDOWN: a lower offset", FRAME(SHUTDOWN, .offset = SAID - 1, .flags = MP_SHUT_WRITE),
	  ENDS },
	{ "SHUTDOWN: a higher offset", FRAME(SHUTDOWN, .offset = SAID + 1, .flags = MP_SHUT_WRITE),
	  ENDS },
	{ "SHUTDOWN: generation 0", AT(1, 0, SHUTDOWN, .flags = MP_SHUT_WRITE), ENDS },
	{ "SHUTDOWN: a free slot", AT(9, G, SHUTDOWN, .flags = MP_SHUT_WRITE), GOES_ON },

	{ "CLOSE: another flag", FRAME(CLOSE, .offset = SAID, .flags = 2), ENDS },
	{ "CLOSE: a body", FRAME(CLOSE, .offset = SAID, .length = 8), ENDS },
	{ "CLOSE: a lower offset", FRAME(CLOSE, .offset = SAID - 1), ENDS },
	{ "CLOSE: a higher offset", FRAME(CLOSE, .offset = SAID + 1), ENDS },
	{ "CLOSE: generation 0", AT(1, 0, CLOSE, .offset = SAID), ENDS },
	{ "CLOSE: another generation", AT(1, G - 1, CLOSE, .offset = SAID), GOES_ON },
	{ "CLOSE: a free slot", AT(7, G, CLOSE, .flags = MP_CLOSE_ABORT), GOES_ON },

	{ "PING: a body", AT(0, 0, PING, .length = 1), ENDS },
	{ "PING: a flag", AT(0, 0, PING, .flags = 1), ENDS },
	{ "PING: an offset", AT(0, 0, PING, .offset = 1), ENDS },
	{ "PING: a slot", AT(1, 0, PING, .flags = 0), ENDS },
	{ "PING: a generation", FRAME(PING, .flags = 0), ENDS },
	{ "PONG: an offset", AT(0, 0, PONG, .offset = 1ULL << 63), ENDS },
	{ "PONG: unasked", AT(0, 0, PONG, .flags = 0), GOES_ON },
};

static void tell(const void *context)
{
	const struct frame_connect connect = { .name = "keep", .name_len = 4 };
	const struct frame_lie *lie = context;
	static char body[MP_FRAME_BODY];
	struct guest g;

	guest_start(&g);
	if (lie->frame.type == MP_FRAME_CONNECT)
		frame_put_connect(body, &connect);
	stream_put(&g.s, lie->frame, body);
	if (lie->outcome == ENDS)
		expect_end(g.far[1]);
	guest_finish(&g, lie->outcome);
}

/* A length that says more than a body may have. What would be its end is not there. */
static void tell_long(const void *context)
{
	const uint32_t *length = context;
	struct frame frame = { .type = MP_FRAME_DATA, .slot = 1, .generation = G, .offset = SAID };
	char buf[FRAME_MAX];
	struct guest g;

	guest_start(&g);
	stream_make(&g.s, frame, NULL, buf);
	for (unsigned int i = 0; i < 4; i++)
		buf[offsetof(struct mp_frame, length) + i] = *length >> 8 * i;
	stream_send(&g.s, buf, sizeof(struct mp_frame));
	expect_end(g.far[1]);
	guest_finish(&g, ENDS);
}

void run_frames(void)
{
	static const uint32_t lengths[] = { MP_FRAME_BODY + 1, 1U << 31, -1U };

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		run(&(struct lie){ lies[i].name, tell, &lies[i] });
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		run(&(struct lie){ "a length beyond the largest body", tell_long, &lengths[i] });
}
