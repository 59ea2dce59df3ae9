// SPDX-License-Identifier: MIT
/* The service "stress": the host's side of stress.c. See stress.h and host_puppet.h. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host_puppet.h"
#include "pattern.h"
#include "stress.h"

#define CHUNK (128 * 1024)

struct stressed {
	struct watch watch;
	uint32_t wanted;
	struct stressed *next, **prev;
	struct stress_hello hello;
	size_t hello_len;		/* bytes of it that have come */
	bool is_stopped;		/* reads nothing until ->rounds is 0 */
	unsigned int rounds;
	bool has_end;
	uint64_t received, sent, bad_at;
	bool is_bad;
	uint64_t dice;
	struct stress_verdict verdict;
	size_t verdict_done;

	/* RECORDS: where in the stream of records we are */
	struct stress_record record;
	uint64_t record_done;		/* bytes of the record, its header included */
	uint32_t next_number[STRESS_WRITERS];
};

static struct stressed *all;
static unsigned int active, finished, bad, stopped;
static uint8_t chunk[CHUNK];

static void update(struct stressed *s)
{
	bool is_stalled = s->hello.mode == STRESS_STALL;
	bool may_send = s->hello_len == sizeof(s->hello) && !is_stalled &&
			(s->sent < s->hello.in_len || s->has_end);
	uint32_t wanted = 0;

	if (!s->has_end && !s->is_stopped && !is_stalled)
		wanted |= EPOLLIN;
	if (may_send)
		wanted |= EPOLLOUT;
	if (!wanted)
		wanted = EPOLLET;	/* a hang-up is known once, and seen when it reads */
	if (wanted != s->wanted)
		watch_set(&s->watch, wanted);
	s->wanted = wanted;
}

static void finish(struct stressed *s)
{
	if (s->is_stopped)
		stopped--;
	if (s->is_bad) {
		bad++;
		fprintf(stderr, "stress: seed %llu mode %u: wrong at %llu of %llu\n",
			(unsigned long long)s->hello.seed, s->hello.mode,
			(unsigned long long)s->bad_at, (unsigned long long)s->hello.out_len);
	}
	active--;
	finished++;
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	close(s->watch.fd);
	free(s);
}

static void note_bad(struct stressed *s, uint64_t at)
{
	if (!s->is_bad)
		s->bad_at = at;
	s->is_bad = true;
}

/* The header of a record is complete: is it the writer's next one? */
static void check_record(struct stressed *s)
{
	struct stress_record *r = &s->record;

	if (r->magic != STRESS_MAGIC || r->writer >= STRESS_WRITERS || r->len < sizeof(*r) ||
	    r->number != s->next_number[r->writer]) {
		note_bad(s, s->received);
		r->len = sizeof(*r);
		return;
	}
	s->next_number[r->writer]++;
}

static size_t take_record_part(struct stressed *s, const uint8_t *data, size_t len)
{
	struct stress_record *r = &s->record;
	size_t part;

	if (s->record_done < sizeof(*r)) {
		part = sizeof(*r) - s->record_done;
		part = part < len ? part : len;
		memcpy((char *)r + s->record_done, data, part);
		s->record_done += part;
		if (s->record_done == sizeof(*r))
			check_record(s);
	} else {
		part = r->len - s->record_done;
		part = part < len ? part : len;
		if (pattern_check(data, part, stress_mix(r->writer, r->number),
				  s->record_done) < part)
			note_bad(s, s->received);
		s->record_done += part;
	}
	if (s->record_done >= sizeof(*r) && s->record_done == r->len)
		s->record_done = 0;
	return part;
}

static void take(struct stressed *s, const uint8_t *data, size_t len)
{
	size_t part, good;

	while (len && s->hello.mode == STRESS_RECORDS && !s->is_bad) {
		part = take_record_part(s, data, len);
		s->received += part;
		data += part;
		len -= part;
	}
	if (!s->is_bad && len) {
		good = pattern_check(data, len, s->hello.seed, s->received);
		if (good < len)
			note_bad(s, s->received + good);
	}
	s->received += len;
	if (s->hello.mode != STRESS_RECORDS && s->received > s->hello.out_len)
		note_bad(s, s->hello.out_len);
}

static size_t take_hello(struct stressed *s, size_t len)
{
	size_t part = sizeof(s->hello) - s->hello_len;

	part = part < len ? part : len;
	memcpy((char *)&s->hello + s->hello_len, chunk, part);
	s->hello_len += part;
	if (s->hello_len == sizeof(s->hello) && s->hello.magic != STRESS_MAGIC)
		note_bad(s, 0);
	s->dice = s->hello.seed;
	return part;
}

/* Now and then a service of these modes looks away. */
static void maybe_stop(struct stressed *s)
{
	if (s->hello.mode != STRESS_STOP_GO && s->hello.mode != STRESS_RECORDS)
		return;
	s->dice = stress_mix(s->dice, s->received);
	if (s->dice % 4)
		return;
	s->is_stopped = true;
	s->rounds = 1 + s->dice / 4 % 20;
	stopped++;
}

/* Returns false when the connection is over. */
static bool receive(struct stressed *s)
{
	size_t part = 0;
	ssize_t len;

	len = recv(s->watch.fd, chunk, 1 + stress_mix(s->dice, s->received) % CHUNK, MSG_DONTWAIT);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (len < 0)
		return false;
	if (!len) {
		s->has_end = true;
		if (s->record_done)
			note_bad(s, s->received);
		s->verdict = (struct stress_verdict){ STRESS_MAGIC, s->is_bad, s->received,
						      s->bad_at };
		return s->hello_len == sizeof(s->hello);
	}
	if (s->hello_len < sizeof(s->hello))
		part = take_hello(s, len);
	take(s, chunk + part, len - part);
	maybe_stop(s);
	return true;
}

/* Returns false when the connection is over. */
static bool send_some(struct stressed *s)
{
	const void *data = chunk;
	size_t len;
	ssize_t ret;

	if (s->sent < s->hello.in_len) {
		len = s->hello.in_len - s->sent < CHUNK ? s->hello.in_len - s->sent : CHUNK;
		pattern_fill(chunk, len, s->hello.seed + 1, s->sent);
	} else {
		data = (char *)&s->verdict + s->verdict_done;
		len = sizeof(s->verdict) - s->verdict_done;
	}
	ret = send(s->watch.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (ret < 0)
		return errno == EAGAIN || errno == EINTR;
	if (s->sent < s->hello.in_len)
		s->sent += ret;
	else
		s->verdict_done += ret;
	if (s->hello.mode == STRESS_CUT && s->sent >= s->hello.in_len / 2)
		return false;
	return s->verdict_done < sizeof(s->verdict);
}

static void stressed_ready(struct watch *watch, uint32_t events)
{
	struct stressed *s = (struct stressed *)watch;
	bool goes_on = true;

	if ((s->wanted & EPOLLIN) && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		goes_on = receive(s);
	if (goes_on && (s->wanted & EPOLLOUT) && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
		goes_on = send_some(s);
	if (goes_on)
		update(s);
	else
		finish(s);
}

void stressed_create(int fd)
{
	struct stressed *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		return;
	}
	s->next = all;
	s->prev = &all;
	if (all)
		all->prev = &s->next;
	all = s;
	active++;
	watch_add(&s->watch, fd, stressed_ready);
	update(s);
}

bool stress_round(void)
{
	for (struct stressed *s = stopped ? all : NULL; s; s = s->next) {
		if (!s->is_stopped || --s->rounds)
			continue;
		s->is_stopped = false;
		stopped--;
		update(s);
	}
	return stopped;
}

void stress_go(void)
{
	for (struct stressed *s = all; s; s = s->next) {
		if (s->hello.mode == STRESS_STALL)
			s->hello.mode = STRESS_STREAM;
		update(s);
	}
}

void stress_counts(unsigned int *active_ret, unsigned int *finished_ret, unsigned int *bad_ret)
{
	*active_ret = active;
	*finished_ret = finished;
	*bad_ret = bad;
}

void stress_forget(void)
{
	finished = 0;
	bad = 0;
}
