/* SPDX-License-Identifier: MIT */
/*
 * Bytes between the two directions of an in-process service: bounded, grown
 * on demand, and without any memory while empty.
 */
#ifndef HOST_SERVICE_BUFFER_H
#define HOST_SERVICE_BUFFER_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define BUFFER_MAX (256U << 10)

struct buffer {
	char *data;		/* NULL while empty */
	size_t size;		/* of data */
	size_t start, end;	/* the bytes */
};

/* Appends at most @limit bytes of @iov. Returns how many: 0 when full, or -ENOMEM. */
ssize_t buffer_put(struct buffer *buffer, const struct iovec *iov, int count, size_t limit);

/* Moves at most @limit bytes into @iov. Returns how many: 0 when empty. */
ssize_t buffer_take(struct buffer *buffer, const struct iovec *iov, int count, size_t limit);

void buffer_clear(struct buffer *buffer);

struct record;
/* Writes the bytes, or reads them into an empty buffer. */
void buffer_hand_over(struct buffer *buffer, struct record *record);

static inline size_t buffer_used(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

#endif
