/* SPDX-License-Identifier: MIT */
/* The SYNC that opens a session [protocol.md 15.3]: found, read, written. */
#ifndef HOST_LINK_SYNC_H
#define HOST_LINK_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <manyport/stream.h>

struct sync {
	uint8_t mine[MP_NONCE_SIZE];	/* of its sender */
	uint8_t yours[MP_NONCE_SIZE];	/* that the sender last heard, or zeros */
	uint16_t version, window;
	uint32_t max_channels;		/* 0: the sender is a driver */
	bool hunts;			/* wants an answer */
};

/* @buf has room for a struct mp_sync. */
void sync_put(void *buf, const struct sync *sync);
/* Do the @len bytes at @buf begin as a SYNC does? @len: at most 16 are looked at. */
bool sync_begins(const void *buf, size_t len);
/* The struct mp_sync at @buf; false where it is none, or not from the other role. */
bool sync_get(struct sync *sync, const void *buf, bool to_device);
/* How many bytes at @buf cannot be the beginning of a SYNC; @len where none can. */
size_t sync_skip(const void *buf, size_t len);

#endif
