// SPDX-License-Identifier: MIT
/*
 * A port under a driver without MULTI_OPEN: today's virtio-serial port
 * [protocol.md 13].
 *
 * The driver's PORT_OPEN 1 begins an open, its PORT_OPEN 0 ends it. Opens queue
 * up: the oldest takes the chains of the transmit queue, an ended one exactly those
 * that were visible at its end [protocol.md 13.2]. An open that has taken its
 * chains leaves; its channel goes on alone until it is closed (close.c). On a fixed
 * port there is always one that has not ended, unless the port has its number of channels, and it
 * is connected before the guest opens, because PORT_OPEN follows the service [protocol.md 13.3].
 *
 * No chain is held. One that cannot be filled, or not be written as a whole, is
 * untaken, with the bytes that are done in tx_skip; so a buffer never comes
 * back empty, which the driver would read as an end, and a full service makes
 * the ring full. Whatever stops a queue serves it again when it is over:
 * news of a channel, an open that ends, PORT_OPEN.
 *
 * Bounds: an ended open without chains leaves at once, so there are never more than
 * chains in the ring; channels are bounded as channels of the port.
 */
#include <stdlib.h>

#include "device/classic.h"

/* --- Opens --------------------------------------------------------------- */

static void set_host_open(struct port *port, bool is_open)
{
	if (port->classic.host_open != is_open)
		port_say(port, PORT_DUE_OPEN);
	port->classic.host_open = is_open;
}

struct classic_open *classic_begin_open(struct port *port)
{
	struct classic_open *open = calloc(1, sizeof(*open));

	if (!open)
		return NULL;
	open->port = port;
	list_init(&open->link);
	list_add_tail(&port->classic.opens, &open->link);
	port->classic.current = open;
	return open;
}

/* How many visible chains no ended open has a claim to. */
static unsigned int unclaimed_chains(struct port *port)
{
	int waiting = port->tx->ring ? ring_waiting(port->tx->ring) : 0;
	struct list *link;

	list_for_each(link, &port->classic.opens)
		waiting -= list_entry(link, struct classic_open, link)->chains_left;
	return waiting > 0 ? waiting : 0;
}

static void end_current(struct port *port)
{
	struct classic_open *open = port->classic.current;

	if (!open)
		return;
	open->chains_left = unclaimed_chains(port);
	open->is_ended = true;
	port->classic.current = NULL;
	/* Nothing came of it. One that is discarding may be what serve_tx() works on. */
	if (!open->chains_left && !open->channel && !open->is_discarding) {
		list_del(&open->link);
		free(open);
		return;
	}
	if (open->channel && open->channel->channel.phase == CHANNEL_CONNECTED) {
		close_linger(&open->channel->channel, OFFSET_NONE);	/* known when it retires */
		classic_look(open->channel);
	}
	queue_defer(port->tx);
}

static void retire(struct classic_open *open)
{
	struct classic_channel *channel = open->channel;

	open->port->classic.tx_skip = 0;
	list_del(&open->link);
	free(open);
	if (!channel)
		return;
	channel->open = NULL;
	/* If it is still connecting, reached() closes it. */
	close_at_offset(&channel->channel, channel->channel.out.offset);
	classic_look(channel);
}

/* An empty ring has no chains of theirs: one that began again has lost them. */
void classic_retire(struct port *port)
{
	struct classic_open *open;

	while ((open = list_first(&port->classic.opens, struct classic_open, link)) &&
	       open->is_ended && (!open->chains_left || !ring_waiting(port->tx->ring)))
		retire(open);
}

/* --- Channels of opens --------------------------------------------------- */

static struct classic_channel *classic_of(struct channel *ch)
{
	return container_of(ch, struct classic_channel, channel);
}

static void changed(struct channel *ch)
{
	struct classic_channel *channel = classic_of(ch);
	struct port *port = channel->port;

	classic_look(channel);
	if (!channel->open)
		return;
	queue_serve(port->rx);
	queue_serve(port->tx);
}

struct classic_channel *classic_add_channel(struct port *port, struct classic_open *open,
					    const struct mp_opener *opener)
{
	struct classic_channel *channel = calloc(1, sizeof(*channel));

	if (!channel)
		return NULL;
	channel_init(&channel->channel, &port->device->core, changed, &port->config.gate, opener);
	channel->port = port;
	channel->open = open;
	if (open)
		open->channel = channel;
	list_init(&channel->member);
	list_add_tail(&port->classic.channels, &channel->member);
	port->classic.channel_count++;
	return channel;
}

struct classic_channel *classic_create_channel(struct classic_open *open)
{
	struct port *port = open->port;
	/* The stock driver does not say who opened the node. */
	const struct mp_opener opener = {
		.uid = UINT32_MAX, .gid = UINT32_MAX, .pid = UINT32_MAX,
		.generation = ++port->classic.generation,
	};
	struct classic_channel *channel = classic_add_channel(port, open, &opener);

	if (channel)
		channel->channel.is_patient = true;
	return channel;
}

static void open_fixed(struct port *port, bool later)
{
	struct classic_channel *channel;
	struct classic_open *open;

	port->classic.waits_for_place = port->classic.channel_count >= port->config.max_channels;
	if (port->classic.waits_for_place)
		return;		/* a channel that is over comes back here */
	open = classic_begin_open(port);
	channel = open ? classic_create_channel(open) : NULL;
	if (open && !channel)
		open->is_discarding = true;
	if (!channel) {
		log_limited_here(LOG_LEVEL_ERROR, "%s: port %s: out of memory",
				 port->device->config.core.guest, port->config.gate.name);
		return;
	}
	if (later)
		connect_later(&channel->channel);
	else
		connect_begin(&channel->channel, "", 0);
	classic_look(channel);
}

/* The service of the current open ended or failed, or there is none. */
void classic_lose_service(struct port *port)
{
	set_host_open(port, false);
	if (!port->config.gate.is_fixed)
		return;		/* the guest sees the end and closes */
	end_current(port);
	open_fixed(port, true);
}

/* The channel has no service any more, or none yet: it is dropped, and its open stays. */
static void gone(struct classic_channel *channel)
{
	struct classic_open *open = channel->open;
	struct port *port = channel->port;

	channel->open = NULL;
	list_del(&channel->member);
	port->classic.channel_count--;
	channel_drop(&channel->channel);
	if (port->classic.waits_for_place)
		open_fixed(port, true);
	if (!open)
		return;
	open->channel = NULL;
	open->is_discarding = true;
	if (open == port->classic.current)
		classic_lose_service(port);
	queue_defer(port->tx);
}

static void reached(struct classic_channel *channel)
{
	struct classic_open *open = channel->open;
	struct port *port = channel->port;

	channel->is_reached = true;
	if (!open)
		close_linger(&channel->channel, channel->channel.out.offset);
	else if (open->is_ended)
		close_linger(&channel->channel, OFFSET_NONE);
	else if (port->config.gate.is_fixed)
		set_host_open(port, true);
	queue_defer(port->rx);
	queue_defer(port->tx);
}

void classic_look(struct classic_channel *channel)
{
	if (!list_is_linked(&channel->member))
		return;		/* gone already */
	if (channel->channel.phase == CHANNEL_CONNECTED && !channel->is_reached)
		reached(channel);
	if (channel_is_over(&channel->channel))
		gone(channel);
}

/* --- Control --------------------------------------------------------------- */

/* A process that slept in a read is to be told of its session's end before there is another one. */
void classic_start(struct port *port)
{
	if (port->config.gate.is_fixed)
		open_fixed(port, port->device->kept->resumed);
	else
		set_host_open(port, true);
}

/* What lies in the ring belongs to that open, or to those before it, and is thrown away. */
void classic_adopt(struct port *port)
{
	struct classic_open *open = classic_begin_open(port);

	if (open)
		open->is_discarding = true;
	port_say(port, PORT_DUE_OPEN);
	if (port->config.gate.is_fixed) {
		classic_lose_service(port);
	} else if (!port->kept->guest_open) {
		end_current(port);
		set_host_open(port, true);
	}
}

static void guest_opened(struct port *port)
{
	if (!port->config.gate.is_fixed && !classic_begin_open(port))
		set_host_open(port, false);
	queue_defer(port->rx);
	queue_defer(port->tx);
}

static void guest_closed(struct port *port)
{
	struct classic_open *open = port->classic.current;

	if (!port->config.gate.is_fixed) {
		end_current(port);
		set_host_open(port, true);
		return;
	}
	/* Every open of the guest is a session of its own; one that waits can wait on. */
	if (!open || !open->channel || open->channel->channel.phase != CHANNEL_CONNECTED)
		return;
	set_host_open(port, false);
	end_current(port);
	open_fixed(port, false);
}

void classic_set_guest_open(struct port *port, bool is_open)
{
	if (port->kept->guest_open == is_open)
		return;
	port->kept->guest_open = is_open;
	if (is_open)
		guest_opened(port);
	else
		guest_closed(port);
}

void classic_reset(struct port *port, enum mp_end how)
{
	struct classic *classic = &port->classic;
	struct list *link;

	while ((link = list_pop(&classic->opens)))
		free(list_entry(link, struct classic_open, link));
	classic->current = NULL;
	while ((link = list_pop(&classic->channels)))
		channel_leave(&list_entry(link, struct classic_channel, member)->channel, how);
	classic->channel_count = 0;
	classic->tx_skip = 0;
	port->kept->guest_open = false;
	classic->host_open = false;
	classic->waits_for_place = false;
}
