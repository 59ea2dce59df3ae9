/* SPDX-License-Identifier: MIT */
/* A listening socket in the loop: each connection is handed on. */
#ifndef HOST_LOOP_ACCEPTOR_H
#define HOST_LOOP_ACCEPTOR_H

#include <stdbool.h>

#include "loop/loop.h"

struct acceptor {
	const char *name;		/* of the guest, for the log */
	void (*come_in)(struct acceptor *acceptor, int fd);	/* takes @fd, non-blocking */
	bool has_reserve;		/* its connections may use the reserve of fd_limit.h */
	int fd;
	struct loop *loop;
	struct loop_watch watch;
	struct loop_timer pause;	/* after accept() failed for want of descriptors */
};

/* Sets it up, without a socket. */
void acceptor_init(struct acceptor *acceptor, struct loop *loop, const char *name,
		   void (*come_in)(struct acceptor *acceptor, int fd));
/* @fd listens, is non-blocking, and stays the caller's. Returns 0 or -errno. */
int acceptor_start(struct acceptor *acceptor, int fd);
/* The socket is still open. Idempotent. */
void acceptor_stop(struct acceptor *acceptor);

#endif
