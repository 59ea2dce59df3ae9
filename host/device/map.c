// SPDX-License-Identifier: MIT
/*
 * From a checked chain to pointers: nothing else in the device core sees a
 * guest's page. What is described here is valid until the entry that asked
 * for it returns; code that waits longer keeps guest addresses and asks again.
 */
#include <errno.h>

#include "base/iov.h"
#include "device/map.h"

int map_range(const struct mem *mem, struct segments part, uint64_t skip, uint64_t len,
	      struct iovec *iov, int max)
{
	int total = 0;

	for (unsigned int i = 0; i < part.count && len; i++) {
		uint64_t addr = part.first[i].addr.value, size = part.first[i].len;
		int n;

		if (skip >= size) {
			skip -= size;
			continue;
		}
		if (__builtin_add_overflow(addr, skip, &addr))
			return -EFAULT;
		size -= skip;
		skip = 0;
		if (size > len)
			size = len;
		n = mem_iov(mem, gpa(addr), size, iov + total, max - total);
		if (n < 0)
			return n;
		total += n;
		len -= size;
	}
	return total;
}

/* For messages, however they are cut: the longest is a header and a name. */
#define FRONT_IOVS (8 + 256)

ssize_t map_read(const struct mem *mem, struct segments part, void *buf, size_t len)
{
	struct iovec iov[FRONT_IOVS];
	int count = map_range(mem, part, 0, len, iov, FRONT_IOVS);

	return count < 0 ? count : (ssize_t)iov_copy_out(iov, count, 0, buf, len);
}

ssize_t map_write(const struct mem *mem, struct segments part, const void *buf, size_t len)
{
	struct iovec iov[FRONT_IOVS];
	int count = map_range(mem, part, 0, len, iov, FRONT_IOVS);

	return count < 0 ? count : (ssize_t)iov_copy_in(iov, count, 0, buf, len);
}
