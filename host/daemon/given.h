/* SPDX-License-Identifier: MIT */
/* A descriptor that the daemon was started with, for its front end (--fd). */
#ifndef HOST_DAEMON_GIVEN_H
#define HOST_DAEMON_GIVEN_H

/* NULL: a front end may be at the other end of @fd. Else why not, and what to do. */
const char *given_complaint(int fd);

#endif
