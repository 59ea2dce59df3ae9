/* SPDX-License-Identifier: MIT */
#ifndef WORLD_WATCH_H
#define WORLD_WATCH_H

/*
 * Starts a process that, when the guest has been up for that many seconds,
 * writes to the kernel's log where every task waits, and ends the guest.
 * With 0 seconds no process is started.  Returns 0 or -1 with errno.  The process
 * runs until a signal kills it.
 */
int watch_start(int seconds);

#endif
