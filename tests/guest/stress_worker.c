// SPDX-License-Identifier: MIT
/*
 * The processes of the stress that hold many channels: by epoll, level- or
 * edge-triggered, or with two threads and blocking calls for each. See stress.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <manyport/client.h>

#include "pattern.h"
#include "stress.h"

#define CHUNK (64 * 1024)

struct stream {
	int fd;
	struct stress_plan plan;
	uint64_t out, in;		/* bytes done: hello and pattern; pattern and verdict */
	struct stress_verdict verdict;
	bool out_done, is_over;
	struct stress_worker *shared;
};

static uint64_t out_total(const struct stream *s)
{
	return sizeof(s->plan.hello) + s->plan.hello.out_len;
}

/* Fills @buf with what comes at ->out. Returns its length, 0 at the end. */
static size_t next_out(const struct stream *s, char *buf)
{
	size_t head = sizeof(s->plan.hello), len = 0, part;
	uint64_t at = s->out;

	if (at < head) {
		len = head - at;
		memcpy(buf, (char *)&s->plan.hello + at, len);
		at = head;
	}
	part = out_total(s) - at < CHUNK - len ? out_total(s) - at : CHUNK - len;
	/* Sizes of all kinds: what is written, not only how much. */
	if (part > 1)
		part = 1 + stress_mix(s->plan.hello.seed, s->out) % part;
	pattern_fill(buf + len, part, s->plan.hello.seed, at - head);
	return len + part;
}

/* Checks @len bytes that came at ->in. */
static void take_in(struct stream *s, const char *buf, size_t len)
{
	uint64_t pattern_len = s->plan.hello.in_len;
	size_t part = 0, good;

	if (s->in < pattern_len) {
		part = pattern_len - s->in < len ? pattern_len - s->in : len;
		good = pattern_check(buf, part, s->plan.hello.seed + 1, s->in);
		if (good < part)
			stress_fail("seed %llu: wrong byte at %llu",
				    (unsigned long long)s->plan.hello.seed,
				    (unsigned long long)(s->in + good));
	}
	if (len > part) {
		uint64_t at = s->in + part - pattern_len;

		if (at + len - part > sizeof(s->verdict))
			stress_fail("more bytes than the host has sent");
		memcpy((char *)&s->verdict + at, buf + part, len - part);
	}
	s->in += len;
	s->shared->moved += len;
}

/* The host's end has come: was it the right one? */
static void check_end(struct stream *s, int error)
{
	bool is_cut = s->plan.hello.mode == STRESS_CUT;

	if (is_cut && s->in <= s->plan.hello.in_len)
		return;		/* wherever it was, all that came was right */
	if (error)
		stress_fail("seed %llu: read after %llu bytes: %s",
			    (unsigned long long)s->plan.hello.seed, (unsigned long long)s->in,
			    strerror(error));
	if (s->in != s->plan.hello.in_len + sizeof(s->verdict))
		stress_fail("seed %llu mode %u: end after %llu of %llu bytes",
			    (unsigned long long)s->plan.hello.seed, s->plan.hello.mode,
			    (unsigned long long)s->in,
			    (unsigned long long)(s->plan.hello.in_len + sizeof(s->verdict)));
	if (s->verdict.magic != STRESS_MAGIC || s->verdict.is_bad ||
	    s->verdict.received != s->plan.hello.out_len)
		stress_fail("seed %llu: the host got %llu of %llu bytes%s",
			    (unsigned long long)s->plan.hello.seed,
			    (unsigned long long)s->verdict.received,
			    (unsigned long long)s->plan.hello.out_len,
			    s->verdict.is_bad ? ", wrong ones" : "");
}

static void end_stream(struct stream *s)
{
	close(s->fd);
	s->is_over = true;
	s->shared->finished++;
}

/* The service takes no more: right only where it was to cut. */
static void stop_writing(struct stream *s, int error)
{
	if (s->plan.hello.mode != STRESS_CUT)
		stress_fail("seed %llu: write after %llu bytes: %s",
			    (unsigned long long)s->plan.hello.seed, (unsigned long long)s->out,
			    strerror(error));
	s->out_done = true;
}

/* Writes once. Returns false when it must wait, is done, or the stream is over. */
static bool write_once(struct stream *s, char *buf)
{
	size_t len = next_out(s, buf);
	ssize_t ret;

	ret = len ? write(s->fd, buf, len) : 0;
	if (ret < 0 && errno == EAGAIN)
		return false;
	if (ret < 0) {
		stop_writing(s, errno);
		return false;
	}
	s->out += ret;
	s->shared->moved += ret;
	if (s->out > s->plan.close_at) {
		s->shared->closed++;
		end_stream(s);
		return false;
	}
	if (s->out == out_total(s)) {
		ret = manyport_shutdown(s->fd, SHUT_WR);
		if (ret && s->plan.hello.mode != STRESS_CUT)
			stress_fail("shutdown: %s", strerror(-ret));
		s->out_done = true;
	}
	return !s->out_done && ret == (ssize_t)len;
}

/* Reads once. Returns false when it must wait or the stream is over. */
static bool read_once(struct stream *s, char *buf)
{
	size_t size = 1 + stress_mix(s->plan.hello.seed + 7, s->in) % CHUNK;
	ssize_t ret = read(s->fd, buf, size);

	if (ret < 0 && errno == EAGAIN)
		return false;
	if (ret > 0) {
		take_in(s, buf, ret);
		return ret == (ssize_t)size;
	}
	check_end(s, ret ? errno : 0);
	end_stream(s);
	return false;
}

/* ---- by events ---- */

static void watch(int epoll, struct stream *s, int op, bool edge)
{
	struct epoll_event event = {
		.events = EPOLLIN | (s->out_done ? 0 : EPOLLOUT) | (edge ? EPOLLET : 0),
		.data.ptr = s,
	};

	if (epoll_ctl(epoll, op, s->fd, &event))
		stress_fail("epoll_ctl: %s", strerror(errno));
}

static void serve_stream(int epoll, struct stream *s, uint32_t events, bool edge, char *buf)
{
	bool was_done = s->out_done;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		while (read_once(s, buf) && edge)
			;
	if (!s->is_over && !s->out_done && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
		while (write_once(s, buf) && edge)
			;
	if (!s->is_over && !edge && s->out_done && !was_done)
		watch(epoll, s, EPOLL_CTL_MOD, edge);
}

static void run_events(struct stream *streams, unsigned int count, bool edge,
		       struct stress_worker *shared)
{
	struct epoll_event events[16];
	int epoll = epoll_create1(EPOLL_CLOEXEC), ready;
	char *buf = malloc(CHUNK);

	if (epoll < 0 || !buf)
		stress_fail("epoll: %s", strerror(errno));
	for (unsigned int i = 0; i < count; i++)
		watch(epoll, &streams[i], EPOLL_CTL_ADD, edge);
	while (shared->finished < count) {
		ready = epoll_wait(epoll, events, 16, -1);
		for (int i = 0; i < ready; i++) {
			struct stream *s = events[i].data.ptr;

			if (!s->is_over)
				serve_stream(epoll, s, events[i].events, edge, buf);
		}
	}
	close(epoll);
	free(buf);
}

/* ---- by threads ---- */

static void *write_stream(void *arg)
{
	struct stream *s = arg;
	char *buf = malloc(CHUNK);

	while (write_once(s, buf))
		;
	free(buf);
	return NULL;
}

static void *read_stream(void *arg)
{
	struct stream *s = arg;
	char *buf = malloc(CHUNK);

	/* A short read is no end here: only the call that ends the stream is. */
	while (!s->is_over)
		read_once(s, buf);
	free(buf);
	return NULL;
}

static void run_threads(struct stream *streams, unsigned int count)
{
	pthread_t *threads = calloc(2 * count, sizeof(*threads));

	for (unsigned int i = 0; i < count; i++) {
		/* A close under another thread's call is not what is tried here. */
		streams[i].plan.close_at = UINT64_MAX;
		if (pthread_create(&threads[2 * i], NULL, write_stream, &streams[i]) ||
		    pthread_create(&threads[2 * i + 1], NULL, read_stream, &streams[i]))
			stress_fail("no threads");
	}
	for (unsigned int i = 0; i < 2 * count; i++)
		pthread_join(threads[i], NULL);
	free(threads);
}

/* ---- for a developer who looks for what is stuck ---- */

static struct stream *said;
static unsigned int said_count;

/* Not safe in a signal handler in general; this process waits, and then dies. */
static void say_streams(int sig)
{
	struct manyport_info info;

	(void)sig;
	for (unsigned int i = 0; i < said_count; i++) {
		struct stream *s = &said[i];
		struct pollfd entry = { .fd = s->fd, .events = POLLIN | POLLOUT };

		if (s->is_over)
			continue;
		manyport_info(s->fd, &info);
		poll(&entry, 1, 0);
		printf("# %s: mode %u out %llu/%llu in %llu/%llu poll %#x state %u readable %u "
		       "unsent %u flags %#x in %llu out %llu\n", stress_who, s->plan.hello.mode,
		       (unsigned long long)s->out, (unsigned long long)out_total(s),
		       (unsigned long long)s->in, (unsigned long long)s->plan.hello.in_len,
		       entry.revents, info.state, info.readable, info.unsent, info.flags,
		       (unsigned long long)info.bytes_in, (unsigned long long)info.bytes_out);
	}
}

void stress_work(unsigned int number, uint64_t seed, unsigned int first, unsigned int count,
		 struct stress_worker *shared, int ready, int go)
{
	struct stream *streams = calloc(count, sizeof(*streams));
	bool blocking = number % 3 == 2;
	char byte = 0;

	for (unsigned int i = 0; i < count; i++) {
		streams[i].shared = shared;
		streams[i].plan = stress_make_plan(seed, first + i);
		streams[i].fd = stress_open(!blocking);
	}
	said = streams;
	said_count = count;
	signal(SIGUSR1, say_streams);
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1))
		stress_fail("no start");
	if (blocking)
		run_threads(streams, count);
	else
		run_events(streams, count, number % 3, shared);
	free(streams);
}
