/* SPDX-License-Identifier: MIT */
/*
 * Bytes between a client and its renderer, each way through one buffer: received into it, and sent
 * from it. A way reads only when its buffer is empty, so back pressure reaches the sender.
 */
#ifndef RELAY_H
#define RELAY_H

enum relay_end {
	RELAY_WHOLE,		/* the client ended first, then the renderer, or it was silent */
	RELAY_RENDERER_ENDED,	/* before its client did */
	RELAY_BAD_CLIENT,	/* *why says what it did */
	RELAY_DESCRIPTOR,	/* the renderer passed one */
	RELAY_ERROR,		/* *why says which */
};

/* So long a renderer whose client has ended may take no byte, send none, and not end. */
#define RELAY_SILENT_MS 5000

/*
 * Both descriptors are stream sockets. Returns when the renderer has ended and all that it sent has
 * gone to the client, when the renderer stays silent behind its client's end, or at an error.
 */
enum relay_end relay(int client, int renderer, const char **why);

#endif
