// SPDX-License-Identifier: MIT
/*
 * A port: its channels by slot, and the event buffers that it may fill.
 *
 * Slots are found through a table of pages that are made when their first slot
 * is used, so a large limit costs a pointer for each PAGE_SLOTS channels.
 *
 * port->owed holds exactly the slots whose state differs from what was
 * last delivered [protocol.md 7.3]. settle_device() delivers, never the code that
 * changes a state, so that a result may still carry it.
 */
#include <errno.h>
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
	if (port->config.max_channels < 1)
		port->config.max_channels = 1;
	if (port->config.max_channels > MP_MAX_CHANNELS)
		port->config.max_channels = MP_MAX_CHANNELS;
	port->gate.name = config->name;
	port->gate.is_fixed = config->kind == MP_PORT_FIXED;
	port->gate.service_name = config->service_name;
	list_init(&port->due_link);
	list_init(&port->owed);
	list_init(&port->owing);
	list_init(&port->events);
	list_init(&port->classic.opens);
	list_init(&port->classic.channels);
	port->page_count = (port->config.max_channels + PAGE_SLOTS - 1) / PAGE_SLOTS;
	port->pages = calloc(port->page_count, sizeof(*port->pages));
	if (!port->pages) {
		free(port);
		return NULL;
	}
	return port;
}

void port_destroy(struct port *port)
{
	if (!port)
		return;
	list_del(&port->due_link);
	list_del(&port->owing);
	free(port->pages);
	free(port);
}

/* --- Slots --------------------------------------------------------------- */

struct slot *port_slot(const struct port *port, uint32_t number)
{
	const struct slot_page *page;

	if (number >= port->config.max_channels)
		return NULL;
	page = port->pages[number / PAGE_SLOTS];
	return page ? page->slots[number % PAGE_SLOTS] : NULL;
}

int port_insert(struct port *port, uint32_t number, struct slot *slot)
{
	struct slot_page **page = &port->pages[number / PAGE_SLOTS];

	if (!*page)
		*page = calloc(1, sizeof(**page));
	if (!*page)
		return -ENOMEM;
	(*page)->slots[number % PAGE_SLOTS] = slot;
	return 0;
}

void port_remove(struct port *port, uint32_t number)
{
	port->pages[number / PAGE_SLOTS]->slots[number % PAGE_SLOTS] = NULL;
}

void port_for_each(struct port *port, void (*action)(struct slot *slot, int arg), int arg)
{
	for (unsigned int i = 0; i < port->page_count; i++) {
		struct slot_page *page = port->pages[i];

		for (unsigned int j = 0; page && j < PAGE_SLOTS; j++)
			if (page->slots[j])
				action(page->slots[j], arg);
	}
}

/* --- Events -------------------------------------------------------------- */

void port_keep_event(struct port *port, const struct ring_chain *chain)
{
	const struct mem *mem = port->rx->ring->mem;
	struct held *buffer;
	struct iovec iov[sizeof(struct mp_event)];

	if (map_range(mem, chain->segments, chain->writable, 0, sizeof(struct mp_event), iov,
		      sizeof(struct mp_event)) < 0) {
		state_report_segments(port->device, mem, chain->segments, chain->writable,
				      "an event cannot be written");
		state_break(port->device, "an event buffer is not in guest memory");
		return;
	}
	buffer = malloc(sizeof(*buffer) + chain->writable * sizeof(*chain->segments));
	if (!buffer) {
		/* Less to deliver with: events are delayed, not lost. */
		queue_give(port->rx, chain->head, 0);
		return;
	}
	list_init(&buffer->link);
	buffer->head = chain->head;
	buffer->count = chain->writable;
	memcpy(buffer->segments, chain->segments, chain->writable * sizeof(*chain->segments));
	list_add_tail(&port->events, &buffer->link);
	if (!list_is_empty(&port->owed))
		port_owe(port);
}

void port_owe(struct port *port)
{
	if (!list_is_linked(&port->owing))
		list_add_tail(&port->device->owing, &port->owing);
}

/* --- Control messages ----------------------------------------------------- */

void port_say(struct port *port, unsigned int due)
{
	port->due |= due;
	if (!list_is_linked(&port->due_link))
		list_add_tail(&port->device->due, &port->due_link);
}
