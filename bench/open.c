// SPDX-License-Identifier: MIT
/*
 * How many times a second can a connection be made, used for one round trip, and
 * closed? The request and the first message are one write.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "works.h"

static double open_and_close(int fd, const struct options *options, uint64_t n)
{
	struct bench_request r = { BENCH_MAGIC, BENCH_ECHO, options->size, options->size, 0 };
	double start = now();

	for (uint64_t i = 0; i < n; i++) {
		fd = target_open(options->target);
		memcpy(more_buf, &r, sizeof(r));
		doing("one round trip on a new connection");
		if (write_all(fd, more_buf, sizeof(r) + options->size) ||
		    read_all(fd, io_buf, options->size))
			fail("echo");
		close(fd);
	}
	return now() - start;
}

/* A stock port cannot be open while it is opened: the marks have their own open. */
static void mark(bool begins, const struct options *options, uint64_t n, double seconds)
{
	int fd = target_open(options->target);

	if (begins)
		mark_begin(fd, options);
	else
		mark_end(fd, options, n, n * options->size * 2, seconds);
	close(fd);
}

void work_open(const struct options *options)
{
	uint64_t n = calibrate(open_and_close, -1, options);
	double seconds;

	mark(true, options, n, 0);
	seconds = open_and_close(-1, options, n);
	printf("result opens_s=%.2f\n", n / seconds);
	mark(false, options, n, seconds);
}
