/* SPDX-License-Identifier: MIT */
/*
 * Closes descriptors that others have sent, in a thread of its own: a close may wait for whoever
 * made the file, as with a socket that lingers, or a file system that a process serves.
 */
#ifndef HOST_KEEP_CLOSER_H
#define HOST_KEEP_CLOSER_H

/* All that a store holds may be dropped at once, and no close be done: then there is room still. */
#define CLOSER_SIZE 1536

/* Returns 0 or -errno. There is one, until the process ends. */
int closer_start(void);
/* For how many more there is room: who takes descriptors over looks before. */
unsigned int closer_room(void);
/* @fd is the closer's from now on. Never waits. */
void closer_close(int fd);
/* All of them have been closed when this returns, or a second has passed. */
void closer_finish(void);

#endif
