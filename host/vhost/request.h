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

struct message;
struct session;

/* The payload of an answer, where the request has one of its own. */
struct request_reply {
	uint32_t size;
	union {
		uint64_t u64;
		struct vhost_user_vring_state state;
		struct vhost_user_config config;
	} payload;
};

/* Acts on @message, whose descriptors it may take. Returns 0 or -errno: refused. */
int request_act(struct session *session, struct message *message, struct request_reply *reply);

/* Stops every ring, starts those that should run and can. */
void request_pause_rings(struct session *session);
void request_resume_rings(struct session *session);

uint64_t request_protocol_features(const struct device *device);

#endif
