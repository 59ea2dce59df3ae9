// SPDX-License-Identifier: MIT
/*
 * How many bytes a second, in calls of a given size? The server moves what it can in a
 * call, whatever the client's size. A write counts when the server has it all.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "works.h"

struct writer {
	int fd;
	size_t size;
	uint64_t total;
	bool verify;
};

static uint64_t calls;

static void take_answer(int fd)
{
	char byte;

	if (read_all(fd, &byte, 1))
		fail("answer");
}

static void *write_stream(void *arg)
{
	const struct writer *w = arg;

	if (give_bytes(w->fd, more_buf, w->size, w->total, w->verify))
		fail("write");
	return NULL;
}

static void move_both(const struct writer *writer)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, write_stream, (void *)writer))
		fail("thread");
	if (take_bytes(writer->fd, io_buf, writer->size, writer->total, false, &calls) < 0)
		fail("read");
	pthread_join(thread, NULL);
}

static double move(int fd, const struct options *options, uint64_t n)
{
	struct writer writer = { fd, options->size, n * options->size, false };
	double start = now();

	doing(options->direction);
	if (!strcmp(options->direction, "read")) {
		request(fd, BENCH_SOURCE, 0, writer.total, false);
		if (take_bytes(fd, io_buf, options->size, writer.total, false, &calls) < 0)
			fail("read");
		return now() - start;
	}
	if (!strcmp(options->direction, "write")) {
		request(fd, BENCH_SINK, 0, writer.total, false);
		write_stream(&writer);
	} else {
		request(fd, BENCH_BOTH, 0, writer.total, false);
		move_both(&writer);
	}
	take_answer(fd);
	return now() - start;
}

void work_stream(const struct options *options)
{
	int fd = target_open(options->target);
	uint64_t n = calibrate(move, fd, options), bytes = n * options->size;
	double seconds;

	if (!strcmp(options->direction, "both"))
		bytes *= 2;
	mark_begin(fd, options);
	calls = 0;
	seconds = move(fd, options, n);
	printf("result mb_s=%.2f reads=%llu\n", bytes / seconds / 1e6, (unsigned long long)calls);
	mark_end(fd, options, n, bytes, seconds);
}
