// SPDX-License-Identifier: MIT
/*
 * How do several processes share it? Each has a connection of its own and makes round trips,
 * blocked in read() for each answer.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "works.h"

static void __attribute__((noreturn)) echo_for_ever(const struct options *options,
						     struct share *share)
{
	uint64_t for_ever = UINT64_MAX / 2;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = target_open(options->target);
	request(fd, BENCH_ECHO, options->size, for_ever, false);
	for (;;) {
		if (write_all(fd, io_buf, options->size) || read_all(fd, io_buf, options->size))
			fail("echo");
		share_note(share, now());
	}
}

static void rest(double seconds)
{
	struct timespec time = { .tv_sec = (time_t)seconds };

	time.tv_nsec = (long)((seconds - time.tv_sec) * 1e9);
	nanosleep(&time, NULL);
}

void work_processes(const struct options *options)
{
	int n = options->channels, marks = target_open(options->target);
	struct share *shares = shares_make(n);
	pid_t *children = calloc(n, sizeof(*children));
	uint64_t total = 0;
	double start;

	if (!children)
		fail("memory");
	for (int i = 0; i < n; i++) {
		children[i] = fork();
		if (children[i] < 0)
			fail("fork");
		if (!children[i])
			echo_for_ever(options, &shares[i]);
	}
	doing("a first round trip of each process");
	for (int i = 0; i < n; i++)
		while (!*(volatile uint64_t *)&shares[i].count)
			rest(.001);
	mark_begin(marks, options);
	shares_reset(shares, n);
	start = now();
	rest(options->seconds);
	shares_print(shares, n, now() - start, options->size);
	for (int i = 0; i < n; i++)
		total += shares[i].count;
	mark_end(marks, options, total, total * options->size * 2, now() - start);
	for (int i = 0; i < n; i++)
		kill(children[i], SIGKILL);
	while (wait(NULL) > 0)
		;
}
