/* SPDX-License-Identifier: MIT */
/* READs that wait at the device, at most one for each channel [protocol.md 6.5]; see park.c. */
#ifndef HOST_DEVICE_PARK_H
#define HOST_DEVICE_PARK_H

#include "device/message.h"

/* Keeps @request until there are bytes: -EINPROGRESS, or MP_AGAIN when it cannot be kept. */
int park_request(const struct request *request);
/* Answers @request, which message_get_parked() has made: it waits no longer. */
void park_answer(const struct request *request, enum mp_status status);
/* Gives the parked READ, if there is one, back with @status and nothing moved. */
void park_return(struct slot *slot, enum mp_status status);

#endif
