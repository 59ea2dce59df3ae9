/* SPDX-License-Identifier: MIT */
/*
 * Processes that a child has left behind: programs of a daemon that crashed.
 *
 * They run as the daemon's user. A program in its first moment, before it forbids that, can be
 * traced by processes of its user, and so can a daemon, to which the guest's memory is handed over
 * at its start. So no process that the last daemon has left may run when the next one starts.
 */
#ifndef HOST_KEEP_ORPHANS_H
#define HOST_KEEP_ORPHANS_H

#include <signal.h>
#include <stdbool.h>

/* From now on each descendant becomes our child when its parent has ended. Returns 0 or -errno. */
int orphans_adopt(void);

/*
 * Ends all of our children: SIGTERM, and soon after SIGKILL; and waits until there is none. SIGCHLD
 * is blocked. Returns false if a signal of @stop, all of which are blocked, has come before; where
 * @stop is NULL, if five seconds were not enough.
 */
bool orphans_end(const sigset_t *stop);

#endif
