/* SPDX-License-Identifier: MIT */
/* What the driver is told: results and events [protocol.md 5.3, 7.3]. */
#ifndef HOST_DEVICE_ANSWER_H
#define HOST_DEVICE_ANSWER_H

#include "device/message.h"

/* Writes the result and gives the chain back; the state of the slot, if it has one, goes along. */
void answer_request(const struct request *request, enum mp_status status);
/* Delivers owed events as far as there are buffers. */
void answer_events(struct port *port);
/* The receive queue stops: event buffers go back empty [protocol.md 10.3]. */
void answer_no_events(struct port *port);

#endif
