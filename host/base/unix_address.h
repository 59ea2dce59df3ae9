/* SPDX-License-Identifier: MIT */
/* Unix socket addresses, and listening on one without stealing it. */
#ifndef HOST_BASE_UNIX_ADDRESS_H
#define HOST_BASE_UNIX_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/unix_access.h"

struct record;

/*
 * @path, or "@name" for the abstract namespace. Returns 0, -EINVAL (empty) or -ENAMETOOLONG (an
 * address has room for 107 bytes).
 */
int unix_address_set(struct sockaddr_un *address, socklen_t *len, const char *path);

/*
 * A listening, non-blocking socket at @path. A socket file without a listener is replaced; nothing
 * else is ever removed. An abstract name has no permissions: any process that sees it may connect.
 * Returns 0 or -EADDRINUSE (another process listens), -EEXIST (the file is no socket), -EINVAL,
 * -ENAMETOOLONG or another -errno. It may wait a second for other processes that open a socket in
 * the same directory. unix_listener_open_now() does not wait: for a process that already serves
 * clients.
 */
struct unix_listener {
	int fd;			/* -1: none */
	struct sockaddr_un address;
	dev_t dev;		/* the file that we made, to remove no other */
	ino_t ino;
};
int unix_listener_open(struct unix_listener *listener, const char *path,
		       const struct unix_access *access);
int unix_listener_open_now(struct unix_listener *listener, const char *path,
			   const struct unix_access *access);

/* What an error of these functions, negative or positive, means, and what helps. */
const char *unix_address_explain(int error);

/* Is the file that we made still there? True for an abstract name. Only while @listener is open. */
bool unix_listener_is_there(const struct unix_listener *listener);

/* Closes it, and removes the file if it is still ours. */
void unix_listener_close(struct unix_listener *listener);

/*
 * A planned restart. While listeners are held, unix_listener_close() leaves the socket to the next
 * unix_listener_open() of its path, with the clients that wait in it.
 */
void unix_listeners_hold(void);
/* Writes all that are open or held; or reads them: then they are held. */
void unix_listeners_hand_over(struct record *record);
/*
 * @fd, of an earlier process, is held, too, if it listens at a file that is there; with the clients
 * that wait in it. Returns true if so: then it is no longer the caller's.
 */
bool unix_listeners_adopt(int fd);
/* Listeners are not held any more; those that were not opened again are closed. */
void unix_listeners_forget(void);

#endif
