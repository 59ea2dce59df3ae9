/* SPDX-License-Identifier: MIT */
/*
 * What a process tells its service manager [sd_notify(3)], as far as a keeper understands it.
 *
 * The process may be one that a guest has taken over: so its words are copied out of the datagram
 * one by one, and all that is not named here goes no further.
 */
#ifndef HOST_KEEP_NOTICE_H
#define HOST_KEEP_NOTICE_H

#include <stdbool.h>
#include <sys/types.h>

#include "keep/store.h"

#define NOTICE_TEXT_SIZE 256

struct notice {
	bool store, remove;		/* FDSTORE=1, FDSTOREREMOVE=1 */
	char name[STORE_NAME_SIZE];	/* FDNAME=, or "stored"; empty: one that is too long */
	bool ready, stopping, reloading;
	char status[NOTICE_TEXT_SIZE];	/* STATUS=, with its beginning; empty: none */
	char monotonic[NOTICE_TEXT_SIZE]; /* MONOTONIC_USEC=, the same */
};

#define NOTICE_ADDRESS_SIZE 128
#define NOTICE_MAX_FDS	253		/* in a message: SCM_MAX_FD of the kernel */

/*
 * A socket for such messages; @address: its path, for NOTIFY_SOCKET, in a folder of its own that no
 * other user comes into. Returns it or -errno.
 */
int notice_socket(char *address);
void notice_remove(char *address);

/*
 * Takes one message from @fd. If it is one of @sender, its descriptors are in @store afterwards, as
 * it asks; else they are the closer's, NOTICE_MAX_FDS at most. Returns 1, 0 (there is no message),
 * -EPERM (one of another process: it counts for nothing) or, where the message counts but for its
 * descriptors, another -errno.
 */
int notice_receive(int fd, pid_t sender, struct notice *notice, struct store *store);

#endif
