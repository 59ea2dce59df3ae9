// SPDX-License-Identifier: MIT
/*
 * A port under a driver without MULTI_OPEN: today's virtio-serial port
 * [protocol.md 13].
 *
 * The driver's PORT_OPEN 1 begins an open, its PORT_OPEN 0 ends it. Opens queue
 * up: the oldest takes the chains of the transmit queue, an ended one exactly those
 * that were visible at its end [protocol.md 13.2]. An open that has taken its
 * chains leaves; its channel goes on alone until it is closed (close.c). On a fixed
 * port there is always one that has not ended, and it is connected before the guest
 * opens, because PORT_OPEN follows the service [protocol.md 13.3].
 *
 * No chain is held. One that cannot be filled, or not be written as a whole, is
 * untaken, with the bytes that are done in tx_skip; so a buffer never comes
 * back empty, which the driver would read as an end, and a full service makes
 * the ring full. Whatever stops a queue serves it again when it is over:
 * readable(), writable(), connected, an open that ends, PORT_OPEN.
 *
 * Bounds: an ended open without chains leaves at once, so there are never more than
 * chains in the ring; channels are bounded as channels of the port.
 */
#include <stdlib.h>

#include "device/classic.h"

/* --- Opens --------------------------------------------------------------- */

static void set_host_open(struct port *port, bool is_open)
{
	port->classic.host_open = is_open;
	if (port->classic.told_open != is_open)
		control_due(port, PORT_DUE_OPEN);
}

static struct classic_open *begin_open(struct port *port)
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
	if (open->channel && open->channel->phase == CHANNEL_CONNECTED)
		close_begin(open->channel, OFFSET_NONE);	/* known when it retires */
	queue_defer(port->tx);
}

/* An ended open whose chains have all been taken. */
void classic_retire(struct classic_open *open)
{
	struct channel *ch = open->channel;

	open->port->classic.tx_skip = 0;
	list_del(&open->link);
	free(open);
	if (!ch)
		return;
	ch->open = NULL;
	if (ch->phase != CHANNEL_CLOSING)
		return;		/* still connecting: classic_connected() closes it */
	ch->out_final = ch->out_offset;
	close_advance(ch);
}

/* --- Channels of opens --------------------------------------------------- */

struct channel *classic_create_channel(struct classic_open *open)
{
	struct port *port = open->port;
	struct channel *ch = channel_create(port, 0, ++port->classic.generation);

	if (!ch)
		return NULL;
	/* The stock driver does not say who opened the node. */
	ch->uid = ch->gid = ch->pid = UINT32_MAX;
	ch->open = open;
	open->channel = ch;
	list_add_tail(&port->classic.channels, &ch->member);
	port->classic.channel_count++;
	return ch;
}

static void open_fixed(struct port *port, bool later)
{
	struct classic_open *open = begin_open(port);
	struct channel *ch = open ? classic_create_channel(open) : NULL;

	if (open && !ch)
		open->is_discarding = true;
	if (ch && later)
		connect_later(ch);
	else if (ch)
		connect_begin(ch, "", 0);
	else
		log_limited_here(LOG_LEVEL_ERROR, "%s: port %s: out of memory",
			    port->device->config.guest, port->config.name);
}

/* The service of the current open ended or failed, or there is none. */
void classic_lose_service(struct port *port)
{
	set_host_open(port, false);
	if (port->config.kind != MP_PORT_FIXED)
		return;		/* the guest sees the end and closes */
	end_current(port);
	open_fixed(port, true);
}

void classic_gone(struct channel *ch)
{
	struct classic_open *open = ch->open;
	struct port *port = ch->port;

	ch->open = NULL;
	list_del(&ch->member);
	list_add_tail(&port->device->dead, &ch->member);
	port->classic.channel_count--;
	if (!open)
		return;
	open->channel = NULL;
	open->is_discarding = true;
	if (open == port->classic.current)
		classic_lose_service(port);
	queue_defer(port->tx);
}

void classic_connected(struct channel *ch)
{
	struct classic_open *open = ch->open;
	struct port *port = ch->port;

	if (!open)
		close_begin(ch, ch->out_offset);
	else if (open->is_ended)
		close_begin(ch, OFFSET_NONE);
	else if (port->config.kind == MP_PORT_FIXED)
		set_host_open(port, true);
	queue_defer(port->rx);
	queue_defer(port->tx);
}

/* --- Control --------------------------------------------------------------- */

void classic_start(struct port *port)
{
	if (port->config.kind == MP_PORT_FIXED)
		open_fixed(port, false);
	else
		set_host_open(port, true);
}

static void guest_opened(struct port *port)
{
	if (port->config.kind != MP_PORT_FIXED && !begin_open(port))
		set_host_open(port, false);
	queue_defer(port->rx);
	queue_defer(port->tx);
}

static void guest_closed(struct port *port)
{
	struct classic_open *open = port->classic.current;

	if (port->config.kind != MP_PORT_FIXED) {
		end_current(port);
		set_host_open(port, true);
		return;
	}
	/* Every open of the guest is a session of its own; one that waits can wait on. */
	if (!open || !open->channel || open->channel->phase != CHANNEL_CONNECTED)
		return;
	set_host_open(port, false);
	end_current(port);
	open_fixed(port, false);
}

void classic_set_guest_open(struct port *port, bool is_open)
{
	if (port->classic.guest_open == is_open)
		return;
	port->classic.guest_open = is_open;
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
	while (!list_is_empty(&classic->channels))
		channel_leave(list_first(&classic->channels, struct channel, member), how);
	classic->channel_count = 0;
	classic->tx_skip = 0;
	classic->guest_open = false;
	classic->host_open = false;
	classic->told_open = false;
}
