// SPDX-License-Identifier: MIT
/* How long does a round trip take? */
#include <stdio.h>
#include <stdlib.h>

#include "works.h"

static float *times;

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static double round_trips(int fd, const struct options *options, uint64_t n)
{
	double start, last, t;

	doing("echoing");
	request(fd, BENCH_ECHO, options->size, n * options->size, false);
	start = last = now();
	for (uint64_t i = 0; i < n; i++) {
		if (write_all(fd, io_buf, options->size) || read_all(fd, io_buf, options->size))
			fail("echo");
		t = now();
		if (times)
			times[i] = t - last;
		last = t;
	}
	return last - start;
}

void rtt_measure(int fd, const struct options *options)
{
	uint64_t n = calibrate(round_trips, fd, options);
	double seconds;

	mark_begin(fd, options);
	times = malloc(n * sizeof(*times));
	if (!times)
		fail("memory");
	seconds = round_trips(fd, options, n);
	qsort(times, n, sizeof(*times), compare);
	printf("result median_us=%.2f p99_us=%.2f p999_us=%.2f max_us=%.2f\n", times[n / 2] * 1e6,
	       times[n * 99 / 100] * 1e6, times[n * 999 / 1000] * 1e6, times[n - 1] * 1e6);
	free(times);
	times = NULL;
	mark_end(fd, options, n, n * options->size * 2, seconds);
}

void work_rtt(const struct options *options)
{
	rtt_measure(target_open(options->target), options);
}
