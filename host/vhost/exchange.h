/* SPDX-License-Identifier: MIT */
/* A whole message of the front end: acted on, and answered; see kept.h for its record. */
#ifndef HOST_VHOST_EXCHANGE_H
#define HOST_VHOST_EXCHANGE_H

struct session;

/*
 * Goes on from where the record says that the message is: KEPT_IDLE when it has just been received,
 * else where an earlier process ended. Returns 0, or why the session must end: the answer cannot be
 * told (logged), or nothing tells whether it was.
 */
int exchange_run(struct session *session);

#endif
