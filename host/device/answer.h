/* SPDX-License-Identifier: MIT */
/* What the driver is told: results and events [protocol.md 5.3, 7.3]. */
#ifndef HOST_DEVICE_ANSWER_H
#define HOST_DEVICE_ANSWER_H

#include "device/map.h"
#include "device/slot.h"

/* Writes a result and gives the chain back; the state of @slot (or NULL) goes along. */
void answer_result(struct queue *queue, uint16_t head, const struct request_map *map,
		   const struct slot *slot, const struct mp_result *result, uint32_t payload);
/* Delivers owed events as far as there are buffers. */
void answer_events(struct port *port);
/* The receive queue stops: event buffers go back empty [protocol.md 10.3]. */
void answer_no_events(struct port *port);

#endif
