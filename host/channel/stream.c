// SPDX-License-Identifier: MIT
/* The calls of a service's stream; see stream.h. */
#include <errno.h>
#include <limits.h>

#include "base/iov.h"
#include "channel/stream.h"

/* What a service may hand to the kernel as it is; the loops below do the rest. */
static int in_one_call(int count)
{
	return count < IOV_MAX ? count : IOV_MAX;
}

/* What a call of readv() means for @in. @size: bytes that were asked for. */
static enum moved note_read(struct inflow *in, ssize_t n, size_t size)
{
	if (n > 0 && (size_t)n <= size)
		return MOVED_ALL;
	if (n == -EAGAIN) {
		in->is_armed = true;
		return MOVED_EMPTY;
	}
	if (n == 0) {
		in->is_drained = true;
		return MOVED_END;
	}
	return n == -EFAULT ? MOVED_FAULT : MOVED_FAILED;
}

enum moved stream_read_once(struct mp_stream *stream, struct inflow *in, struct bytes *bytes)
{
	ssize_t n = stream->ops->readv(stream, bytes->iov, in_one_call(bytes->count));
	enum moved result = note_read(in, n, iov_size(bytes->iov, bytes->count));

	in->has_ended |= result == MOVED_END;
	if (result != MOVED_ALL)
		return result;
	bytes->count = iov_advance(&bytes->iov, bytes->count, n);
	bytes->moved += n;
	in->offset += n;
	return MOVED_ALL;
}

enum moved stream_read(struct mp_stream *stream, struct inflow *in, struct bytes *bytes)
{
	enum moved result = MOVED_ALL;

	while (result == MOVED_ALL && bytes->count)
		result = stream_read_once(stream, in, bytes);
	return result;
}

enum moved stream_discard(struct mp_stream *stream, struct inflow *in, void *buf, uint32_t *len)
{
	const struct iovec iov = { .iov_base = buf, .iov_len = *len };
	ssize_t n = stream->ops->readv(stream, &iov, 1);
	enum moved result = note_read(in, n, iov.iov_len);

	*len = result == MOVED_ALL ? n : 0;
	return result;
}

/* Likewise of writev(). */
static enum moved note_write(struct outflow *out, ssize_t n, size_t size)
{
	if (n > 0 && (size_t)n <= size)
		return MOVED_ALL;
	if (n == -EAGAIN) {
		out->is_armed = true;
		return MOVED_EMPTY;
	}
	if (n == -EPIPE) {
		out->has_ended = true;
		return MOVED_END;
	}
	return n == -EFAULT ? MOVED_FAULT : MOVED_FAILED;
}

enum moved stream_write(struct mp_stream *stream, struct outflow *out, struct bytes *bytes)
{
	while (bytes->count) {
		ssize_t n = stream->ops->writev(stream, bytes->iov, in_one_call(bytes->count));
		enum moved result = note_write(out, n, iov_size(bytes->iov, bytes->count));

		if (result != MOVED_ALL)
			return result;
		bytes->count = iov_advance(&bytes->iov, bytes->count, n);
		bytes->moved += n;
		out->offset += n;
	}
	return MOVED_ALL;
}
