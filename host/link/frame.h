/* SPDX-License-Identifier: MIT */
/*
 * Frames and SYNCs of a byte stream, in host order [protocol.md 15.2, 15.3].
 *
 * Only frame.c and sync.c see the little-endian structures of <manyport/stream.h>, and reach their
 * fields by the accessors of le.h alone, whose types sparse tells apart.
 */
#ifndef HOST_LINK_FRAME_H
#define HOST_LINK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <manyport/stream.h>

#define FRAME_EXTRA	(sizeof(struct mp_frame) + sizeof(struct mp_frame_end))
#define FRAME_MAX	(MP_FRAME_BODY + FRAME_EXTRA)
#define FRAME_TYPES	(MP_FRAME_PONG + 1)

struct frame {
	uint32_t session, seq;
	uint16_t type, flags;
	uint32_t length;		/* of the body, bytes */
	uint32_t slot, generation;
	uint64_t offset;
};

/* Writes head and end around the body, which stands behind the head at @buf already. */
void frame_put(void *buf, const struct frame *frame);
/* The head at @buf, sizeof(struct mp_frame) bytes. Nothing of it is checked. */
void frame_get_head(struct frame *frame, const void *buf);
/* May a frame to this side have such a head, whatever session it belongs to? */
bool frame_is_valid(const struct frame *frame, bool to_device);
/* Does the end behind the body repeat the head? @buf: the whole frame. */
bool frame_has_end(const struct frame *frame, const void *buf);

/* Body of CONNECT [protocol.md 4.4]. */
struct frame_connect {
	uint32_t uid, gid, pid;
	char comm[MP_COMM_LEN];		/* NUL padded, or full */
	const char *name;		/* not terminated; in the body */
	size_t name_len;		/* 1 to MP_NAME_MAX */
};

#define FRAME_CONNECT_MAX (sizeof(struct mp_connect) + MP_NAME_MAX)

/* False where the body is malformed. */
bool frame_get_connect(struct frame_connect *connect, const void *body, size_t length);
/* Returns the length of the body; @body has room for FRAME_CONNECT_MAX. */
size_t frame_put_connect(void *body, const struct frame_connect *connect);

#endif
