/* SPDX-License-Identifier: MIT */
/*
 * The stress: what its files and the host's side of it share.
 *
 * A channel to the service "stress" begins with a hello from the guest. Then both
 * sides send: the guest @out_len bytes of the pattern of @seed, the host @in_len bytes of
 * the pattern of @seed + 1. When the guest has shut down writing, and the host has
 * sent all, the host says with a verdict what it got, and closes. All plans follow
 * from the seed of the run.
 */
#ifndef GUEST_STRESS_H
#define GUEST_STRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define STRESS_MAGIC 0x5712e550

enum stress_mode {
	STRESS_STREAM	= 1,	/* as fast as it goes */
	STRESS_STOP_GO	= 2,	/* the host stops reading again and again */
	STRESS_STALL	= 3,	/* the host does nothing until the command "stress go" */
	STRESS_RECORDS	= 4,	/* stop and go; out is records, of many writers */
	STRESS_CUT	= 5,	/* the host closes after half of what it would send */
};

struct stress_hello {
	uint32_t magic, mode;
	uint64_t seed, out_len, in_len;
};

struct stress_verdict {
	uint32_t magic, is_bad;
	uint64_t received, bad_at;
};

/* One write of one of many writers of a channel. */
struct stress_record {
	uint32_t magic, writer, number, len;	/* len: with this header */
};

#define STRESS_WRITERS 64

static inline uint64_t stress_mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ 0x9e3779b97f4a7c15ULL) * 0xd6e8feb86659fd93ULL + b;

	x ^= x >> 31;
	x *= 0x94d049bb133111ebULL;
	return x ^ (x >> 29);
}

/* The guest's half only. */

struct stress_options {
	const char *port;
	unsigned int channels, processes, stalled, shared, rounds, limit;
	uint64_t seed, bytes;
};

/* In memory that all processes of a round see. */
struct stress_worker {
	volatile uint64_t moved;	/* bytes both ways */
	volatile unsigned int finished;	/* channels */
	volatile unsigned int closed;	/* of them, closed halfway on purpose */
};

extern struct stress_options options;
extern const char *stress_who;		/* for messages */

void stress_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Channel @index of the run @seed: the same in every run. */
struct stress_plan {
	struct stress_hello hello;
	uint64_t close_at;		/* close when that much is written, or UINT64_MAX */
};
struct stress_plan stress_make_plan(uint64_t seed, unsigned int index);

int stress_open(bool nonblock);
/* Opens @count channels, says so by a byte to @ready, waits for the end of @go. */
void stress_work(unsigned int number, uint64_t seed, unsigned int first, unsigned int count,
		 struct stress_worker *shared, int ready, int go);
void stress_stall(uint64_t seed, unsigned int number, int ready, int go);
void stress_share(uint64_t seed, unsigned int number, int ready, int go);

/* The rest of a channel: reads @in_len bytes and the verdict, which must be good. */
void stress_read_verdict(int fd, const struct stress_hello *hello, uint64_t expected);
void stress_write(int fd, const void *buf, size_t len);

#endif
