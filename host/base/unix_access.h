/* SPDX-License-Identifier: MIT */
/* The rights to connect to a unix socket, from the text of a setting. */
#ifndef HOST_BASE_UNIX_ACCESS_H
#define HOST_BASE_UNIX_ACCESS_H

#include <sys/types.h>

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

#endif
