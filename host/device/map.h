/* SPDX-License-Identifier: MIT */
/* From a checked chain to pointers; see map.c. */
#ifndef HOST_DEVICE_MAP_H
#define HOST_DEVICE_MAP_H

#include <sys/types.h>
#include <sys/uio.h>

#include <manyport/wire.h>

#include "ring/ring.h"

/* A part of a chain: all that is readable, or all that is writable. */
struct segments {
	const struct ring_segment *first;
	unsigned int count;
};

static inline struct segments map_readable(const struct ring_chain *chain)
{
	return (struct segments){ chain->segments, chain->readable };
}

static inline struct segments map_writable(const struct ring_chain *chain)
{
	return (struct segments){ chain->segments + chain->readable, chain->writable };
}

/*
 * Describes @len bytes behind the first @skip of @part in @iov; fewer where the part ends. Returns
 * the number of iovecs, -EFAULT (not guest memory) or -E2BIG.
 */
int map_range(const struct mem *mem, struct segments part, uint64_t skip, uint64_t len,
	      struct iovec *iov, int max);
/* Copy @len bytes out of, or into, the front of @part. Return bytes copied, or -errno. */
ssize_t map_read(const struct mem *mem, struct segments part, void *buf, size_t len);
ssize_t map_write(const struct mem *mem, struct segments part, const void *buf, size_t len);

#endif
