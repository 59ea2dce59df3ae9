/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * manyport: the whole wire format, for both halves.
 *
 * Everything that guest and host exchange beyond classic virtio-console is
 * here: control messages, requests, results and events, with their limits.
 * docs/protocol.md is the normative text; the numbers in brackets name its
 * clauses. All fields are little-endian. Nothing here has padding, and the
 * assertions at the end keep it so.
 */
#ifndef MANYPORT_WIRE_H
#define MANYPORT_WIRE_H

#include <linux/types.h>

/* --- Feature and control messages [protocol.md 2, 3] ------------------- */

/* Device feature bit: this device type 3 speaks manyport. */
#define MP_F_MULTI_OPEN		60

#define MP_MAGIC		0x7472506dU	/* "mPrt" read as bytes */
#define MP_VERSION		3	/* 2: a program's end [4.8]; 3: BYE of the device [3.7] */

/* Values of virtio_console_control.event, beside the classic 0 to 7. */
enum mp_control_event {
	MP_CONTROL_HELLO	= 0x4d00,	/* both ways, struct mp_hello follows */
	MP_CONTROL_PORT_MODE	= 0x4d01,	/* to the driver, struct mp_port_mode follows */
	MP_CONTROL_BYE		= 0x4d02,	/* both ways: every channel is gone [3.4, 3.7] */
};

/* Values of virtio_console_control.value in MP_CONTROL_PORT_MODE. */
enum mp_port_kind {
	MP_PORT_CLASSIC		= 0,
	MP_PORT_MULTI_OPEN	= 1,	/* the first write names the service */
	MP_PORT_FIXED		= 2,	/* every open is tied to one service */
};

/*
 * The device offers, the driver answers with the version that it chose and
 * with the rest copied. @size counts the bytes of the structure that the
 * sender knows; a later version appends fields.
 */
struct mp_hello {
	__le32 magic;
	__le16 version;
	__le16 size;
	__le32 max_channels;	/* open channels per device, all ports together */
	__le32 max_io;		/* payload bytes in one request */
	__le32 max_segments;	/* descriptors in one request */
	__le32 linger_ms;	/* how long a close may wait for the service */
};

struct mp_port_mode {
	__le32 max_channels;	/* open channels on this port */
	__le32 reserved;	/* 0 */
};

/* --- Virtqueues [protocol.md 11.1] ------------------------------------- */

#define MP_QUEUE_CONTROL_RX	2
#define MP_QUEUE_CONTROL_TX	3
#define MP_QUEUES(ports)	(2 * ((ports) + 1))	/* with ports 0 to @ports - 1 */
#define MP_QUEUE_RX(port)	((port) ? 2 * (port) + 2 : 0)
#define MP_QUEUE_TX(port)	(MP_QUEUE_RX(port) + 1)
/* The port of a queue that is not a control queue's. */
#define MP_QUEUE_PORT(queue)	((queue) < 2 ? 0 : (queue) / 2 - 1)

/* --- Requests [protocol.md 4, 5] -------------------------------------- */

enum mp_op {
	MP_OP_CONNECT		= 1,	/* tx; payload: struct mp_connect + name */
	MP_OP_READ		= 2,	/* rx: may be parked; tx: answered at once */
	MP_OP_WRITE		= 3,	/* tx */
	MP_OP_SHUTDOWN		= 4,	/* tx; flags: MP_SHUT_* */
	MP_OP_CANCEL		= 5,	/* tx; gives the parked read back */
	MP_OP_CLOSE		= 6,	/* tx; flags: MP_CLOSE_* */
	/* Reserved for channels that the host starts [protocol.md 12]. */
	MP_OP_LISTEN		= 16,
	MP_OP_ACCEPT		= 17,
	MP_OP_UNLISTEN		= 18,
};

#define MP_LAZY			0x0001	/* READ, WRITE: the answer needs no interrupt [6.8] */
#define MP_READ_NOW		0x0002	/* do not park [6.4] */
#define MP_SHUT_READ		0x0001	/* the driver will read no more */
#define MP_SHUT_WRITE		0x0002	/* the driver writes nothing at or after offset */
#define MP_CLOSE_ABORT		0x0001	/* do not wait for offset, do not linger */

/* Channel numbers with this bit set are reserved for the host to choose. */
#define MP_CHANNEL_HOST		0x80000000U
/* In an event: this buffer carries nothing and only comes back. */
#define MP_CHANNEL_NONE		0xffffffffU

/* Device-readable, first in every chain but an event buffer's. */
struct mp_request {
	__le16 op;		/* enum mp_op */
	__le16 flags;
	__le32 length;		/* payload bytes, readable or writable */
	__le32 channel;		/* slot, below max_channels */
	__le32 generation;	/* counts the uses of that slot, never 0 */
	__le64 offset;		/* READ, WRITE: of the first byte; SHUTDOWN, CLOSE: final */
	__le64 reserved;	/* 0 */
};

#define MP_NAME_MAX		255	/* bytes of name[+argument] */
#define MP_NAME_PREFIX		"pipe:"	/* may stand before a name in a naming write [4.3] */
#define MP_COMM_LEN		16

/* Payload of CONNECT; @name_len bytes of name follow, without a NUL. */
struct mp_connect {
	__le32 uid;		/* of the file's opener, initial namespace */
	__le32 gid;
	__le32 pid;
	__le32 name_len;	/* 0 on a fixed port, else 1 to MP_NAME_MAX */
	char comm[MP_COMM_LEN];	/* NUL padded */
};

/* --- State, results, events [protocol.md 6, 7] ------------------------ */

enum mp_state_bits {
	MP_ST_CONNECTED		= 0x0001,	/* the service has been reached */
	MP_ST_REFUSED		= 0x0002,	/* it has not, see reason */
	MP_ST_IN		= 0x0004,	/* READ may bring bytes or end; clear: armed */
	MP_ST_OUT		= 0x0008,	/* WRITE may be taken; clear: armed */
	MP_ST_IN_END		= 0x0010,	/* all was delivered, no more comes */
	MP_ST_OUT_END		= 0x0020,	/* the service takes no more */
	MP_ST_FAILED		= 0x0040,	/* broke, see reason; implies both ends */
	MP_ST_CLOSED		= 0x0080,	/* the slot is free again */
	MP_ST_IN_HUP		= 0x0100,	/* hint: no more is sent; bytes may wait */
};

#define MP_ST_ALL		0x01ff

enum mp_reason {
	MP_REASON_NONE		= 0,
	MP_REASON_NO_SERVICE	= 1,	/* ENOENT */
	MP_REASON_DENIED	= 2,	/* EACCES */
	MP_REASON_BUSY		= 3,	/* EBUSY: a limit */
	MP_REASON_NOT_LISTENING	= 4,	/* ECONNREFUSED */
	MP_REASON_TIMED_OUT	= 5,	/* ETIMEDOUT */
	MP_REASON_NAME_TOO_LONG	= 6,	/* ENAMETOOLONG */
	MP_REASON_NAME_INVALID	= 7,	/* EINVAL */
	MP_REASON_RESET		= 8,	/* ECONNRESET: the service failed */
	MP_REASON_LINGER	= 9,	/* the linger limit ended a close */
	MP_REASON_MAX		= MP_REASON_LINGER,
	/* With FAILED, from version 2 on: how the service's program ended [4.8]. */
	MP_REASON_EXITED	= 0x100,	/* | its exit status, 1 to 255 */
	MP_REASON_KILLED	= 0x200,	/* | the signal that it died by, 1 to 127 */
};

#define MP_REASON_DETAIL	0x00ff	/* status or signal in the two above */

enum mp_status {
	MP_OK			= 0,	/* done; count says how much */
	MP_AGAIN		= 1,	/* nothing moved; an event will follow */
	MP_ORDER		= 2,	/* not the expected offset; nothing changed or armed */
	MP_STALE		= 3,	/* no such channel, or another generation */
	MP_BAD_STATE		= 4,	/* not in this state of the channel */
	MP_INVALID		= 5,	/* the request is malformed */
	MP_BUSY			= 6,	/* CONNECT: slot in use; READ: one is parked */
	MP_CANCELLED		= 7,	/* parked read back by CANCEL, CLOSE, ring stop */
	MP_UNSUPPORTED		= 8,	/* unknown op */
	MP_ENDED		= 9,	/* WRITE: service takes no more; READ: channel failed */
	MP_FAULT		= 10,	/* payload out of the device's reach; nothing armed [6.9] */
	MP_STATUS_MAX		= MP_FAULT,
};

/*
 * One channel's level state. @seq grows by one with every change; a receiver
 * that holds a newer state ignores an older one (serial arithmetic).
 */
struct mp_state {
	__le32 seq;
	__le16 bits;		/* enum mp_state_bits */
	__le16 reason;		/* enum mp_reason; with REFUSED, FAILED or CLOSED */
};

/* First in the device-writable part of every request. */
struct mp_result {
	__le32 status;		/* enum mp_status */
	__le32 count;		/* payload bytes moved */
	__le64 offset;		/* READ, WRITE: the offset now expected in that direction */
	struct mp_state state;
};

/*
 * An event buffer is a chain on the receive queue without a readable part
 * and with exactly this in its writable part.
 */
struct mp_event {
	__le32 channel;
	__le32 generation;
	struct mp_state state;
};

/* --- Limits [protocol.md 9] ------------------------------------------- */

#define MP_MAX_IO		(1U << 20)	/* bound on max_io */
#define MP_MAX_CHANNELS		(1U << 20)	/* bound on max_channels */
#define MP_MAX_SEGMENTS		1024U		/* bound on max_segments */
#define MP_PARK_SEGMENTS	20U		/* descriptors of a read that may be parked */
#define MP_RESERVED_DESCS	2U		/* transmit descriptors kept for CANCEL and CLOSE */

#define MP_ASSERT_SIZE(type, bytes) \
	_Static_assert(sizeof(struct type) == (bytes), #type " is " #bytes " bytes")
MP_ASSERT_SIZE(mp_hello, 24);
MP_ASSERT_SIZE(mp_port_mode, 8);
MP_ASSERT_SIZE(mp_request, 32);
MP_ASSERT_SIZE(mp_connect, 32);
MP_ASSERT_SIZE(mp_state, 8);
MP_ASSERT_SIZE(mp_result, 24);
MP_ASSERT_SIZE(mp_event, 16);

#endif
