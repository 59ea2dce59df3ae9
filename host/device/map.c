// SPDX-License-Identifier: MIT
/*
 * From a checked chain to pointers: nothing else in the device core sees a
 * guest's page. What is described here is valid until the entry that asked
 * for it returns; whoever waits longer keeps guest addresses and asks again.
 */
#include <errno.h>

#include "base/iov.h"
#include "device/internal.h"

int map_segments(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
		 struct iovec *iov, int max)
{
	int total = 0;

	for (unsigned int i = 0; i < count; i++) {
		int n = mem_iov(mem, segments[i].addr, segments[i].len, iov + total, max - total);

		if (n < 0)
			return n;
		total += n;
	}
	return total;
}

void map_split(struct request_map *map, struct iovec *iov, int count)
{
	map->result_count = iov_slice(iov, count, 0, sizeof(struct mp_result), map->result,
				      RESULT_IOVS);
	map->payload = iov;
	map->payload_count = iov_advance(&map->payload, count, sizeof(struct mp_result));
}

/* The first @len bytes at most, so that an array for single bytes is enough. */
static int map_front(const struct mem *mem, const struct ring_segment *segments,
		     unsigned int count, size_t len, struct iovec *iov, int max)
{
	int total = 0;

	for (unsigned int i = 0; i < count && len; i++) {
		size_t part = segments[i].len < len ? segments[i].len : len;
		int n = mem_iov(mem, segments[i].addr, part, iov + total, max - total);

		if (n < 0)
			return n;
		total += n;
		len -= part;
	}
	return total;
}

/* For messages, however they are cut: the longest is a header and a name. */
#define FRONT_IOVS (8 + 256)

ssize_t map_read(const struct mem *mem, const struct ring_chain *chain, void *buf, size_t len)
{
	struct iovec iov[FRONT_IOVS];
	int count = map_front(mem, chain->segments, chain->readable, len, iov, FRONT_IOVS);

	return count < 0 ? count : (ssize_t)iov_copy_out(iov, count, 0, buf, len);
}

ssize_t map_write(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
		  const void *buf, size_t len)
{
	struct iovec iov[FRONT_IOVS];
	int n = map_front(mem, segments, count, len, iov, FRONT_IOVS);

	return n < 0 ? n : (ssize_t)iov_copy_in(iov, n, 0, buf, len);
}
