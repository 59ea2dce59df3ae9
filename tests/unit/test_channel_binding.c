// SPDX-License-Identifier: MIT
/*
 * The channel core under a binding that is not the virtqueues' (toy_binding.h): linked with
 * host/channel and host/base alone, so it cannot know a ring, guest memory or a device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "toy_binding.h"

#define LINGER_MS 3000
#define LIMIT	  2		/* channels at once */
#define WHOLE	  50000		/* bytes: more than a window, a frame, a service's room */

/* --- A service that the test plays ------------------------------------------ */

struct puppet {
	struct mp_stream stream;
	struct mp_peer *peer;
	char out[WHOLE];		/* what it got */
	size_t out_len, out_room;
	size_t in_len, in_at;		/* it says so many bytes, and has said those */
	bool says_end, is_echo, is_broken;
	bool owes_readable, owes_writable, is_shut;
};

static struct world {
	struct toy toy;
	struct mp_service service;
	struct puppet *last;
	unsigned int opened, whole, cut, aborted, released, admitted;
	size_t out_total;		/* of puppets that are closed */
	uint64_t now;
	bool is_woken;
	int fd;				/* the guest's end */
} *world;

static char pattern(uint64_t offset) { return (char)(offset * 7 + offset / 251); }

static ssize_t puppet_readv(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct puppet *p = (struct puppet *)stream;
	size_t len = iov->iov_len, left = p->in_len - p->in_at;

	assert_true(count == 1 && len > 0);
	assert_false(p->owes_readable);
	if (p->is_broken)
		return -EIO;
	if (!left && p->says_end)
		return 0;
	p->owes_readable = !left;
	if (!left)
		return -EAGAIN;
	len = len < left ? len : left;
	for (size_t i = 0; i < len; i++)
		((char *)iov->iov_base)[i] = pattern(p->in_at++);
	return len;
}

static ssize_t puppet_writev(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct puppet *p = (struct puppet *)stream;
	size_t len = iov->iov_len < p->out_room ? iov->iov_len : p->out_room;

	assert_true(count == 1 && iov->iov_len > 0 && !p->is_shut);
	assert_false(p->owes_writable);
	p->owes_writable = !len;
	if (!len)
		return -EAGAIN;
	assert_true(p->out_len + len <= sizeof(p->out));
	memcpy(p->out + p->out_len, iov->iov_base, len);
	p->out_len += len;
	p->out_room -= len;
	if (p->is_echo)
		p->in_len += len;
	return len;
}

static void puppet_shutdown(struct mp_stream *stream, uint16_t how)
{
	struct puppet *p = (struct puppet *)stream;

	p->is_shut |= how & MP_SHUT_WRITE;
	p->says_end |= p->is_echo && p->is_shut;
}

static bool puppet_close(struct mp_stream *stream, enum mp_end how, const struct mp_place *place)
{
	struct puppet *p = (struct puppet *)stream;

	(void)place;
	world->whole += how == MP_END_WHOLE;
	world->cut += how == MP_END_CUT;
	world->aborted += how == MP_END_ABORT;
	world->out_total += p->out_len;
	for (size_t i = 0; i < p->out_len; i++)
		assert_int_equal(p->out[i], pattern(i));
	world->last = NULL;
	free(p);
	return false;
}

static const struct mp_stream_ops puppet_ops = {
	.readv = puppet_readv, .writev = puppet_writev, .shutdown = puppet_shutdown,
	.close = puppet_close,
};

static int puppet_open(struct mp_service *service, struct mp_peer *peer,
		       const struct mp_opener *opener, struct mp_stream **stream)
{
	struct puppet *p = calloc(1, sizeof(*p));

	(void)service;
	assert_non_null(p);
	p->stream.ops = &puppet_ops;
	p->peer = peer;
	p->owes_readable = true;
	p->is_echo = !strcmp(opener->service, "echo");
	p->out_room = p->is_echo ? WHOLE : 0;
	*stream = &p->stream;
	world->last = p;
	world->opened++;
	return strcmp(opener->service, "late") ? 1 : 0;
}

/* It has something to say, or an end. */
static void puppet_say(struct puppet *p)
{
	if (p->owes_readable) {
		p->owes_readable = false;
		p->peer->ops->readable(p->peer);
	}
}

static void puppet_take(struct puppet *p, size_t room)
{
	p->out_room += room;
	if (p->owes_writable) {
		p->owes_writable = false;
		p->peer->ops->writable(p->peer);
	}
}

/* --- The core's surroundings ------------------------------------------------- */

static uint64_t env_now(void *context) { (void)context; return world->now; }
static uint64_t env_clock_us(void *context) { (void)context; return world->now * 1000; }
static void env_rearm(void *context) { (void)context; }
static void env_wake(void *context) { (void)context; world->is_woken = true; }

static enum mp_reason env_admit(void *context, const struct mp_opener *opener,
				struct mp_service **service, const char **name)
{
	(void)context;
	assert_string_equal(opener->port, "toy");
	if (!strcmp(opener->service, "none"))
		return MP_REASON_NO_SERVICE;
	world->admitted++;
	*service = &world->service;
	*name = "puppet";
	return MP_REASON_NONE;
}

static void env_release(void *context, struct mp_service *service, uint32_t uid)
{
	(void)context;
	assert_ptr_equal(service, &world->service);
	assert_int_equal(uid, 1000);
	world->released++;
}

static void settle(struct core *core) { core_settle(core); }

static int create(void **state)
{
	static const struct mp_service_ops ops = { .open = puppet_open };
	const struct core_config config = {
		.guest = "toy", .max_channels = LIMIT, .connect_ms = 5000,
	};
	const struct core_env env = {
		.now = env_now, .clock_us = env_clock_us, .rearm = env_rearm, .wake = env_wake,
		.admit = env_admit, .release = env_release,
	};
	int fds[2], size = 1 << 20;

	(void)state;
	log_setup(LOG_LEVEL_ERROR);
	world = calloc(1, sizeof(*world));
	assert_non_null(world);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	world->fd = fds[0];
	world->toy.fd = fds[1];
	world->toy.gate.name = "toy";
	world->now = 1;
	world->service.ops = &ops;
	world->service.linger_ms = world->service.end_ms = LINGER_MS;
	core_init(&world->toy.core, &config, &env, settle);
	return 0;
}

static int destroy(void **state)
{
	(void)state;
	toy_leave(&world->toy);
	assert_int_equal(world->opened, world->whole + world->cut + world->aborted);
	assert_int_equal(world->admitted, world->released);
	assert_int_equal(world->toy.core.stats.channels, 0);
	assert_int_equal(world->toy.core.live, 0);
	/* A channel's memory goes with the entry that ended it, not with the core. */
	assert_true(list_is_empty(&world->toy.core.dead));
	core_exit(&world->toy.core);
	close(world->fd);
	close(world->toy.fd);
	free(world);
	return 0;
}

/* --- The guest ---------------------------------------------------------------- */

struct guest {
	uint32_t number;
	uint64_t sent, granted, received;
	int phase, cause;
	bool has_ended;
};

static void say(struct guest *g, uint32_t type, uint64_t value, const void *bytes, uint32_t len)
{
	struct toy_frame frame = { .type = type, .channel = g->number, .value = value, .len = len };
	ssize_t size = offsetof(struct toy_frame, bytes) + len;

	if (len)
		memcpy(frame.bytes, bytes, len);
	assert_int_equal(send(world->fd, &frame, size, MSG_DONTWAIT), size);
}

/* The host gets its turn, until nothing is left; then the frames of @g, which has no neighbours. */
static void look(struct guest *g)
{
	struct toy_frame frame;

	toy_serve(&world->toy);
	for (int i = 0; world->is_woken && i < 1000; i++) {
		world->is_woken = false;
		core_run(&world->toy.core);
	}
	while (recv(world->fd, &frame, sizeof(frame), MSG_DONTWAIT) > 0) {
		if (frame.channel != g->number)
			continue;
		if (frame.type == TOY_GRANT)
			g->granted = frame.value;
		if (frame.type == TOY_END)
			g->has_ended = true;
		if (frame.type == TOY_STATE) {
			g->phase = frame.value >> 16;
			g->cause = frame.value & 0xffff;
		}
		for (uint32_t i = 0; frame.type == TOY_DATA && i < frame.len; i++)
			assert_int_equal(frame.bytes[i], pattern(g->received++));
	}
}

static struct guest open_as(uint32_t number, const char *name)
{
	struct guest g = { .number = number, .phase = -1 };

	say(&g, TOY_OPEN, 0, name, strlen(name));
	look(&g);
	return g;
}

/* Sends as far as it was granted, @len bytes at most; returns how many. */
static size_t put(struct guest *g, size_t len)
{
	char bytes[1000];
	size_t done = 0;

	while (done < len && g->sent < g->granted) {
		size_t part = len - done < sizeof(bytes) ? len - done : sizeof(bytes);

		if (part > g->granted - g->sent)
			part = g->granted - g->sent;
		for (size_t i = 0; i < part; i++)
			bytes[i] = pattern(g->sent + i);
		say(g, TOY_DATA, 0, bytes, part);
		g->sent += part;
		done += part;
	}
	look(g);
	return done;
}

/* --- Tests ---------------------------------------------------------------------- */

static void what_is_written_comes_back(void **state)
{
	struct guest g = open_as(1, "echo");

	(void)state;
	assert_int_equal(g.phase, CHANNEL_CONNECTED);
	while (g.sent < WHOLE) {
		assert_true(put(&g, WHOLE - g.sent) > 0);
		say(&g, TOY_GRANT, g.sent, NULL, 0);
		look(&g);
		puppet_say(world->last);
		look(&g);
		assert_int_equal(g.received, g.sent);
	}
	assert_int_equal(world->last->out_len, WHOLE);
	assert_int_equal(world->toy.core.stats.bytes_in, WHOLE);
	assert_int_equal(world->toy.core.stats.bytes_out, WHOLE);
}

static void nothing_is_read_beyond_a_grant(void **state)
{
	struct guest g = open_as(1, "puppet");

	(void)state;
	world->last->in_len = 3000;
	puppet_say(world->last);
	look(&g);
	assert_int_equal(g.received, 0);
	assert_int_equal(world->last->in_at, 0);
	say(&g, TOY_GRANT, 1500, NULL, 0);
	look(&g);
	assert_int_equal(g.received, 1500);
	assert_int_equal(world->last->in_at, 1500);
	say(&g, TOY_GRANT, 5000, NULL, 0);
	look(&g);
	assert_int_equal(g.received, 3000);
}

static void a_full_service_bounds_the_window(void **state)
{
	struct guest g = open_as(1, "puppet");

	(void)state;
	assert_int_equal(put(&g, 100000), TOY_WINDOW);
	assert_int_equal(put(&g, 1), 0);
	puppet_take(world->last, 96);
	look(&g);
	assert_int_equal(world->last->out_len, 96);
	assert_int_equal(put(&g, 100000), 96);
}

static void one_half_ends(void **state)
{
	struct guest g = open_as(1, "puppet");

	(void)state;
	assert_int_equal(put(&g, 2000), 2000);
	say(&g, TOY_SHUT, 0, NULL, 0);
	look(&g);
	assert_false(world->last->is_shut);	/* it has not got everything */
	puppet_take(world->last, 3000);
	look(&g);
	assert_int_equal(world->last->out_len, 2000);
	assert_true(world->last->is_shut);
	say(&g, TOY_GRANT, 10000, NULL, 0);
	world->last->in_len = 7000;
	world->last->says_end = true;
	puppet_say(world->last);
	look(&g);
	assert_int_equal(g.received, 7000);
	assert_true(g.has_ended);
	assert_int_equal(g.phase, CHANNEL_CONNECTED);
}

static void a_refusal_says_why_and_may_be_tried_again(void **state)
{
	struct guest g = open_as(1, "none");

	(void)state;
	assert_int_equal(g.phase, CHANNEL_REFUSED);
	assert_int_equal(g.cause, MP_REASON_NO_SERVICE);
	assert_int_equal(world->opened, 0);
	say(&g, TOY_OPEN, 0, "a b", 3);
	look(&g);
	assert_int_equal(g.cause, MP_REASON_NAME_INVALID);
	say(&g, TOY_OPEN, 0, "echo", 4);
	look(&g);
	assert_int_equal(g.phase, CHANNEL_CONNECTED);
	assert_int_equal(g.cause, MP_REASON_NONE);
}

static void a_service_comes_late_or_never(void **state)
{
	struct guest g = open_as(1, "late"), second = open_as(2, "late");

	(void)state;
	assert_int_equal(g.phase, CHANNEL_CONNECTING);
	world->last->peer->ops->connected(world->last->peer);
	look(&second);
	assert_int_equal(second.phase, CHANNEL_CONNECTED);
	world->now += 5000;
	core_tick(&world->toy.core);
	look(&g);
	assert_int_equal(g.phase, CHANNEL_REFUSED);
	assert_int_equal(g.cause, MP_REASON_TIMED_OUT);
}

static void what_was_written_arrives_behind_a_close(void **state)
{
	struct guest g = open_as(1, "puppet");

	(void)state;
	assert_int_equal(put(&g, 4000), 4000);
	say(&g, TOY_CLOSE, 0, NULL, 0);
	look(&g);
	assert_int_equal(g.phase, CHANNEL_CLOSING);
	world->last->in_len = 30000;		/* thrown away */
	puppet_say(world->last);
	puppet_take(world->last, 1000);
	puppet_take(world->last, 5000);
	look(&g);
	assert_int_equal(world->last->out_len, 4000);
	assert_true(world->last->is_shut);
	assert_int_equal(world->last->in_at, 30000);
	world->last->says_end = true;
	puppet_say(world->last);
	look(&g);
	assert_int_equal(g.phase, CHANNEL_CLOSED);
	assert_int_equal(g.received, 0);
	assert_int_equal(world->whole, 1);
	assert_int_equal(world->out_total, 4000);
}

static void a_service_that_takes_nothing_is_given_up(void **state)
{
	struct guest g = open_as(1, "puppet");

	(void)state;
	put(&g, 4000);
	say(&g, TOY_CLOSE, 0, NULL, 0);
	look(&g);
	world->now += LINGER_MS - 1;
	core_tick(&world->toy.core);
	look(&g);
	assert_int_equal(g.phase, CHANNEL_CLOSING);
	world->now++;
	core_tick(&world->toy.core);
	look(&g);
	assert_int_equal(g.phase, CHANNEL_CLOSED);
	assert_int_equal(g.cause, MP_REASON_LINGER);
	assert_int_equal(world->aborted, 1);
}

static void an_abort_waits_for_nothing(void **state)
{
	struct guest g = open_as(1, "puppet");

	(void)state;
	put(&g, 4000);
	say(&g, TOY_ABORT, 0, NULL, 0);
	look(&g);
	assert_int_equal(g.phase, CHANNEL_CLOSED);
	assert_int_equal(world->aborted, 1);
	assert_int_equal(world->out_total, 0);
}

static void a_failure_is_a_state(void **state)
{
	struct guest g = open_as(1, "puppet");

	(void)state;
	say(&g, TOY_GRANT, 1000, NULL, 0);
	look(&g);
	world->last->is_broken = true;
	puppet_say(world->last);
	look(&g);
	assert_int_equal(g.phase, CHANNEL_FAILED);
	assert_int_equal(g.cause, MP_REASON_RESET);
	assert_int_equal(world->toy.core.live, 1);	/* until the guest closes */
	say(&g, TOY_CLOSE, 0, NULL, 0);
	look(&g);
	assert_int_equal(g.phase, CHANNEL_CLOSED);
	assert_int_equal(world->toy.core.live, 0);
}

static void the_limit_counts_what_is_open(void **state)
{
	struct guest first = open_as(1, "echo"), second = open_as(2, "echo");
	struct guest third = open_as(3, "echo");

	(void)state;
	assert_int_equal(second.phase, CHANNEL_CONNECTED);
	assert_int_equal(third.phase, CHANNEL_REFUSED);
	assert_int_equal(third.cause, MP_REASON_BUSY);
	say(&first, TOY_ABORT, 0, NULL, 0);
	look(&first);
	say(&third, TOY_OPEN, 0, "echo", 4);
	look(&third);
	assert_int_equal(third.phase, CHANNEL_CONNECTED);
}

static void a_guest_that_goes_cuts_its_channels(void **state)
{
	struct guest g = open_as(1, "echo");

	(void)state;
	put(&g, 1000);
	toy_leave(&world->toy);
	assert_int_equal(world->cut, 1);
	assert_int_equal(world->out_total, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_comes_back),
		TEST(nothing_is_read_beyond_a_grant),
		TEST(a_full_service_bounds_the_window),
		TEST(one_half_ends),
		TEST(a_refusal_says_why_and_may_be_tried_again),
		TEST(a_service_comes_late_or_never),
		TEST(what_was_written_arrives_behind_a_close),
		TEST(a_service_that_takes_nothing_is_given_up),
		TEST(an_abort_waits_for_nothing),
		TEST(a_failure_is_a_state),
		TEST(the_limit_counts_what_is_open),
		TEST(a_guest_that_goes_cuts_its_channels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
