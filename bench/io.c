// SPDX-License-Identifier: MIT
/* Moving bytes, and the pattern that tells whether they are the right ones. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "protocol.h"

/* A prime length, so that no power of two repeats it at the same place. */
#define PERIOD 65521

_Atomic uint64_t bytes_given, bytes_taken;

static char period[PERIOD];

static void make_period(void)
{
	uint32_t x = 1;

	if (period[0])
		return;
	for (int i = PERIOD - 1; i > 0; i--) {
		x = x * 1664525 + 1013904223;
		period[i] = x >> 24;
	}
	period[0] = 1;	/* last: it says that all is there */
}

void pattern_fill(char *buf, uint64_t offset, size_t len)
{
	size_t at, n;

	make_period();
	for (; len; buf += n, offset += n, len -= n) {
		at = offset % PERIOD;
		n = len < PERIOD - at ? len : PERIOD - at;
		memcpy(buf, period + at, n);
	}
}

bool pattern_matches(const char *buf, uint64_t offset, size_t len)
{
	size_t at, n;

	make_period();
	for (; len; buf += n, offset += n, len -= n) {
		at = offset % PERIOD;
		n = len < PERIOD - at ? len : PERIOD - at;
		if (memcmp(buf, period + at, n))
			return false;
	}
	return true;
}

int read_all(int fd, void *buf, size_t len)
{
	char *to = buf;

	while (len) {
		ssize_t n = read(fd, to, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (!n)
			errno = EPIPE;
		if (n <= 0)
			return -1;
		to += n;
		len -= n;
		bytes_taken += n;
	}
	return 0;
}

int write_all(int fd, const void *buf, size_t len)
{
	const char *from = buf;

	while (len) {
		ssize_t n = write(fd, from, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		from += n;
		len -= n;
		bytes_given += n;
	}
	return 0;
}

int give_bytes(int fd, char *buf, size_t size, uint64_t total, bool verify)
{
	for (uint64_t done = 0; done < total; done += size) {
		if (size > total - done)
			size = total - done;
		if (verify)
			pattern_fill(buf, done, size);
		if (write_all(fd, buf, size))
			return -1;
	}
	return 0;
}

/* One read gives what is there, as with any stream. Returns 1 for bad contents. */
int take_bytes(int fd, char *buf, size_t size, uint64_t total, bool verify, uint64_t *calls)
{
	bool is_bad = false;
	uint64_t done = 0;
	ssize_t n;

	while (done < total) {
		n = read(fd, buf, size < total - done ? size : total - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (!n)
			errno = EPIPE;
		if (n <= 0)
			return -1;
		if (verify && !pattern_matches(buf, done, n))
			is_bad = true;
		done += n;
		bytes_taken += n;
		if (calls)
			++*calls;
	}
	return is_bad;
}

bool request_is_valid(const struct bench_request *request)
{
	return request->magic == BENCH_MAGIC && request->op <= BENCH_MARK &&
	       request->size <= BENCH_MAX_SIZE;
}
