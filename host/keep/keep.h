/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that outlive this process: held by who started it, handed to the next one.
 *
 * The holder is a service manager: systemd (FileDescriptorStoreMax=) or manyportd --keep
 * (keeper.h). Both take descriptors by sd_notify() [sd_notify(3), FDSTORE=1] and give them back at
 * the next start by LISTEN_FDS [sd_listen_fds(3)]. What was sent is held, also if this process ends
 * right after: a datagram stays in its receiver's queue.
 *
 * Each open file is held under a number that none had before it, 1 or more. systemd holds an open
 * file once, however often it is sent (a VMM sends one memfd for each region of its memory). So a
 * file that is held already gets the number that it has, and is dropped as often as it was held and
 * taken. To know it again, a copy of each descriptor is open here as well.
 *
 * Without a holder these copies are all there is. They outlive an execve(), and not the process: so
 * a planned restart finds what a crash does where there is a holder.
 */
#ifndef HOST_KEEP_KEEP_H
#define HOST_KEEP_KEEP_H

#include <stdbool.h>
#include <stdint.h>

struct keep;

/*
 * Takes over what is held for this process (LISTEN_FDS, LISTEN_FDNAMES), or was by the program
 * before it (keep_pass()), close-on-exec; what has another name there is left alone. Returns NULL
 * without memory. There is no holder without NOTIFY_SOCKET, or where it says that it has no store.
 * systemd before 254 does not say so; where there is none it throws away what is sent.
 */
struct keep *keep_create(void);
/* Closes its copies. What is held stays held. Accepts NULL. */
void keep_destroy(struct keep *keep);

/* Is there no holder, so that what is held ends with this process? */
bool keep_is_alone(const struct keep *keep);
/* From now on: the holder drops all of it; numbers and copies stay. */
void keep_be_alone(struct keep *keep);

/*
 * Holds @fd, which stays the caller's. Returns its number, or 0 with errno set: the holder cannot
 * be reached, or has no room (ENOSPC, where it says how much it has). The copies may come from the
 * reserve of descriptors (base/fd_limit.h).
 */
uint32_t keep_hold(struct keep *keep, int fd);
/*
 * The same for the one that keep_find() finds. It is known by its name with the holder, since a
 * guest can write anything into its memory, which is held as well.
 */
uint32_t keep_hold_state(struct keep *keep, int fd);
/* The opposite of one keep_hold() or keep_take(); 0 and numbers that are not held are ignored. */
void keep_drop(struct keep *keep, uint32_t number);

/* A copy of what is held under @number, close-on-exec, the caller's; -1: there is none. */
int keep_take(struct keep *keep, uint32_t number);
/* Is it the daemon's own: a state, or a socket that listens? A front end's are neither. */
bool keep_is_own(struct keep *keep, uint32_t number);
/*
 * The file that keep_hold_state() held, if its content begins with @magic (8 bytes): its number,
 * or 0. Of several the newest.
 */
uint32_t keep_find(struct keep *keep, const char *magic);
/*
 * As keep_take(), of a socket that listens and that was neither taken nor held since the start:
 * *number, or 0. So one call after the other gives all of them.
 */
int keep_take_listener(struct keep *keep, uint32_t *number);
/* After the start: drops all that was neither taken nor held since. */
void keep_drop_rest(struct keep *keep);

/*
 * Before execve() of a program that goes on in this process: its keep_create() finds all that is
 * held now. With @pass false, where execve() has failed: not so. Returns 0 or -errno. Accepts NULL.
 */
int keep_pass(struct keep *keep, bool pass);

#endif
