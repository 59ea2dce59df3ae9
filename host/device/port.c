// SPDX-License-Identifier: MIT
/*
 * A port: its channels by slot, and the event buffers that it may fill.
 *
 * port->owed holds exactly the slots whose state differs from what was
 * last delivered [protocol.md 7.3]. settle() delivers, never the code that
 * changes a state, so that a result may still carry it.
 */
#include <stdlib.h>
#include <string.h>

#include "device/map.h"
#include "device/port.h"

struct port *port_create(struct device *device, uint32_t id,
			 const struct device_port_config *config)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->device = device;
	port->id = id;
	port->config = *config;
	port->kept = &device->kept->ports[id];
	list_init(&port->due_link);
	list_init(&port->owed);
	list_init(&port->events);
	list_init(&port->classic.opens);
	list_init(&port->classic.channels);
	if (port_resize(port, config->max_channels))
		return port;
	free(port);
	return NULL;
}

void port_destroy(struct port *port)
{
	free(port->slots);
	free(port);
}

bool port_resize(struct port *port, uint32_t max)
{
	/* Memory that no channel has used costs nothing: calloc() does not touch it. */
	struct slot **slots = calloc(max, sizeof(*slots));

	if (!slots)
		return false;
	free(port->slots);
	port->slots = slots;
	port->config.max_channels = max;
	return true;
}

/* --- Slots --------------------------------------------------------------- */

struct slot *port_slot(const struct port *port, uint32_t number)
{
	return number < port->config.max_channels ? port->slots[number] : NULL;
}

void port_set_slot(struct port *port, uint32_t number, struct slot *slot)
{
	port->slots[number] = slot;
	port->slot_count += slot ? 1 : -1;
}

/* --- Events -------------------------------------------------------------- */

struct held *port_hold(const struct ring_chain *chain, uint16_t flags)
{
	const size_t size = chain->writable * sizeof(*chain->segments);
	struct held *held = malloc(sizeof(*held) + size);

	if (!held)
		return NULL;
	list_init(&held->link);
	held->head = chain->head;
	held->descriptors = chain->descriptors;
	held->count = chain->writable;
	held->flags = flags;
	memcpy(held->segments, chain->segments + chain->readable, size);
	return held;
}

void port_keep_event(struct port *port, const struct ring_chain *chain)
{
	struct held *buffer;
	struct iovec iov[sizeof(struct mp_event)];

	if (map_range(port->rx->ring->mem, map_writable(chain), 0, sizeof(struct mp_event), iov,
		      sizeof(struct mp_event)) < 0) {
		queue_report_missing(port->rx, map_writable(chain), "an event cannot be written");
		state_break(port->device, "an event buffer is not in guest memory");
		return;
	}
	buffer = port_hold(chain, 0);
	if (!buffer) {
		/* Less to deliver with: events are delayed, not lost. */
		queue_give(port->rx, chain->head, 0);
		return;
	}
	list_add_tail(&port->events, &buffer->link);
}

/* --- Control messages ----------------------------------------------------- */

void port_say(struct port *port, unsigned int due)
{
	port->due |= due;
	if (!list_is_linked(&port->due_link))
		list_add_tail(&port->device->due, &port->due_link);
}
