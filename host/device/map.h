/* SPDX-License-Identifier: MIT */
/* From a checked chain to pointers; see map.c. */
#ifndef HOST_DEVICE_MAP_H
#define HOST_DEVICE_MAP_H

#include <sys/types.h>
#include <sys/uio.h>

#include <manyport/wire.h>

#include "ring/ring.h"

/*
 * Describes @len bytes behind the first @skip of @count @segments in @iov; fewer where the
 * segments end. Returns the number of iovecs, -EFAULT (not guest memory) or -E2BIG.
 */
int map_range(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
	      uint64_t skip, uint64_t len, struct iovec *iov, int max);
/* Copies @len bytes of the readable part. Returns bytes copied, or -errno. */
ssize_t map_read(const struct mem *mem, const struct ring_chain *chain, void *buf, size_t len);
/* Copies @len bytes into the writable @segments. Returns bytes copied, or -errno. */
ssize_t map_write(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
		  const void *buf, size_t len);

#endif
