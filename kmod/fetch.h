/* SPDX-License-Identifier: GPL-2.0-only */
/* READs into driver memory. */
#ifndef KMOD_FETCH_H
#define KMOD_FETCH_H

#include "dma.h"
#include "half.h"
#include "req.h"

/* Driver memory that a READ fills (fetch.c). */
struct mp_fetch {
	struct mp_in *in;
	struct list_head node;		/* in->fetches, in order; empty: not wanted */
	u64 offset;			/* of the READ */
	u32 size;			/* of data */
	u32 start, end;			/* data[start..end) is unread */
	bool is_busy;			/* the device has it */
	u32 generation;			/* of the channel that it was filled for; 0: never */
	struct mp_req req;		/* the data follows its result: one entry for the device */
};
MP_ASSERT_ALONE(struct mp_fetch, req.result, sizeof(struct mp_fetch));
#define MP_FETCH_HEAD offsetofend(struct mp_fetch, req.result)

void mp_fetch_ahead_locked(struct mp_in *in, bool is_reader);
bool mp_fetch_may_grow_locked(const struct mp_in *in);
void mp_fetch_prepare(struct mp_in *in, bool nonblock);
void mp_fetch_deepen_locked(struct mp_in *in);
void mp_fetch_park_locked(struct mp_in *in, u16 flags);
void mp_fetch_cancel_locked(struct mp_in *in);
void mp_fetch_urge_locked(struct mp_in *in);
void mp_fetch_polled_locked(struct mp_in *in);
void mp_fetch_expect(struct mp_in *in);
bool mp_fetch_may_ask_locked(const struct mp_in *in);
void mp_fetch_consume_locked(struct mp_in *in, struct mp_fetch *fetch, u32 bytes);
size_t mp_fetch_keep(struct mp_in *in, struct page *page, size_t offset, size_t bytes);
void mp_fetch_forget_locked(struct mp_in *in);
void mp_fetch_trim_locked(struct mp_in *in);

static inline u8 *mp_fetch_data(struct mp_fetch *fetch)
{
	return (u8 *)fetch + MP_FETCH_HEAD;
}

/* The first with unread bytes, or NULL. */
static inline struct mp_fetch *mp_fetch_first_locked(const struct mp_in *in)
{
	return in->full ? list_first_entry(&in->fetches, struct mp_fetch, node) : NULL;
}

#endif
