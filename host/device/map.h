/* SPDX-License-Identifier: MIT */
/* From a checked chain to pointers; see map.c. */
#ifndef HOST_DEVICE_MAP_H
#define HOST_DEVICE_MAP_H

#include <sys/types.h>
#include <sys/uio.h>

#include <manyport/wire.h>

#include "ring/ring.h"

/* A result may be split into single bytes. */
#define RESULT_IOVS ((int)sizeof(struct mp_result))

/*
 * Where a result and a payload go, or a payload comes from; valid in one entry. The payload
 * is described only when its bytes are about to move.
 */
struct request_map {
	struct iovec result[RESULT_IOVS];
	int result_count;
	struct iovec *payload;		/* inside the array that was mapped into */
	int payload_count;
};

/*
 * Describes @len bytes behind the first @skip of @count @segments in @iov; fewer where the
 * segments end. Returns the number of iovecs, -EFAULT (not guest memory) or -E2BIG.
 */
int map_range(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
	      uint64_t skip, uint64_t len, struct iovec *iov, int max);
/* The result in front of the writable @segments. Returns 0 or -errno. */
int map_result(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
	       struct request_map *map);
/* The payload behind the first @skip bytes of @segments. Returns 0 or -errno. */
int map_payload(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
		uint64_t skip, struct request_map *map, struct iovec *iov, int max);
/* Copies @len bytes of the readable part. Returns bytes copied, or -errno. */
ssize_t map_read(const struct mem *mem, const struct ring_chain *chain, void *buf, size_t len);
/* Copies @len bytes into the writable @segments. Returns bytes copied, or -errno. */
ssize_t map_write(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
		  const void *buf, size_t len);

#endif
