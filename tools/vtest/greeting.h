/* SPDX-License-Identifier: MIT */
/*
 * What a client of a vtest renderer says first. A command of the vtest protocol is a header, two
 * words of 32 bits (how long, which), and what follows it. A client begins with
 *
 *	CREATE_RENDERER		its name; the length is in bytes, that of all others in words
 *	PING_PROTOCOL_VERSION	does the renderer know of versions?
 *	RESOURCE_BUSY_WAIT	whose answer comes in any case
 *	PROTOCOL_VERSION	the newest version that the client speaks
 *
 * and the renderer answers with the version that both will speak. From version 2 on the renderer
 * passes descriptors of shared memory, which cannot travel to a guest. In version 0 all bytes are
 * in the stream. So the client's version becomes 0 on its way, and each side takes the other for an
 * older one.
 *
 * The greeting ends with the version, or with the first command that is none of these: such a
 * client does not ask, and version 0 is what the renderer then speaks.
 */
#ifndef GREETING_H
#define GREETING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GREETING_NAME_MAX 4096	/* bytes of a client's name */

struct greeting {
	uint32_t header[2];
	uint32_t left;		/* bytes of the command's rest that have not come */
	uint8_t header_len;	/* bytes of the header that have come */
	bool has_name, is_over;
	const char *error;	/* why greeting_take() refused */
};

/*
 * Looks at the next bytes of the client, and writes 0 over the version in them. Returns false with
 * greeting->error when the client speaks something else.
 */
bool greeting_take(struct greeting *greeting, uint8_t *data, size_t len);

#endif
