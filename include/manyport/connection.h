/* SPDX-License-Identifier: MIT */
/*
 * A channel that is a connection of its own (vsock): what is said before the bytes. The text is
 * docs/protocol.md, clause 16. All fields are little-endian.
 */
#ifndef MANYPORT_CONNECTION_H
#define MANYPORT_CONNECTION_H

#include <manyport/wire.h>

#define MP_CONNECTION_VERSION	1
/* Its first byte cannot begin a name [protocol.md 4.3]. */
#define MP_CONNECTION_MAGIC	0x74506d01U	/* "\x01mPt" read as bytes */

/* From the guest; @name_len bytes of name follow. */
struct mp_naming {
	__le32 magic;
	__le16 version;
	__le16 name_len;	/* 1 to MP_NAME_MAX, without a NUL */
};

/* The answer. */
struct mp_named {
	__le32 magic;
	__le16 version;
	__le16 reason;		/* enum mp_reason; NONE: the service has been reached */
};

MP_ASSERT_SIZE(mp_naming, 8);
MP_ASSERT_SIZE(mp_named, 8);

#endif
