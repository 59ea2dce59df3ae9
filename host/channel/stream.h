/* SPDX-License-Identifier: MIT */
/*
 * Bytes between a channel's owner and its stream: the one place where readv() and writev() of a
 * service are called, and the two halves that say what came of it. Only stream.c writes the fields
 * of the halves.
 *
 * is_armed says that the stream has returned -EAGAIN and owes a call: until the call comes, the
 * stream is not asked again.
 */
#ifndef HOST_CHANNEL_STREAM_H
#define HOST_CHANNEL_STREAM_H

#include <manyport/service.h>

#define OFFSET_NONE UINT64_MAX		/* no final offset yet */

/* In is from the service, out is to it. */
struct half {
	uint64_t offset;		/* of the next byte */
	uint64_t final;			/* out: where it ends, or OFFSET_NONE */
	bool is_armed;			/* the stream owes readable(), or writable() */
	bool has_ended;			/* in: as the guest sees it; out: no more is taken */
	bool has_hung_up;		/* in: the service says that no more comes; some may wait */
	bool is_drained;		/* in: the service has ended */
};

enum moved {
	MOVED_ALL,
	MOVED_EMPTY,			/* the stream has no more bytes, or no more room: armed */
	MOVED_END,
	MOVED_FAULT,			/* the kernel cannot reach the memory at @iov */
	MOVED_FAILED,			/* the stream broke */
};

/* What is to be moved; as it is moved, what is left, and how much was. */
struct bytes {
	struct iovec *iov;
	int count;
	uint64_t moved;
	bool is_once;			/* one call of the service is enough */
};

/* A stream begins: IN is armed, and the stream knows it; OUT is set [protocol.md 7.2]. */
void stream_begin(struct half *in, struct half *out);

/*
 * Until all is moved or the stream says why not; it is not asked after an end, nor while it owes a
 * call. MOVED_ALL with is_once: some bytes were moved.
 */
enum moved stream_read(struct mp_stream *stream, struct half *in, struct bytes *bytes);
enum moved stream_write(struct mp_stream *stream, struct half *out, struct bytes *bytes);
/* Reads @len bytes at most that nothing else wants; returns MOVED_ALL and how many in *@len. */
enum moved stream_discard(struct mp_stream *stream, struct half *in, void *buf, uint32_t *len);

/* The out half ends at @final, now or when stream_write() gets there. OFFSET_NONE: unknown yet. */
void stream_end_at(struct mp_stream *stream, struct half *out, uint64_t final);
/* The guest reads no more. */
void stream_end_in(struct mp_stream *stream, struct half *in);

/* What the stream reports. @how: MP_SHUT_*. */
void stream_ready(struct half *half);
void stream_hung_up(struct half *in, struct half *out, uint16_t how);

/* Writes, or reads, what is known of @half (record.h). */
void stream_hand_over(struct half *half, struct record *record);

#endif
