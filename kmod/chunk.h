/* SPDX-License-Identifier: GPL-2.0-only */
/* Writes by copy: chunks of driver memory. */
#ifndef KMOD_CHUNK_H
#define KMOD_CHUNK_H

#include <linux/uio.h>

#include "half.h"
#include "req.h"

/* A piece of small writes, in driver memory until the service has it (chunk.c). */
struct mp_chunk {
	struct mp_out *out;
	struct list_head node;		/* out->chunks, in order */
	u64 offset;			/* of the first byte not yet taken */
	u32 start, end, size;		/* data[start..end) is not yet taken */
	u32 piece;			/* bytes that one WRITE may carry */
	bool is_sent;			/* the device has it */
	bool is_filling;		/* a writer copies into it, unlocked */
	u8 *data;			/* behind this structure, or has memory of its own */
	struct mp_req req;
};

extern uint mp_send_buffer;		/* parameter: bytes per channel */

#define MP_CHUNKS_IN_FLIGHT 4

ssize_t mp_chunks_copy_locked(struct mp_out *out, struct iov_iter *from)
	__releases(&out->half.link->lock);
bool mp_chunks_have_room_locked(const struct mp_out *out);
void mp_chunks_want_locked(struct mp_out *out, bool wanted);
__poll_t mp_chunks_pump_locked(struct mp_out *out);
void mp_chunks_drop_locked(struct mp_out *out);

/* Was anything written that is not with the service, or does a caller wait for that? */
static inline bool mp_chunks_are_busy_locked(const struct mp_out *out)
{
	const struct mp_link *link = out->half.link;

	return !list_empty(&out->chunks) || out->sent || out->wanted || link->is_wanted ||
	       link->is_held;
}

#endif
