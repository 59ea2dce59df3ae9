// SPDX-License-Identifier: MIT
/* Slots and numbered states; see slot.h. */
#include <stdlib.h>

#include "device/slot.h"

struct slot *slot_create(struct port *port, const struct mp_opener *opener,
			 void (*changed)(struct channel *ch))
{
	struct slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return NULL;
	slot->port = port;
	list_init(&slot->owed);
	port_set_slot(port, opener->channel, slot);
	channel_init(&slot->channel, &port->device->core, changed, &port->config.gate, opener);
	return slot;
}

void slot_park(struct slot *slot, struct held *held)
{
	slot->parked = held;
	slot->port->parked += held->descriptors;
	slot->port->device->stats.parked++;
}

struct held *slot_unpark(struct slot *slot)
{
	struct held *held = slot->parked;

	slot->parked = NULL;
	if (!held)
		return NULL;
	slot->port->parked -= held->descriptors;
	slot->port->device->stats.parked--;
	return held;
}

static void forget_owed(struct slot *slot)
{
	if (!list_is_linked(&slot->owed))
		return;
	list_del(&slot->owed);
	slot->port->device->stats.owed--;
}

/* From now on the driver may use the slot again; the record is in no list. */
static void vacate(struct slot *slot)
{
	free(slot_unpark(slot));
	forget_owed(slot);
	port_set_slot(slot->port, slot->channel.opener.channel, NULL);
}

void slot_leave(struct slot *slot, enum mp_end how)
{
	vacate(slot);
	channel_leave(&slot->channel, how);
}

/* --- Level state --------------------------------------------------------- */

/* An older driver does not know how a program can end [protocol.md 4.8]. */
static uint16_t reason_of(const struct slot *slot)
{
	uint16_t cause = slot->channel.cause;

	if (cause > MP_REASON_MAX && slot->port->device->kept->version < 2)
		return MP_REASON_RESET;
	return cause;
}

void slot_refresh(struct slot *slot)
{
	struct port *port = slot->port;
	uint16_t bits = channel_bits(&slot->channel, slot->bits), reason = MP_REASON_NONE;

	if (bits & (MP_ST_REFUSED | MP_ST_FAILED | MP_ST_CLOSED))
		reason = reason_of(slot);
	/* A record's first state has number 1: a driver begins with 0. */
	if (slot->seq && bits == slot->bits && reason == slot->reason)
		return;
	slot->bits = bits;
	slot->told_bits &= bits;	/* what was clear since is news again */
	slot->reason = reason;
	slot->seq++;
	if (list_is_linked(&slot->owed))
		return;
	list_add_tail(&port->owed, &slot->owed);
	port->device->stats.owed++;
}

void slot_get_state(const struct slot *slot, struct mp_state *state)
{
	state->seq = htole32(slot->seq);
	state->bits = htole16(slot->bits);
	state->reason = htole16(slot->reason);
}

void slot_delivered(struct slot *slot)
{
	forget_owed(slot);
	slot->told_bits = slot->bits;
	if (slot->channel.phase != CHANNEL_CLOSED)
		return;
	vacate(slot);
	channel_drop(&slot->channel);
}
