/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * One pure function per message: is what the other side sent well-formed?
 *
 * The caller has copied the message out of shared memory and passes the copy.
 * A validator looks at nothing else, changes nothing and logs nothing, so
 * guest, host, tests and fuzzers compile the same one. Each returns true when
 * the message may be acted on.
 */
#ifndef MANYPORT_WIRE_CHECK_H
#define MANYPORT_WIRE_CHECK_H

#include <manyport/wire.h>

#ifdef __KERNEL__
#include <asm/byteorder.h>
#define mp_le16(x) le16_to_cpu(x)
#define mp_le32(x) le32_to_cpu(x)
#define mp_le64(x) le64_to_cpu(x)
#else
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#define mp_le16(x) le16toh(x)
#define mp_le32(x) le32toh(x)
#define mp_le64(x) le64toh(x)
#endif

/* HELLO from the device [protocol.md 3.1]. @len: payload bytes received. */
static inline bool mp_hello_is_valid(const struct mp_hello *h, __u32 len)
{
	return len >= sizeof(*h) && mp_le32(h->magic) == MP_MAGIC &&
	       mp_le16(h->version) >= 1 && mp_le16(h->size) >= sizeof(*h) &&
	       mp_le32(h->max_channels) >= 1 && mp_le32(h->max_channels) <= MP_MAX_CHANNELS &&
	       mp_le32(h->max_io) >= 4096 && mp_le32(h->max_io) <= MP_MAX_IO &&
	       mp_le32(h->max_segments) >= 4 && mp_le32(h->max_segments) <= MP_MAX_SEGMENTS;
}

/* The version for a driver to choose: the highest that both know. @h is valid. */
static inline __u16 mp_hello_version(const struct mp_hello *h)
{
	return mp_le16(h->version) < MP_VERSION ? mp_le16(h->version) : MP_VERSION;
}

/* HELLO from the driver [protocol.md 3.1]. */
static inline bool mp_hello_answer_is_valid(const struct mp_hello *h, __u32 len)
{
	return len >= sizeof(*h) && mp_le32(h->magic) == MP_MAGIC &&
	       mp_le16(h->version) >= 1 && mp_le16(h->version) <= MP_VERSION;
}

/* PORT_MODE [protocol.md 3.2]. @kind: the control message's value. */
static inline bool mp_port_mode_is_valid(__u16 kind, const struct mp_port_mode *m, __u32 len)
{
	return len >= sizeof(*m) && kind <= MP_PORT_FIXED &&
	       (kind == MP_PORT_CLASSIC ||
		(mp_le32(m->max_channels) >= 1 && mp_le32(m->max_channels) <= MP_MAX_CHANNELS));
}

/* Is @op one that only the transmit queue carries [protocol.md 5.2]? */
static inline bool mp_op_is_tx_only(__u16 op)
{
	return op != MP_OP_READ;
}

/*
 * A request's header against the chain that carried it [protocol.md 5.1].
 * @readable, @writable: payload bytes of the chain, header and result taken
 * off. Returns MP_OK, MP_INVALID or MP_UNSUPPORTED.
 */
static inline enum mp_status mp_request_check(const struct mp_request *r, __u64 readable,
					      __u64 writable, __u32 max_io)
{
	__u32 len = mp_le32(r->length);
	__u16 flags = mp_le16(r->flags);
	bool in = false, out = false;

	switch (mp_le16(r->op)) {
	case MP_OP_CONNECT:
		out = true;
		if (flags || mp_le64(r->offset) || len < sizeof(struct mp_connect) ||
		    len > sizeof(struct mp_connect) + MP_NAME_MAX)
			return MP_INVALID;
		break;
	case MP_OP_READ:
		in = true;
		if ((flags & ~(MP_LAZY | MP_READ_NOW)) || !len)
			return MP_INVALID;
		break;
	case MP_OP_WRITE:
		out = true;
		if ((flags & ~MP_LAZY) || !len)
			return MP_INVALID;
		break;
	case MP_OP_SHUTDOWN:
		if (len || !flags || (flags & ~(MP_SHUT_READ | MP_SHUT_WRITE)))
			return MP_INVALID;
		break;
	case MP_OP_CANCEL:
		if (len || flags || mp_le64(r->offset))
			return MP_INVALID;
		break;
	case MP_OP_CLOSE:
		if (len || (flags & ~MP_CLOSE_ABORT))
			return MP_INVALID;
		break;
	default:
		return MP_UNSUPPORTED;
	}
	if (mp_le64(r->reserved) || !mp_le32(r->generation) || len > max_io ||
	    (mp_le32(r->channel) & MP_CHANNEL_HOST) ||
	    mp_le64(r->offset) + len < mp_le64(r->offset) ||
	    readable != (out ? len : 0) || writable != (in ? len : 0))
		return MP_INVALID;
	return MP_OK;
}

/*
 * A service name, argument included [protocol.md 4.3]: 1 to MP_NAME_MAX
 * bytes, none a control character (0 to 0x1f, 0x7f), the part before the first '+' not empty,
 * without a blank, and ASCII. The argument behind it may be UTF-8, which is not checked.
 */
static inline bool mp_name_is_valid(const char *name, __u32 len)
{
	__u32 i;
	bool argument = false;

	if (!len || len > MP_NAME_MAX || name[0] == '+')
		return false;
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '+')
			argument = true;
		if (c < 0x20 || c == 0x7f || (!argument && (c == ' ' || c > 0x7f)))
			return false;
	}
	return true;
}

/* CONNECT's fixed part. @len: payload bytes. The name is checked apart. */
static inline bool mp_connect_is_valid(const struct mp_connect *c, __u32 len)
{
	return len >= sizeof(*c) && mp_le32(c->name_len) == len - sizeof(*c) &&
	       mp_le32(c->name_len) <= MP_NAME_MAX;
}

/* Does @reason say how the service's program ended [protocol.md 4.8]? */
static inline bool mp_reason_is_exit(__u16 reason)
{
	return (reason > MP_REASON_EXITED && reason <= (MP_REASON_EXITED | 255)) ||
	       (reason > MP_REASON_KILLED && reason <= (MP_REASON_KILLED | 127));
}

/* @version: the one that the driver chose [protocol.md 3.1]; here and below. */
static inline bool mp_state_is_valid(const struct mp_state *s, __u16 version)
{
	__u16 bits = mp_le16(s->bits), reason = mp_le16(s->reason);

	if (bits & ~MP_ST_ALL)
		return false;
	return reason <= MP_REASON_MAX ||
	       (version >= 2 && (bits & MP_ST_FAILED) && mp_reason_is_exit(reason));
}

/*
 * A result [protocol.md 6.1]. @asked: payload bytes that the request
 * offered; @used: bytes that the used ring reports as written. Only a READ
 * may carry payload in @used, so @writable says how much it offered. MP_FAULT means that
 * bytes are missing: never all moved, and never of a request without a payload.
 */
static inline bool mp_result_is_valid(const struct mp_result *r, __u32 asked, __u32 used,
				      __u32 writable, __u16 version)
{
	__u32 count = mp_le32(r->count);

	return used >= sizeof(*r) && mp_le32(r->status) <= MP_STATUS_MAX && count <= asked &&
	       (mp_le32(r->status) != MP_FAULT || count < asked) &&
	       (!writable || used - sizeof(*r) >= count) && mp_state_is_valid(&r->state, version);
}

/*
 * MP_AGAIN arms [protocol.md 6.3, 6.4]: @bit, MP_ST_IN of a READ and MP_ST_OUT of a WRITE, is
 * clear in the state that comes with it. Otherwise the driver would repeat the request for ever.
 */
static inline bool mp_again_is_valid(const struct mp_result *r, __u16 bit)
{
	return !(mp_le16(r->state.bits) & bit);
}

/* An event [protocol.md 7.1]. @used: bytes written. */
static inline bool mp_event_is_valid(const struct mp_event *e, __u32 used, __u16 version)
{
	return used >= sizeof(*e) && mp_state_is_valid(&e->state, version);
}

/* Is sequence number @a newer than @b (serial arithmetic)? */
static inline bool mp_seq_is_newer(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

#endif
