// SPDX-License-Identifier: MIT
/* Phases of a channel: which follows which. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "channel/channel.h"

#define LINGER_MS 3000
#define END_MS	  2000

/* --- A service that takes nothing, and a channel ------------------------------ */

static struct world {
	struct core core;
	struct gate gate;
	struct mp_service service;
	struct mp_stream stream;
	struct channel *ch;
	enum mp_reason admission;
	uint64_t now;
	unsigned int admitted, released, opened, closed;
} *world;

static ssize_t nothing_to_read(struct mp_stream *stream, const struct iovec *iov, int count)
{
	(void)stream, (void)iov, (void)count;
	return -EAGAIN;
}

static void no_shutdown(struct mp_stream *stream, uint16_t how) { (void)stream, (void)how; }

static bool count_close(struct mp_stream *stream, enum mp_end how, const struct mp_place *place)
{
	(void)stream, (void)how, (void)place;
	world->closed++;
	return false;
}

static int open_stream(struct mp_service *service, struct mp_peer *peer,
		       const struct mp_opener *opener, struct mp_stream **stream)
{
	static const struct mp_stream_ops ops = {
		.readv = nothing_to_read, .writev = nothing_to_read, .shutdown = no_shutdown,
		.close = count_close,
	};

	(void)service, (void)peer, (void)opener;
	world->stream.ops = &ops;
	*stream = &world->stream;
	world->opened++;
	return 1;
}

static uint64_t env_now(void *context) { (void)context; return world->now; }
static void env_nothing(void *context) { (void)context; }

static enum mp_reason env_admit(void *context, const struct mp_opener *opener,
				struct mp_service **service, const char **name)
{
	(void)context, (void)opener;
	if (world->admission != MP_REASON_NONE)
		return world->admission;
	world->admitted++;
	*service = &world->service;
	*name = "service";
	return MP_REASON_NONE;
}

static void env_release(void *context, struct mp_service *service, uint32_t uid)
{
	(void)context, (void)service, (void)uid;
	world->released++;
}

static void settle(struct core *core) { core_settle(core); }
static void changed(struct channel *ch) { (void)ch; }

static int create(void **state)
{
	static const struct mp_service_ops service_ops = { .open = open_stream };
	const struct mp_opener opener = { .uid = 1000 };
	const struct core_config config = {
		.guest = "guest", .max_channels = 1, .connect_ms = 5000,
	};
	const struct core_env env = {
		.now = env_now, .clock_us = env_now, .rearm = env_nothing, .wake = env_nothing,
		.admit = env_admit, .release = env_release,
	};

	(void)state;
	log_setup(LOG_LEVEL_ERROR);
	world = calloc(1, sizeof(*world));
	assert_non_null(world);
	world->now = 1;
	world->gate.name = "gate";
	world->gate.service_name = "service";
	world->service.ops = &service_ops;
	world->service.linger_ms = LINGER_MS;
	world->service.end_ms = END_MS;
	core_init(&world->core, &config, &env, settle);
	world->ch = calloc(1, sizeof(*world->ch));
	assert_non_null(world->ch);
	channel_init(world->ch, &world->core, changed, &world->gate, &opener);
	return 0;
}

static int destroy(void **state)
{
	(void)state;
	channel_drop(world->ch);
	core_settle(&world->core);
	assert_int_equal(world->opened, world->closed);
	assert_int_equal(world->admitted, world->released);
	assert_int_equal(world->core.live, 0);
	assert_int_equal(core_deadline(&world->core), UINT64_MAX);
	core_exit(&world->core);
	free(world);
	return 0;
}

/* --- Tests --------------------------------------------------------------------- */

#define PHASES (CHANNEL_CLOSED + 1)

/* [protocol.md 4.2], and CONNECTING again for a fixed gate that tries again. */
static bool follows(enum channel_phase from, enum channel_phase to)
{
	switch (from) {
	case CHANNEL_CONNECTING:
		return to == CHANNEL_CONNECTING || to == CHANNEL_REFUSED ||
		       to == CHANNEL_CONNECTED || to == CHANNEL_CLOSED;
	case CHANNEL_REFUSED:
		return to == CHANNEL_CONNECTING || to == CHANNEL_CLOSED;
	case CHANNEL_CONNECTED:
		return to == CHANNEL_FAILED || to == CHANNEL_CLOSING || to == CHANNEL_CLOSED;
	case CHANNEL_FAILED:
	case CHANNEL_CLOSING:
		return to == CHANNEL_CLOSED;
	default:
		return false;
	}
}

/* Goes from one phase to another in a process of its own; returns the process's status. */
static int try_edge(enum channel_phase from, enum channel_phase to)
{
	const struct rlimit no_core = { 0, 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		signal(SIGABRT, SIG_DFL);
		setrlimit(RLIMIT_CORE, &no_core);
		close(STDERR_FILENO);
		world->ch->phase = from;
		channel_become(world->ch, to, 0);
		_exit(world->ch->phase == to ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void an_edge_that_is_not_there_is_caught(void **state)
{
	(void)state;
	for (int from = 0; from < PHASES; from++) {
		for (int to = 0; to < PHASES; to++) {
			int status = try_edge(from, to);

			if (follows(from, to))
				assert_int_equal(status, 0);
			else
				assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
		}
	}
}

/* An entry of the binding. */
static void begin(void)
{
	connect_begin(world->ch, "service", 7);
	core_settle(&world->core);
}

/* The service takes nothing, so the limit of the close ends it. */
static void expect_close_by_limit(void)
{
	assert_int_equal(world->ch->phase, CHANNEL_CONNECTED);
	close_begin(world->ch, 10);
	core_settle(&world->core);
	assert_int_equal(world->ch->phase, CHANNEL_CLOSING);
	assert_int_equal(core_deadline(&world->core), world->now + LINGER_MS);
	world->now += LINGER_MS;
	core_tick(&world->core);
	assert_int_equal(world->ch->phase, CHANNEL_CLOSED);
}

static void a_close_ends_by_its_limit(void **state)
{
	(void)state;
	begin();
	expect_close_by_limit();
}

/* What many channels of one service say at their end takes no line of another. */
static void the_line_of_an_end_is_the_services(void **state)
{
	struct log_limit *limit;

	(void)state;
	begin();
	log_setup(LOG_LEVEL_DEBUG);
	close_abort(world->ch);
	log_setup(LOG_LEVEL_ERROR);
	limit = log_limits_get(&world->core.channel_lines, CHANNEL_LINE_CLOSED, "service");
	assert_true(limit->record);	/* in use */
}

/* Others may have its place in the limits until then. */
static void a_fixed_gate_that_is_refused_waits_without_a_place(void **state)
{
	(void)state;
	world->gate.is_fixed = true;
	world->ch->is_patient = true;
	world->admission = MP_REASON_DENIED;
	begin();
	assert_int_equal(world->ch->phase, CHANNEL_CONNECTING);
	assert_int_equal(world->core.live, 0);
	world->admission = MP_REASON_NONE;
	world->now += CORE_RETRY_MS;
	core_tick(&world->core);
	core_run(&world->core);
	assert_int_equal(world->ch->phase, CHANNEL_CONNECTED);
	assert_int_equal(world->core.live, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_edge_that_is_not_there_is_caught),
		TEST(a_close_ends_by_its_limit),
		TEST(the_line_of_an_end_is_the_services),
		TEST(a_fixed_gate_that_is_refused_waits_without_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
