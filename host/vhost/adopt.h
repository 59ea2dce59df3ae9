/* SPDX-License-Identifier: MIT */
/* A front end that an earlier process had: descriptors, memory, rings, the device's life. */
#ifndef HOST_VHOST_ADOPT_H
#define HOST_VHOST_ADOPT_H

struct session;

/*
 * @session has what session_create() gives it, but for the socket. What is kept is not trusted
 * beyond its version. Returns 0, or -errno: the session, with what it has so far, is to be
 * destroyed.
 */
int adopt_front_end(struct session *session);

/* Starts the rings that ran. Returns 0 or -errno, likewise. */
int adopt_rings(struct session *session);

#endif
