/* SPDX-License-Identifier: MIT */
/*
 * All channels of a guest over one byte stream: the layout of what stands on it. The text is
 * docs/protocol.md, clause 15; names, openers, reasons and state bits are those of wire.h. All
 * fields are little-endian, and nothing here has padding.
 */
#ifndef MANYPORT_STREAM_H
#define MANYPORT_STREAM_H

#include <manyport/wire.h>

#define MP_STREAM_VERSION	1

#define MP_FRAME_BODY		32768U	/* bytes in one frame's body at most */
/* Zeros that complete any frame: longer than one. Between two frames they are nothing. */
#define MP_STREAM_PAD		(MP_FRAME_BODY + 128)

#define MP_WINDOW_MAX		4096U	/* bound on mp_sync.window, bytes */

enum mp_frame_type {
	MP_FRAME_CONNECT	= 1,	/* to the device; body: struct mp_connect, name */
	MP_FRAME_DATA		= 2,	/* both ways */
	MP_FRAME_GRANT		= 3,	/* both ways: offset is what the peer may send below */
	MP_FRAME_SHUTDOWN	= 4,	/* to the device; flags: MP_SHUT_* */
	MP_FRAME_CLOSE		= 5,	/* to the device; flags: MP_CLOSE_* */
	MP_FRAME_STATE		= 6,	/* to the driver; flags: enum mp_state_bits */
	MP_FRAME_PING		= 7,	/* both ways; channel and generation 0 */
	MP_FRAME_PONG		= 8,
};

/* Offset of a CLOSE behind which DATA still comes, and then another CLOSE. */
#define MP_CLOSE_LATER		(~0ULL)

struct mp_frame {
	__le32 session;
	__le32 seq;		/* counts the frames of one direction of a session, from 0 */
	__le16 type;		/* enum mp_frame_type */
	__le16 flags;
	__le32 length;		/* of the body that follows, bytes */
	__le32 channel;		/* slot */
	__le32 generation;	/* counts the uses of that slot, never 0 */
	__le64 offset;		/* DATA: of the first byte; STATE: enum mp_reason */
};

/* Behind the body: both inverted. */
struct mp_frame_end {
	__le32 seq;
	__le32 session;
};

#define MP_NONCE_SIZE		16
#define MP_SYNC_MAGIC		"\xff" "manyport sync\r\n"	/* 16 bytes, without the NUL */
#define MP_SYNC_HUNTS		1U	/* the sender has no session, and wants an answer */

struct mp_sync {
	char magic[16];			/* MP_SYNC_MAGIC */
	__u8 mine[MP_NONCE_SIZE];	/* of the sender */
	__u8 yours[MP_NONCE_SIZE];	/* that the sender last heard, or 0 */
	__le16 version;			/* the sender's highest */
	__le16 window;			/* granted to each channel at first, 1 to MP_WINDOW_MAX */
	__le32 max_channels;		/* from the device: slots; from the driver: 0 */
	__le32 flags;			/* MP_SYNC_HUNTS or 0 */
	/* version | window << 16, max_channels and flags, combined by ^, inverted */
	__le32 check;
};

MP_ASSERT_SIZE(mp_frame, 32);
MP_ASSERT_SIZE(mp_frame_end, 8);
MP_ASSERT_SIZE(mp_sync, 64);

#endif
