// SPDX-License-Identifier: MIT
/* What does another channel's load do to a round trip? */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "works.h"

#define BULK_SIZE 65536

static _Atomic uint64_t *bulk_bytes;	/* shared with the process that streams */

static void __attribute__((noreturn)) stream_for_ever(const struct options *options)
{
	bool is_write = !strcmp(options->beside, "bulk-write");
	uint64_t for_ever = UINT64_MAX / 2;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = target_open(options->target);
	request(fd, is_write ? BENCH_SINK : BENCH_SOURCE, 0, for_ever, false);
	for (;;) {
		if (is_write ? write_all(fd, io_buf, BULK_SIZE) : read_all(fd, io_buf, BULK_SIZE))
			fail("bulk");
		*bulk_bytes += BULK_SIZE;
	}
}

static pid_t start_bulk(const struct options *options)
{
	const struct timespec moment = { .tv_nsec = 1000 * 1000 };
	pid_t child;

	bulk_bytes = mmap(NULL, sizeof(*bulk_bytes), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	child = fork();
	if (child < 0)
		fail("fork");
	if (!child)
		stream_for_ever(options);
	doing("waiting for the bulk stream to run");
	while (*bulk_bytes < 64 * BULK_SIZE)
		nanosleep(&moment, NULL);
	return child;
}

/* A process that computes. */
static pid_t start_busy(void)
{
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		*(volatile char *)io_buf = 0;
}

/* A channel that is full in both directions, and that neither end reads any more. */
static void stall(const struct options *options)
{
	int fd = target_open(options->target);
	const struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };
	int idle = 0;
	ssize_t n;

	doing("filling a channel until it stalls");
	request(fd, BENCH_SOURCE, 0, UINT64_MAX / 2, false);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	while (idle < 5) {
		n = write(fd, more_buf, BULK_SIZE);
		if (n < 0 && errno != EAGAIN)
			fail("filling");
		idle = n > 0 ? 0 : idle + 1;
		if (n < 0)
			nanosleep(&moment, NULL);
	}
}

static void open_idle(const struct options *options)
{
	for (int i = 0; i < options->channels; i++) {
		int fd = target_open(options->other);

		channels_open++;
		request(fd, BENCH_ECHO, 64, 64, false);
		if (write_all(fd, more_buf, 64) || read_all(fd, more_buf, 64))
			fail("idle channel's round trip");
	}
}

void work_beside(const struct options *options)
{
	int fd = target_open(options->target);
	uint64_t bulk = 0;
	double start;
	pid_t child = 0;

	if (!strncmp(options->beside, "bulk", 4))
		child = start_bulk(options);
	if (!strcmp(options->beside, "busy"))
		child = start_busy();
	if (!strcmp(options->beside, "stalled"))
		stall(options);
	if (!strcmp(options->beside, "idle"))
		open_idle(options);
	start = now();
	if (bulk_bytes)
		bulk = *bulk_bytes;
	rtt_measure(fd, options);
	if (!child)
		return;
	if (bulk_bytes)
		printf("bulk_mb_s=%.2f\n", (*bulk_bytes - bulk) / (now() - start) / 1e6);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
