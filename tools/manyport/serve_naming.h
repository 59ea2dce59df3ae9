/* SPDX-License-Identifier: MIT */
/*
 * What a client of manyport serve says before its bytes: struct mp_naming, which is answered, or a
 * line, which is not [protocol.md 15.8]; and the process that says it.
 */
#ifndef SERVE_NAMING_H
#define SERVE_NAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/frame.h"
#include "service/socket_stream.h"

struct naming {
	struct frame_connect opener;	/* its name points to text below */
	bool wants_answer;
	uint16_t got;			/* bytes of text */
	char text[MP_NAME_MAX + 16];	/* what was read; then the name */
};

struct ucred;

/*
 * The claims of @who, whose pid may be that of a thread, as they are now: but the name. @opener is
 * zeroed.
 */
void naming_find_opener(struct frame_connect *opener, const struct ucred *who);
/* The opener is the process at the other end of @fd. */
void naming_who_connected(struct naming *naming, int fd);
/* The name that its socket stands for. */
void naming_set(struct naming *naming, const char *service);
/*
 * Reads exactly the naming from @near: what follows is the channel's. Returns 1: it is there;
 * 0: more must come; or -errno.
 */
int naming_read(struct naming *naming, struct socket_stream *near);
/* The outcome, if the client waits for one. False: the client does not take it. */
bool naming_answer(const struct naming *naming, struct socket_stream *near, uint16_t reason);

#endif
