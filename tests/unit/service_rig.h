/* SPDX-License-Identifier: MIT */
/*
 * What tests of services share: a real loop with a time limit, a clock that a machine's stall
 * does not move far, and a peer that does what the device core does: reads and writes until
 * -EAGAIN, then waits for its call.
 */
#ifndef TESTS_UNIT_SERVICE_RIG_H
#define TESTS_UNIT_SERVICE_RIG_H

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/log.h"
#include "loop/loop.h"
#include "service/registry.h"

#define RIG_LIMIT_MS 60000
#define RIG_CHECK_MS 2
#define RIG_STALL_MS 5
/* Of services: no slow program meets these. A test of limits sets its own. */
#define RIG_LINGER_MS 60000
#define RIG_EXIT_MS   60000

/*
 * In place of the C library's. While the loop runs it looks at the clock every RIG_CHECK_MS, and
 * between two looks of a thread no more than RIG_STALL_MS pass: so a process that did not run for
 * seconds finds its time limits as they were. With rig_clock_is_real all time counts.
 */
static bool rig_clock_is_real;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	static __thread uint64_t last_ns, stalled_ns;
	const uint64_t most_ns = RIG_STALL_MS * 1000000ULL;
	uint64_t ns;

	if (syscall(SYS_clock_gettime, id, ts))
		return -1;
	if (id != CLOCK_MONOTONIC)
		return 0;
	ns = ts->tv_sec * 1000000000ULL + ts->tv_nsec;
	if (last_ns && ns - last_ns > most_ns && !rig_clock_is_real)
		stalled_ns += ns - last_ns - most_ns;
	last_ns = ns;
	ns -= stalled_ns;
	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return 0;
}

struct rig {
	struct loop *loop;
	struct loop_timer check;
	bool (*done)(void *context);
	void *context;
	uint64_t deadline;
	bool late;
	char dir[64];		/* empty, removed at the end */
};

static inline void rig_check(struct loop_timer *timer)
{
	struct rig *rig = container_of(timer, struct rig, check);

	bool is_done = rig->done(rig->context);

	rig->late = !is_done && loop_now(rig->loop) > rig->deadline;
	if (rig->late || is_done)
		loop_quit(rig->loop);
	else
		loop_timer_start(&rig->check, RIG_CHECK_MS);
}

static inline void rig_init(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	rig->loop = loop_create();
	assert_non_null(rig->loop);
	loop_timer_init(rig->loop, &rig->check, rig_check);
	strcpy(rig->dir, "/tmp/manyport-test-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
}

static inline void rig_fini(struct rig *rig)
{
	loop_timer_stop(&rig->check);
	loop_destroy(rig->loop);
	assert_int_equal(rmdir(rig->dir), 0);
}

static inline const char *rig_path(struct rig *rig, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
	return path;
}

/* Runs the loop until @done(@context), and fails the test after the limit. */
static inline void rig_wait(struct rig *rig, bool (*done)(void *context), void *context)
{
	rig->done = done;
	rig->context = context;
	rig->late = false;
	rig->deadline = UINT64_MAX;
	loop_timer_start(&rig->check, 0);
	rig->deadline = loop_now(rig->loop) + RIG_LIMIT_MS;
	assert_int_equal(loop_run(rig->loop), 0);
	assert_false(rig->late);
}

/* Runs the loop for some rounds, for what must not happen. */
static inline bool rig_count_down(void *context)
{
	return !--*(int *)context;
}

static inline void rig_rounds(struct rig *rig, int rounds)
{
	rig_wait(rig, rig_count_down, &rounds);
}

static inline struct mp_service *rig_service(struct rig *rig, const char *uri)
{
	struct service_setup setup = { .loop = rig->loop, .name = "test",
				       .linger_ms = RIG_LINGER_MS, .exit_ms = RIG_EXIT_MS };
	struct mp_service *service = service_create(&setup, uri);

	if (!service)
		fail_msg("%s: %s", uri, setup.error);
	return service;
}

/* Before descriptors are counted: the log may open one, once. */
static inline int rig_setup_group(void **state)
{
	(void)state;
	log_setup(LOG_LEVEL_ERROR);
	return 0;
}

static inline int rig_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* --- A peer ------------------------------------------------------------- */

struct test_peer {
	struct mp_peer peer;
	struct mp_stream *stream;	/* NULL: not open */
	bool connected;
	enum mp_reason refused;
	char *in;			/* what was read */
	size_t in_len, in_size;
	bool in_end;
	int in_error;			/* or how reading failed */
	bool deaf;			/* reads nothing */
	const char *out;		/* what is to be written */
	size_t out_len, out_done;
	int out_error;
	bool shut_after;		/* SHUT_WRITE after the last byte */
	bool inside;			/* an operation runs: no call may come */
	unsigned int calls;		/* readable() and writable() */
};

static inline void peer_read(struct test_peer *peer)
{
	struct iovec iov[2];
	ssize_t len;

	while (peer->stream && !peer->deaf && !peer->in_end && !peer->in_error) {
		if (peer->in_size - peer->in_len < 65536) {
			peer->in_size = peer->in_size * 2 + 131072;
			peer->in = realloc(peer->in, peer->in_size);
			assert_non_null(peer->in);
		}
		iov[0] = (struct iovec){ peer->in + peer->in_len, 7 };
		iov[1] = (struct iovec){ peer->in + peer->in_len + 7, 65000 };
		peer->inside = true;
		len = peer->stream->ops->readv(peer->stream, iov, 2);
		peer->inside = false;
		if (len == -EAGAIN)
			return;
		if (len > 0)
			peer->in_len += len;
		else if (!len)
			peer->in_end = true;
		else
			peer->in_error = -len;
	}
}

static inline void peer_shut(struct test_peer *peer, uint16_t how)
{
	peer->inside = true;
	peer->stream->ops->shutdown(peer->stream, how);
	peer->inside = false;
}

static inline void peer_write(struct test_peer *peer)
{
	while (peer->stream && peer->out_done < peer->out_len && !peer->out_error) {
		struct iovec iov = { (char *)peer->out + peer->out_done,
				     peer->out_len - peer->out_done };
		ssize_t len;

		peer->inside = true;
		len = peer->stream->ops->writev(peer->stream, &iov, 1);
		peer->inside = false;
		assert_int_not_equal(len, 0);
		if (len == -EAGAIN)
			return;
		if (len < 0)
			peer->out_error = -len;
		else
			peer->out_done += len;
	}
	if (peer->shut_after && peer->out_done == peer->out_len) {
		peer->shut_after = false;
		peer_shut(peer, MP_SHUT_WRITE);
	}
}

static inline void peer_connected(struct mp_peer *base)
{
	struct test_peer *peer = container_of(base, struct test_peer, peer);

	assert_false(peer->inside);
	assert_false(peer->connected);
	peer->connected = true;
	peer_write(peer);
}

static inline void peer_refused(struct mp_peer *base, enum mp_reason reason)
{
	struct test_peer *peer = container_of(base, struct test_peer, peer);

	assert_false(peer->inside);
	assert_false(peer->connected);
	peer->refused = reason;
}

static inline void peer_readable(struct mp_peer *base)
{
	struct test_peer *peer = container_of(base, struct test_peer, peer);

	assert_false(peer->inside);
	assert_non_null(peer->stream);
	peer->calls++;
	peer_read(peer);
}

static inline void peer_hung_up(struct mp_peer *base, uint16_t how)
{
	struct test_peer *peer = container_of(base, struct test_peer, peer);

	assert_true(how);
	assert_false(peer->inside);
	assert_non_null(peer->stream);
}

static inline void peer_writable(struct mp_peer *base)
{
	struct test_peer *peer = container_of(base, struct test_peer, peer);

	assert_false(peer->inside);
	assert_non_null(peer->stream);
	peer->calls++;
	peer_write(peer);
}

static const struct mp_peer_ops test_peer_ops = {
	.connected = peer_connected,
	.refused = peer_refused,
	.readable = peer_readable,
	.writable = peer_writable,
	.hung_up = peer_hung_up,
};

static const struct mp_opener test_opener = {
	.uid = 1000, .gid = 100, .pid = 42, .comm = "cat", .guest = "guest", .port = "port",
	.service = "test", .argument = "an argument", .channel = 3, .generation = 1,
};

/* Opens a stream; what open() returned. @out is written when connected. */
static inline int peer_open(struct test_peer *peer, struct mp_service *service, const char *out,
			    size_t out_len)
{
	int ret;

	memset(peer, 0, sizeof(*peer));
	peer->peer.ops = &test_peer_ops;
	peer->out = out;
	peer->out_len = out_len;
	peer->inside = true;
	ret = service->ops->open(service, &peer->peer, &test_opener, &peer->stream);
	peer->inside = false;
	if (ret < 0)
		assert_null(peer->stream);
	else
		assert_non_null(peer->stream);
	peer->connected = ret == 1;
	if (ret == 1)
		peer_write(peer);
	return ret;
}

static inline void peer_close(struct test_peer *peer, enum mp_end how)
{
	if (peer->stream)
		assert_false(peer->stream->ops->close(peer->stream, how, NULL));
	peer->stream = NULL;
	free(peer->in);
	peer->in = NULL;
	peer->in_len = peer->in_size = 0;
}

static inline bool peer_is_settled(void *context)
{
	struct test_peer *peer = context;

	return peer->connected || peer->refused;
}

static inline bool peer_has_ended(void *context)
{
	struct test_peer *peer = context;

	return peer->in_end || peer->in_error;
}

static inline bool peer_has_written(void *context)
{
	struct test_peer *peer = context;

	return peer->out_done == peer->out_len || peer->out_error;
}

/* Bytes that tell where they are. */
static inline char *rig_pattern(size_t len)
{
	char *bytes = malloc(len);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	return bytes;
}

#endif
