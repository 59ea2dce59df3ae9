// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/iov.h"
#include "base/record.h"
#include "service/buffer.h"

#define BUFFER_MIN 4096U

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

void buffer_clear(struct buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}

/* Makes room for @len bytes after the end; together with the used ones at most BUFFER_MAX. */
static int make_room(struct buffer *buffer, size_t len)
{
	size_t used = buffer_used(buffer), size = buffer->size ? buffer->size : BUFFER_MIN;
	char *data;

	if (buffer->size - buffer->end >= len)
		return 0;
	while (size < used + len)
		size *= 2;
	if (size == buffer->size) {
		memmove(buffer->data, buffer->data + buffer->start, used);
	} else {
		data = malloc(size);
		if (!data)
			return -ENOMEM;
		if (used)
			memcpy(data, buffer->data + buffer->start, used);
		free(buffer->data);
		buffer->data = data;
		buffer->size = size;
	}
	buffer->start = 0;
	buffer->end = used;
	return 0;
}

ssize_t buffer_put(struct buffer *buffer, const struct iovec *iov, int count, size_t limit)
{
	size_t room = least(limit, BUFFER_MAX - buffer_used(buffer));
	size_t len = least(iov_size(iov, count), room);

	if (!len)
		return 0;
	if (make_room(buffer, len))
		return -ENOMEM;
	iov_copy_out(iov, count, 0, buffer->data + buffer->end, len);
	buffer->end += len;
	return len;
}

ssize_t buffer_take(struct buffer *buffer, const struct iovec *iov, int count, size_t limit)
{
	size_t len = least(buffer_used(buffer), limit);

	if (!len)
		return 0;
	len = iov_copy_in(iov, count, 0, buffer->data + buffer->start, len);
	buffer->start += len;
	if (!buffer_used(buffer))
		buffer_clear(buffer);
	return len;
}

void buffer_hand_over(struct buffer *buffer, struct record *record)
{
	size_t len = buffer_used(buffer);
	void *data = record_bytes(record, len ? buffer->data + buffer->start : NULL, &len);

	if (!data)
		return;
	if (len > BUFFER_MAX) {
		free(data);
		record_spoil(record);
		return;
	}
	*buffer = (struct buffer){ .data = data, .size = len, .end = len };
}
