/* SPDX-License-Identifier: MIT */
/*
 * What a client of a vtest renderer says. A command of the vtest protocol is a header, two words of
 * 32 bits (how long, which), and what follows it. A client begins with
 *
 *	CREATE_RENDERER		its name; the length is in bytes, that of all others in words
 *	PING_PROTOCOL_VERSION	does the renderer know of versions?
 *	RESOURCE_BUSY_WAIT	whose answer comes in any case
 *	PROTOCOL_VERSION	the newest version that the client speaks
 *
 * and the renderer answers with the version that both will speak. From version 2 on the renderer
 * passes descriptors of shared memory, which cannot travel to a guest. In version 0 all bytes are
 * in the stream. So the client's version becomes 0 on its way, each side takes the other for an
 * older one, and only commands of version 0 pass.
 *
 * Mesa's windows need help in version 0. To show a picture Mesa sends TRANSFER_GET, then
 * RESOURCE_BUSY_WAIT, and then reads the answers in the other order, so the window shows a picture
 * that begins 12 bytes too late and ends with the other answer. (The order is that of version 2,
 * which has no picture in the stream.) commands_take() turns these two commands around, and so the
 * answers come as Mesa reads them. But a program that reads a window's picture makes Mesa send the
 * same two commands, and read the first answer before it sends the second. So the request for a
 * window's picture waits for the next command, and the caller lets it go when none comes. A picture
 * of which that is known is one that the program reads, and its next request does not wait, until a
 * second command comes before the answer to the first.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COMMANDS_NAME_MAX	4096		/* bytes of a client's name */
#define COMMANDS_WORDS_MAX	(1 << 20)	/* of OpenGL's commands in one of vtest's */
#define COMMANDS_PICTURE_MAX	(1 << 28)	/* bytes */
#define COMMANDS_HELD_MAX	68		/* bytes that commands_take() leaves at most */
#define COMMANDS_WINDOWS	64		/* of more the oldest is forgotten */

struct window {
	uint32_t handle;	/* 0: none */
	bool is_read;
};

struct commands {
	uint64_t left;		/* bytes of a command that have not come, and pass as they are */
	struct window windows[COMMANDS_WINDOWS];
	unsigned int next_window;
	uint32_t asked;		/* the window whose picture the last command asked for, or 0 */
	bool is_answered;	/* the caller sets it when bytes of the renderer come */
	bool has_name;
	bool waits;		/* what was left is a whole command, which waits for the next one */
	const char *error;	/* why commands_take() refused */
};

/*
 * Looks at the next bytes of the client and changes them in place. Returns how many may be passed
 * on: what is left must come again, with more behind it. With @is_late a command that waits for the
 * next one passes. Returns -1 with commands->error when the client speaks something else.
 */
ssize_t commands_take(struct commands *commands, uint8_t *data, size_t len, bool is_late);

#endif
