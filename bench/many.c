// SPDX-License-Identifier: MIT
/*
 * How do many busy channels share it? Each has one message on its way all the time;
 * one epoll loop here and one on the host serve them all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "works.h"

#define EVENTS 256

struct channel {
	int fd;
	size_t sent, got;		/* of the message that is on its way */
	bool waits_for_room;
	struct share *share;
};

static int loop, left_out;
static bool must_stop;
static uint64_t total;
static struct share *shares;

static void watch_for(struct channel *c, int op, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = c };

	if (epoll_ctl(loop, op, c->fd, &event))
		fail("epoll_ctl");
}

static void send_on(struct channel *c, const struct options *options)
{
	bool wants_room;
	ssize_t n = write(c->fd, more_buf, options->size - c->sent);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		fail("write");
	c->sent += n > 0 ? n : 0;
	bytes_given += n > 0 ? n : 0;
	wants_room = c->sent < options->size;
	if (wants_room == c->waits_for_room)
		return;
	c->waits_for_room = wants_room;
	watch_for(c, EPOLL_CTL_MOD, wants_room ? EPOLLOUT | EPOLLIN : EPOLLIN);
}

static void take_on(struct channel *c, const struct options *options, double t)
{
	ssize_t n = read(c->fd, io_buf, options->size - c->got);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		fail(n ? "read" : "end of a channel");
	c->got += n;
	bytes_taken += n;
	if (c->got < options->size)
		return;
	share_note(c->share, t);
	total++;
	c->sent = c->got = 0;
	if (must_stop)
		left_out--;
	else
		send_on(c, options);
}

static void turn(const struct options *options)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(loop, events, EVENTS, -1);
	double t = now();

	for (int i = 0; i < n; i++) {
		struct channel *c = events[i].data.ptr;

		if (c->waits_for_room)
			send_on(c, options);
		if (events[i].events & ~EPOLLOUT)
			take_on(c, options, t);
	}
}

static struct channel *open_all(const struct options *options)
{
	struct channel *channels = calloc(options->channels, sizeof(*channels));
	int fd;

	shares = shares_make(options->channels);
	if (!channels)
		fail("memory");
	for (int i = 0; i < options->channels; i++) {
		fd = target_open(options->target);
		channels_open++;
		request(fd, BENCH_ECHO, options->size, 0, false);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		channels[i].fd = fd;
		channels[i].share = &shares[i];
		watch_for(&channels[i], EPOLL_CTL_ADD, EPOLLIN);
	}
	return channels;
}

/* So long that each channel has its turn some ten times, but not for ever. */
static double time_for(const struct options *options, double seconds_each)
{
	double wanted = seconds_each * 10;

	if (wanted < options->seconds)
		return options->seconds;
	return wanted < options->limit / 3.0 ? wanted : options->limit / 3.0;
}

static double run_for(const struct options *options, double seconds)
{
	double start = now(), t = start;

	while (t < start + seconds) {
		turn(options);
		t = now();
	}
	return t - start;
}

void work_many(const struct options *options)
{
	int n = options->channels, marks = target_open(options->target);
	struct channel *channels;
	double start = now(), opening, seconds;

	loop = epoll_create1(EPOLL_CLOEXEC);
	channels = open_all(options);
	opening = now() - start;
	mark_begin(marks, options);
	doing("a first round trip on each channel");
	start = now();
	for (int i = 0; i < n; i++)
		send_on(&channels[i], options);
	while (total < (uint64_t)n)
		turn(options);
	seconds = time_for(options, now() - start);
	shares_reset(shares, n);
	total = 0;
	doing("round trips on all channels");
	seconds = run_for(options, seconds);
	printf("opens_s=%.1f\n", n / opening);
	shares_print(shares, n, seconds, options->size);
	must_stop = true;
	left_out = n;
	while (left_out)
		turn(options);
	mark_end(marks, options, total, total * options->size * 2, seconds);
}
