// SPDX-License-Identifier: MIT
/* Ends without an answer; see life.h. Channels' memory goes when the entry settles. */
#include <stdlib.h>

#include "device/classic.h"
#include "device/life.h"
#include "device/message.h"

void life_return_held(struct port *port)
{
	for (uint32_t i = 0; port->parked && i < port->config.max_channels; i++)
		if (port->slots[i])
			park_return(port->slots[i], MP_CANCELLED);
	answer_no_events(port);
}

void life_reset_port(struct port *port, enum mp_end how)
{
	struct list *link;

	classic_reset(port, how);
	for (uint32_t i = 0; port->slot_count; i++)
		if (port->slots[i])
			slot_leave(port->slots[i], how);
	while ((link = list_pop(&port->events)))
		free(list_entry(link, struct held, link));
	list_del(&port->due_link);
	port->due = 0;
	port->rx_first = 0;
	port->kept->ready = PORT_ABSENT;
}

void life_end(struct device *device, enum mp_end how)
{
	for (unsigned int id = 0; id < device->port_count; id++)
		if (device->ports[id])
			life_reset_port(device->ports[id], how);
	device->kept->life = LIFE_NONE;
	/* What came when they were a manyport's, and was not looked at [protocol.md 11.7]. */
	for (unsigned int i = 0; device_is_fuse(device) && i < device->queue_count; i++)
		queue_defer(&device->queues[i]);
}
