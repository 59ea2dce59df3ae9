/* SPDX-License-Identifier: MIT */
/* The descriptors that a keeper holds, by name. */
#ifndef HOST_KEEP_STORE_H
#define HOST_KEEP_STORE_H

#include <stddef.h>

/*
 * Two sockets, the state, 66 queues with three descriptors each, 512 regions of memory, what one
 * message carries; and some that are on their way.
 */
#define STORE_MAX	1024
#define STORE_NAME_SIZE	32

struct store {
	struct {
		char name[STORE_NAME_SIZE];
		int fd;
	} held[STORE_MAX];
	int count;
};

/*
 * Takes @fd over, which it closes (closer.h) if that fails. Returns 0, -EINVAL (a name that keep.h
 * does not make: no successor would drop it), -EEXIST or -ENOSPC.
 */
int store_add(struct store *store, const char *name, int fd);
/* A name that is not there is ignored. */
void store_remove(struct store *store, const char *name);
void store_clear(struct store *store);

/*
 * In a new process, before execve(): all of them from number 3 on, to be inherited, and LISTEN_FDS,
 * LISTEN_PID and LISTEN_FDNAMES [sd_listen_fds(3)]. *more, a descriptor that must not get lost
 * (or -1), is moved out of the way, and inherited, too; all others must be close-on-exec. Returns 0
 * or -errno.
 */
int store_lay_out(struct store *store, int *more);

#endif
