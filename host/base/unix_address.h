/* SPDX-License-Identifier: MIT */
/* Unix socket addresses, and listening on one without stealing it. */
#ifndef HOST_BASE_UNIX_ADDRESS_H
#define HOST_BASE_UNIX_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/*
 * @path, or "@name" for the abstract namespace. Returns 0, -EINVAL (empty) or -ENAMETOOLONG (an
 * address has room for 107 bytes).
 */
int unix_address_set(struct sockaddr_un *address, socklen_t *len, const char *path);

/* The rights to connect to a socket's file: its mode, and its owner and group (-1: our own). */
struct unix_access {
	mode_t mode;
	uid_t owner;
	gid_t group;
};

#define UNIX_ACCESS(bits) { .mode = (bits), .owner = (uid_t)-1, .group = (gid_t)-1 }

/*
 * Reads one setting into @access: "mode=0660", "owner=NAME" or "group=NAME", where NAME may be a
 * number. Names are those of /etc/passwd and /etc/group. Returns 0, -EINVAL (no such setting, or
 * not an octal mode of at most 0777) or -ENOENT (no such user or group).
 */
int unix_access_set(struct unix_access *access, const char *setting);

/*
 * Cuts ",mode=0660,owner=NAME,group=NAME" off the end of @path, in any order, into @access.
 * Returns 0, or what unix_access_set() gave; @path then ends before the setting that was refused,
 * and *bad is that setting.
 */
int unix_access_cut(struct unix_access *access, char *path, const char **bad);

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

#endif
