/* SPDX-License-Identifier: MIT */
/* What the works share. */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include "protocol.h"

/* The command line: TARGET WORK [NAME=VALUE...]. */
struct options {
	const char *target;
	const char *other;	/* beside=idle: where the idle channels go */
	const char *beside;	/* bulk-write, bulk-read, busy, stalled, idle */
	const char *direction;	/* write, read, both */
	const char *irq;	/* lines of /proc/interrupts with this word count */
	double seconds;		/* to measure for */
	size_t size;
	uint64_t ops;		/* not 0: exactly that many, instead of seconds */
	int channels;
	int limit;		/* seconds until it is given up */
};

extern char *io_buf, *more_buf;		/* BENCH_MAX_SIZE each, page-aligned */

/* Ends the program with a line "error=WHAT: why". */
void __attribute__((noreturn)) fail(const char *what);
/* How many connections are open, and what is being done: for these lines, too. */
extern int channels_open;
void doing(const char *what);
void give_up_after(int seconds);
double now(void);

/* target.c: opens and, on a manyport node, names the service; or fails. */
int target_open(const char *target);

void request(int fd, enum bench_op op, size_t size, uint64_t total, bool verify);

/* mark.c: counters before and after the work, whose difference is printed. */
void mark_begin(int fd, const struct options *options);
void mark_end(int fd, const struct options *options, uint64_t ops, uint64_t bytes,
	      double seconds);

/*
 * How many operations fill the time that is asked for; run(fd, options, n) does n and
 * returns the seconds that they took. It is the warm-up, too.
 */
typedef double run_fn(int fd, const struct options *options, uint64_t n);
uint64_t calibrate(run_fn *run, int fd, const struct options *options);

/* shares.c: how much each of several got. */
struct share {
	uint64_t count;			/* round trips */
	double last, longest;		/* answer; gap between two, seconds */
};

struct share *shares_make(int n);
void shares_reset(struct share *shares, int n);
void share_note(struct share *share, double t);
void shares_print(const struct share *shares, int n, double seconds, size_t size);

/* Round trips, and their median and percentiles as "result ..."; rtt.c. */
void rtt_measure(int fd, const struct options *options);

#endif
