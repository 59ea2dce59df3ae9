/* SPDX-License-Identifier: MIT */
/* The honest half of the bad host's ports. */
#ifndef PEER_BAD_HOST_SERVE_H
#define PEER_BAD_HOST_SERVE_H

#include "bad_host.h"

/* Takes everything from a queue of @port. */
void serve_queue(struct device *device, struct port *port, unsigned int queue);
void serve_unpark(struct device *device, struct port *port, struct channel *ch);

/* What the guest's program says by naming a service of port 0; see bad_host_device.c. */
enum mp_reason serve_command(struct device *device, const char *command);

#endif
