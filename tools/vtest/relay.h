/* SPDX-License-Identifier: MIT */
/*
 * Bytes between a client and its renderer, each way through one buffer: received into it, and sent
 * from it. A way reads only when its buffer is empty, so back pressure reaches the sender.
 */
#ifndef RELAY_H
#define RELAY_H

enum relay_end {
	RELAY_WHOLE,		/* the client ended first, then the renderer */
	RELAY_RENDERER_ENDED,	/* before its client did */
	RELAY_BAD_CLIENT,	/* *why says what it did */
	RELAY_DESCRIPTOR,	/* the renderer passed one */
	RELAY_ERROR,		/* errno */
};

/*
 * Both descriptors are stream sockets. Returns when the renderer has ended and all that it sent has
 * gone to the client, or at an error.
 */
enum relay_end relay(int client, int renderer, const char **why);

#endif
