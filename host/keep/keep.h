/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that outlive this process: held by who started it, handed to the next one.
 *
 * The holder is a service manager: systemd (FileDescriptorStoreMax=) or manyportd --keep (keeper.h).
 * Both take descriptors by sd_notify() [sd_notify(3), FDSTORE=1] and give them back at the next
 * start by LISTEN_FDS [sd_listen_fds(3)]. What was sent is held, also if this process ends right
 * after: a datagram stays in its receiver's queue.
 *
 * Each descriptor is held under a number that none had before it, 1 or more.
 */
#ifndef HOST_KEEP_KEEP_H
#define HOST_KEEP_KEEP_H

#include <stdbool.h>
#include <stdint.h>

struct keep;

/*
 * Takes over what is held for this process (LISTEN_FDS, LISTEN_FDNAMES), close-on-exec. Returns
 * NULL without a holder (no NOTIFY_SOCKET, or no store), or without memory: errno says which, 0 or
 * ENOMEM.
 */
struct keep *keep_create(void);
/* Closes what was not taken. What is held stays held. Accepts NULL. */
void keep_destroy(struct keep *keep);

/*
 * Holds a copy of @fd, which stays the caller's. Returns its number, or 0 with errno set: the holder
 * cannot be reached, or has no room. Accepts a NULL @keep: 0 with errno 0.
 */
uint32_t keep_hold(struct keep *keep, int fd);
/* Drops the copy under @number; 0 and numbers that are not held are ignored. */
void keep_drop(struct keep *keep, uint32_t number);

/* At the start: the descriptor that is held under @number, once; -1: there is none. */
int keep_take(struct keep *keep, uint32_t number);
/* At the start: the first memfd whose content begins with @magic (8 bytes): its number, or 0. */
uint32_t keep_find(struct keep *keep, const char *magic);
/* After the start: drops all that was neither taken nor held since. */
void keep_drop_rest(struct keep *keep);

#endif
