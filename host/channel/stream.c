// SPDX-License-Identifier: MIT
/* The calls of a service's stream; see stream.h. */
#include <errno.h>
#include <limits.h>

#include "base/iov.h"
#include "base/record.h"
#include "channel/stream.h"

/* What a service may hand to the kernel as it is; the loops below do the rest. */
static int in_one_call(int count)
{
	return count < IOV_MAX ? count : IOV_MAX;
}

/* What a call means for @half. @size: bytes that were asked for, or offered. @end: says the end. */
static enum moved note(struct half *half, ssize_t n, size_t size, ssize_t end)
{
	if (n > 0 && (size_t)n <= size)
		return MOVED_ALL;
	if (n == -EAGAIN) {
		half->is_armed = true;
		return MOVED_EMPTY;
	}
	if (n == end) {
		half->is_drained = true;
		return MOVED_END;
	}
	return n == -EFAULT ? MOVED_FAULT : MOVED_FAILED;
}

typedef ssize_t stream_call(struct mp_stream *stream, const struct iovec *iov, int count);

/* By @call, which is readv() or writev(). */
static enum moved move(struct mp_stream *stream, struct half *half, struct bytes *bytes,
		       stream_call *call, ssize_t end)
{
	if (half->has_ended)
		return MOVED_END;
	if (half->is_armed)
		return MOVED_EMPTY;
	while (bytes->count) {
		ssize_t n = call(stream, bytes->iov, in_one_call(bytes->count));
		enum moved result = note(half, n, iov_size(bytes->iov, bytes->count), end);

		half->has_ended |= result == MOVED_END;
		if (result != MOVED_ALL)
			return result;
		bytes->count = iov_advance(&bytes->iov, bytes->count, n);
		bytes->moved += n;
		half->offset += n;
		if (bytes->is_once)
			break;
	}
	return MOVED_ALL;
}

enum moved stream_read(struct mp_stream *stream, struct half *in, struct bytes *bytes)
{
	return move(stream, in, bytes, stream->ops->readv, 0);
}

enum moved stream_discard(struct mp_stream *stream, struct half *in, void *buf, uint32_t *len)
{
	const struct iovec iov = { .iov_base = buf, .iov_len = *len };
	ssize_t n = stream->ops->readv(stream, &iov, 1);
	enum moved result = note(in, n, iov.iov_len, 0);

	*len = result == MOVED_ALL ? n : 0;
	return result;
}

/* At the final offset the service sees the end. */
static void reach_final(struct mp_stream *stream, struct half *out)
{
	if (out->has_ended || out->offset != out->final)
		return;
	out->has_ended = true;
	stream->ops->shutdown(stream, MP_SHUT_WRITE);
}

enum moved stream_write(struct mp_stream *stream, struct half *out, struct bytes *bytes)
{
	enum moved result = move(stream, out, bytes, stream->ops->writev, -EPIPE);

	if (result == MOVED_ALL)
		reach_final(stream, out);
	return result;
}

/* --- Ends and reports ---------------------------------------------------- */

void stream_begin(struct half *in, struct half *out)
{
	*in = (struct half){ .is_armed = true };
	*out = (struct half){ .final = OFFSET_NONE };
}

void stream_end_at(struct mp_stream *stream, struct half *out, uint64_t final)
{
	out->final = final;
	reach_final(stream, out);
}

void stream_end_in(struct mp_stream *stream, struct half *in)
{
	if (in->has_ended)
		return;
	in->has_ended = true;
	stream->ops->shutdown(stream, MP_SHUT_READ);
}

void stream_ready(struct half *half)
{
	half->is_armed = false;
}

void stream_hung_up(struct half *in, struct half *out, uint16_t how)
{
	in->has_hung_up |= !!(how & MP_SHUT_READ);
	out->has_ended |= !!(how & MP_SHUT_WRITE);
}

void stream_hand_over(struct half *half, struct record *record)
{
	record_u64(record, &half->offset);
	record_u64(record, &half->final);
	record_bool(record, &half->is_armed);
	record_bool(record, &half->has_ended);
	record_bool(record, &half->has_hung_up);
	record_bool(record, &half->is_drained);
}
