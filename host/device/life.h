/* SPDX-License-Identifier: MIT */
/* The end of a port's ring, of a port, of a life of the driver. */
#ifndef HOST_DEVICE_LIFE_H
#define HOST_DEVICE_LIFE_H

#include "device/port.h"

/* The receive queue stops: gives back what is held [protocol.md 10.3]. */
void life_return_held(struct port *port);
/*
 * Gives back what a daemon before this one had taken from @queue, which is a port's: the driver has
 * let go of it, or the ring stops [protocol.md 10.9].
 */
void life_return_out(struct queue *queue);
/* The driver has let go of what a daemon before this one had of @port: it is served from now on. */
void life_found(struct port *port);
/* Channels, slots and held chains are gone, unanswered. @how: CUT or ABORT. */
void life_reset_port(struct port *port, enum mp_end how);
/* Every channel ends, unanswered; nothing is ready [protocol.md 3.4, 3.5]. @how: CUT or ABORT. */
void life_end(struct device *device, enum mp_end how);

#endif
