/* SPDX-License-Identifier: MIT */
/*
 * What the two ends of a measurement say to each other, whatever carries it:
 * the client sends a request, both do the work, and the next request follows on
 * the same connection. A stock port has but one connection for all its life.
 */
#ifndef BENCH_PROTOCOL_H
#define BENCH_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_MAGIC	0x626d7031
#define BENCH_MAX_SIZE	(1U << 20)
#define BENCH_MARK_SIZE	512

enum bench_op {
	BENCH_ECHO,	/* answer each message of size bytes, total in all (0: for ever) */
	BENCH_SINK,	/* take total bytes, then answer one byte */
	BENCH_SOURCE,	/* give total bytes */
	BENCH_BOTH,	/* SOURCE and SINK at once, then one byte */
	BENCH_MARK,	/* answer BENCH_MARK_SIZE bytes of text: what the host has spent */
};

/* The one byte after SINK and BOTH. */
#define BENCH_GOOD	'k'
#define BENCH_BAD	'x'

struct bench_request {
	uint32_t magic;
	uint32_t op;
	uint64_t size;		/* of an ECHO's message */
	uint64_t total;
	uint64_t verify;	/* not 0: the contents are the pattern, and are looked at */
};

bool request_is_valid(const struct bench_request *request);

/* How both ends move bytes; io.c. Return 0, or -1 at an error or end. */
int read_all(int fd, void *buf, size_t len);
int write_all(int fd, const void *buf, size_t len);

/*
 * Give or take total bytes in calls of at most size; verify as above. take_bytes()
 * returns 1 when the contents are wrong, and counts its calls if asked to.
 */
int give_bytes(int fd, char *buf, size_t size, uint64_t total, bool verify);
int take_bytes(int fd, char *buf, size_t size, uint64_t total, bool verify, uint64_t *calls);

/* The pattern: a byte's value depends on its offset in the stream alone. */
void pattern_fill(char *buf, uint64_t offset, size_t len);
bool pattern_matches(const char *buf, uint64_t offset, size_t len);

/* Bytes moved so far, for a caller that shows progress. */
extern _Atomic uint64_t bytes_given, bytes_taken;

#endif
