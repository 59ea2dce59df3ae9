// SPDX-License-Identifier: MIT
/* Arithmetic on arrays of iovecs; see iov.h. */

#include <stdint.h>
#include <string.h>

#include "base/iov.h"

size_t iov_size(const struct iovec *iov, int count)
{
	size_t sum = 0;

	for (int i = 0; i < count; i++)
		if (__builtin_add_overflow(sum, iov[i].iov_len, &sum))
			return SIZE_MAX;
	return sum;
}

int iov_clip(struct iovec *iov, int count, size_t len)
{
	int i;

	for (i = 0; i < count && len; i++) {
		if (iov[i].iov_len > len)
			iov[i].iov_len = len;
		len -= iov[i].iov_len;
	}
	return i;
}

int iov_advance(struct iovec **iov, int count, size_t len)
{
	while (count && len >= (*iov)->iov_len) {
		len -= (*iov)->iov_len;
		(*iov)++;
		count--;
	}
	if (count && len) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + len;
		(*iov)->iov_len -= len;
	}
	return count;
}

/* One walk for both directions: @in says which way the bytes go. */
static size_t copy(const struct iovec *iov, int count, size_t offset, char *buf, size_t len,
		   int in)
{
	size_t done = 0;

	for (int i = 0; i < count && done < len; i++) {
		size_t part = iov[i].iov_len;
		char *at = iov[i].iov_base;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		if (part > len - done)
			part = len - done;
		if (in)
			memcpy(at + offset, buf + done, part);
		else
			memcpy(buf + done, at + offset, part);
		done += part;
		offset = 0;
	}
	/*
	 * The iovecs may point into memory that a guest changes: what the caller
	 * looks at from here on is the copy and is not read again.
	 */
	__asm__ volatile("" ::: "memory");
	return done;
}

size_t iov_copy_out(const struct iovec *iov, int count, size_t offset, void *buf, size_t len)
{
	return copy(iov, count, offset, buf, len, 0);
}

size_t iov_copy_in(const struct iovec *iov, int count, size_t offset, const void *buf, size_t len)
{
	return copy(iov, count, offset, (char *)buf, len, 1);
}
