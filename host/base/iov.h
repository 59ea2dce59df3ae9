/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic on arrays of iovecs: size, clip, advance, copy.
 *
 * Counts are numbers of iovecs, lengths are bytes. Nothing here knows where the
 * iovecs point to, and nothing reads or writes outside them.
 */
#ifndef HOST_BASE_IOV_H
#define HOST_BASE_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* All bytes; SIZE_MAX where the sum does not fit. */
size_t iov_size(const struct iovec *iov, int count);

/* Cuts the array down to its first @len bytes. Returns the new count. */
int iov_clip(struct iovec *iov, int count, size_t len);

/*
 * Drops the first @len bytes: moves *@iov over what is used up and shortens
 * the rest. Returns the count that remains, 0 when @len reaches the end.
 */
int iov_advance(struct iovec **iov, int count, size_t len);

/* Copy @len bytes at @offset out of, or into, the array. Return bytes copied. */
size_t iov_copy_out(const struct iovec *iov, int count, size_t offset, void *buf, size_t len);
size_t iov_copy_in(const struct iovec *iov, int count, size_t offset, const void *buf,
		   size_t len);

#endif
