// SPDX-License-Identifier: MIT
/*
 * A port: its channels by slot, and the event buffers that it may fill.
 *
 * Slots are found through a table of pages that are made when their first slot
 * is used, so a large limit costs a pointer for each PAGE_SLOTS channels.
 *
 * port->owed holds exactly the channels whose state differs from what was
 * last delivered [protocol.md 7.3]. device_settle() delivers, never the code that
 * changes a state, so that a result may still carry it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/internal.h"

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

struct channel *port_channel(const struct port *port, uint32_t slot)
{
	const struct channel_page *page;

	if (slot >= port->config.max_channels)
		return NULL;
	page = port->pages[slot / PAGE_SLOTS];
	return page ? page->slots[slot % PAGE_SLOTS] : NULL;
}

int port_insert(struct port *port, struct channel *channel)
{
	struct channel_page **page = &port->pages[channel->slot / PAGE_SLOTS];

	if (!*page)
		*page = calloc(1, sizeof(**page));
	if (!*page)
		return -ENOMEM;
	(*page)->slots[channel->slot % PAGE_SLOTS] = channel;
	return 0;
}

void port_remove(struct port *port, struct channel *channel)
{
	if (port_channel(port, channel->slot) == channel)
		port->pages[channel->slot / PAGE_SLOTS]->slots[channel->slot % PAGE_SLOTS] = NULL;
}

/* --- Events -------------------------------------------------------------- */

/* Writes @event into the buffer, which the driver gets back. */
static void give_event(struct port *port, struct held *buffer, const struct mp_event *event)
{
	struct queue *rx = port->rx;

	if (map_write(rx->ring->mem, buffer->segments, buffer->count, event, sizeof(*event)) < 0)
		device_break(port->device, "an event buffer is not in guest memory any more");
	else
		queue_give(rx, buffer->head, sizeof(*event));
	free(buffer);
}

static void give_empty_event(struct port *port, struct held *buffer)
{
	const struct mp_event none = { .channel = htole32(MP_CHANNEL_NONE) };

	give_event(port, buffer, &none);
}

void port_keep_event(struct port *port, const struct ring_chain *chain)
{
	const struct mem *mem = port->rx->ring->mem;
	struct held *buffer;
	struct iovec iov[sizeof(struct mp_event)];

	if (map_range(mem, chain->segments, chain->writable, 0, sizeof(struct mp_event), iov,
		      sizeof(struct mp_event)) < 0) {
		device_report_segments(port->device, mem, chain->segments, chain->writable,
				       "an event cannot be written");
		device_break(port->device, "an event buffer is not in guest memory");
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
	if (!list_is_empty(&port->owed) && !list_is_linked(&port->owing))
		list_add_tail(&port->device->owing, &port->owing);
}

static void deliver_one(struct port *port, struct channel *channel)
{
	struct held *buffer = list_entry(list_pop(&port->events), struct held, link);
	struct mp_event event = {
		.channel = htole32(channel->slot),
		.generation = htole32(channel->generation),
	};

	channel_get_state(channel, &event.state);
	give_event(port, buffer, &event);
	port->device->stats.events++;
	channel_delivered(channel);
}

void port_deliver(struct port *port)
{
	struct channel *channel;

	while (port->rx->ring && !port->device->is_broken && !list_is_empty(&port->events)) {
		channel = list_first(&port->owed, struct channel, owed);
		if (!channel)
			return;
		deliver_one(port, channel);
	}
}

/* --- The end of a ring, or of a life ------------------------------------- */

static void leave(struct channel *channel, int how)
{
	transfer_forget(channel);
	channel_leave(channel, how);
}

static void for_each_channel(struct port *port, void (*action)(struct channel *channel, int arg),
			     int arg)
{
	for (unsigned int i = 0; i < port->page_count; i++) {
		struct channel_page *page = port->pages[i];

		for (unsigned int j = 0; page && j < PAGE_SLOTS; j++)
			if (page->slots[j])
				action(page->slots[j], arg);
	}
}

static void unpark(struct channel *channel, int status)
{
	transfer_unpark(channel, status);
}

void port_return_held(struct port *port)
{
	struct list *link;

	if (port->parked)
		for_each_channel(port, unpark, MP_CANCELLED);
	while (!port->device->is_broken && (link = list_pop(&port->events)))
		give_empty_event(port, list_entry(link, struct held, link));
}

void port_reset(struct port *port, enum mp_end how)
{
	struct list *link;

	classic_reset(port, how);
	for_each_channel(port, leave, how);
	for (unsigned int i = 0; i < port->page_count; i++) {
		free(port->pages[i]);
		port->pages[i] = NULL;
	}
	while ((link = list_pop(&port->events)))
		free(list_entry(link, struct held, link));
	list_del(&port->owing);
	list_del(&port->due_link);
	port->due = 0;
	port->rx_first = 0;
	port->is_ready = false;
}
