/* SPDX-License-Identifier: MIT */
/* Unix socket addresses, and listening on one without stealing it. */
#ifndef HOST_BASE_UNIX_ADDRESS_H
#define HOST_BASE_UNIX_ADDRESS_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/* @path, or "@name" for the abstract namespace. Returns 0 or -EINVAL (empty, too long). */
int unix_address_set(struct sockaddr_un *address, socklen_t *len, const char *path);

/*
 * A listening, non-blocking socket at @path with permissions @mode. A socket
 * file that nobody listens on is replaced. Returns the descriptor, -EADDRINUSE
 * (somebody listens, or the file is no socket) or another -errno.
 */
struct unix_listener {
	int fd;			/* -1: none */
	struct sockaddr_un address;
	dev_t dev;		/* the file that we made, to remove no other */
	ino_t ino;
};
int unix_listener_open(struct unix_listener *listener, const char *path, mode_t mode);

/* Closes it, and removes the file if it is still ours. */
void unix_listener_close(struct unix_listener *listener);

#endif
