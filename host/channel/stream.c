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

static void advance(struct bytes *bytes, ssize_t n)
{
	bytes->count = iov_advance(&bytes->iov, bytes->count, n);
	bytes->moved += n;
}

enum moved stream_read(struct mp_stream *stream, struct inflow *in, struct bytes *bytes)
{
	while (bytes->count) {
		ssize_t n = stream->ops->readv(stream, bytes->iov, in_one_call(bytes->count));
		enum moved result = note_read(in, n, iov_size(bytes->iov, bytes->count));

		in->has_ended |= result == MOVED_END;
		if (result != MOVED_ALL)
			return result;
		advance(bytes, n);
		in->offset += n;
		if (bytes->is_once)
			break;
	}
	return MOVED_ALL;
}

enum moved stream_discard(struct mp_stream *stream, struct inflow *in, void *buf, uint32_t *len)
{
	const struct iovec iov = { .iov_base = buf, .iov_len = *len };
	ssize_t n = stream->ops->readv(stream, &iov, 1);
	enum moved result = note_read(in, n, iov.iov_len);

	*len = result == MOVED_ALL ? n : 0;
	return result;
}

/* What a call of writev() means for @out. @size: bytes that were offered. */
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

/* At the final offset the service sees the end. */
static void reach_final(struct mp_stream *stream, struct outflow *out)
{
	if (out->has_ended || out->offset != out->final)
		return;
	out->has_ended = true;
	stream->ops->shutdown(stream, MP_SHUT_WRITE);
}

enum moved stream_write(struct mp_stream *stream, struct outflow *out, struct bytes *bytes)
{
	while (bytes->count) {
		ssize_t n = stream->ops->writev(stream, bytes->iov, in_one_call(bytes->count));
		enum moved result = note_write(out, n, iov_size(bytes->iov, bytes->count));

		if (result != MOVED_ALL)
			return result;
		advance(bytes, n);
		out->offset += n;
	}
	reach_final(stream, out);
	return MOVED_ALL;
}

/* --- Ends and reports ---------------------------------------------------- */

void stream_begin(struct inflow *in, struct outflow *out)
{
	*in = (struct inflow){ .is_armed = true };
	*out = (struct outflow){ .final = OFFSET_NONE };
}

void stream_end_at(struct mp_stream *stream, struct outflow *out, uint64_t final)
{
	out->final = final;
	reach_final(stream, out);
}

void stream_end_in(struct mp_stream *stream, struct inflow *in)
{
	if (in->has_ended)
		return;
	in->has_ended = true;
	stream->ops->shutdown(stream, MP_SHUT_READ);
}

void stream_readable(struct inflow *in)
{
	in->is_armed = false;
}

void stream_writable(struct outflow *out)
{
	out->is_armed = false;
}

void stream_hung_up(struct inflow *in, struct outflow *out, uint16_t how)
{
	in->has_hung_up |= !!(how & MP_SHUT_READ);
	out->has_ended |= !!(how & MP_SHUT_WRITE);
}
