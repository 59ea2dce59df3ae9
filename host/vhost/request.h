/* SPDX-License-Identifier: MIT */
/*
 * What each vhost-user message does to the session.
 *
 * Knows no socket: it is given a message that message_check() has passed, and
 * fills in the answer.
 */
#ifndef HOST_VHOST_REQUEST_H
#define HOST_VHOST_REQUEST_H

#include <stdint.h>

#include "vhost/wire.h"

struct device;
struct kept_reply;
struct message;
struct session;

/*
 * Acts on @message, whose descriptors it may take, and fills in @reply (payload and its size) where
 * the request has one of its own. Returns 0 or -errno: refused.
 *
 * A process that ended while it acted leaves the message to its successor, which acts again: from
 * any half of an action, or from the whole.
 */
int request_act(struct session *session, struct message *message, struct kept_reply *reply);

/* Stops every ring, starts those that should run and can. */
void request_pause_rings(struct session *session);
void request_resume_rings(struct session *session);

/* Tells the device what the front end has acknowledged. */
void request_set_device_features(struct session *session);

uint64_t request_protocol_features(const struct device *device);

#endif
