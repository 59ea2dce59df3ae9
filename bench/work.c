// SPDX-License-Identifier: MIT
/* What all works of the client use: its buffers, how it fails, how much there is to do. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

char *io_buf, *more_buf;
static const char *step = "starting";
int channels_open;

void fail(const char *what)
{
	printf("error=%s: %s", what, strerror(errno));
	if (channels_open)
		printf(", with %d channels open", channels_open);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

void doing(const char *what)
{
	step = what;
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

void request(int fd, enum bench_op op, size_t size, uint64_t total, bool verify)
{
	struct bench_request r = { BENCH_MAGIC, op, size, total, verify };

	if (write_all(fd, &r, sizeof(r)))
		fail("request");
}

uint64_t calibrate(run_fn *run, int fd, const struct options *options)
{
	double took, enough = options->seconds / 4;
	uint64_t n = 4;

	if (options->ops) {
		run(fd, options, 16);
		return options->ops;
	}
	while ((took = run(fd, options, n)) < enough)
		n = took < enough / 8 ? n * 8 : n * 2;
	n = n * options->seconds / took;
	return n ? n : 1;
}

/* A signal handler: no stdio. */
static void give_up(int unused)
{
	char text[200], open[40] = "";
	int len;

	if (channels_open)
		snprintf(open, sizeof(open), ", with %d channels open", channels_open);
	len = snprintf(text, sizeof(text),
		       "error=time is up while %s, after %llu bytes written and %llu read%s\n",
		       step, (unsigned long long)bytes_given, (unsigned long long)bytes_taken,
		       open);

	(void)unused;
	if (write(STDOUT_FILENO, text, len) < 0)
		_exit(3);
	_exit(2);
}

void give_up_after(int seconds)
{
	signal(SIGALRM, give_up);
	alarm(seconds);
}
