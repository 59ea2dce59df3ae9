// SPDX-License-Identifier: MIT
/* Slots and numbered states; see slot.h. */
#include <stdlib.h>

#include "base/record.h"
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

static void add_owed(struct slot *slot)
{
	if (list_is_linked(&slot->owed))
		return;
	list_add_tail(&slot->port->owed, &slot->owed);
	slot->port->device->stats.owed++;
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
	add_owed(slot);
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

/* --- Handing over ---------------------------------------------------------- */

#define FRAME_SLOT 0x534c		/* one slot */
#define FRAME_OWED 0x4f57		/* numbers of slots, in order */

/* @slot holds nothing of a ring. */
static void hand_over(struct slot *slot, struct record *record)
{
	record_u32(record, &slot->seq);
	record_u16(record, &slot->bits);
	record_u16(record, &slot->reason);
	record_u16(record, &slot->told_bits);
	channel_hand_over(&slot->channel, record);
	record_bool(record, &slot->is_doubtful);
}

static void save_all(struct port *port, struct record *record)
{
	struct list *link;

	for (uint32_t i = 0; i < port->config.max_channels; i++) {
		if (!port->slots[i])
			continue;
		record_begin(record, FRAME_SLOT);
		opener_hand_over(&port->slots[i]->channel.opener, record);
		hand_over(port->slots[i], record);
		record_end(record);
	}
	record_begin(record, FRAME_OWED);
	list_for_each(link, &port->owed)
		record_number(record, list_entry(link, struct slot, owed)->channel.opener.channel,
			      UINT32_MAX);
	record_end(record);
}

static void restore_slot(struct port *port, void (*changed)(struct channel *ch),
			 struct record *record)
{
	struct mp_opener opener = { 0 };
	struct slot *slot = NULL;

	opener_hand_over(&opener, record);
	if (opener.channel < port->config.max_channels && !port->slots[opener.channel])
		slot = slot_create(port, &opener, changed);
	if (slot)
		hand_over(slot, record);
	else
		record_spoil(record);
}

void slot_hand_over_all(struct port *port, void (*changed)(struct channel *ch),
			struct record *record)
{
	uint32_t number;

	if (!record_is_reading(record)) {
		save_all(port, record);
		return;
	}
	while (record_begin(record, FRAME_SLOT)) {
		restore_slot(port, changed, record);
		record_end(record);
	}
	if (!record_begin(record, FRAME_OWED))
		return;
	while ((number = record_number(record, UINT32_MAX, UINT32_MAX)) != UINT32_MAX)
		if (port_slot(port, number))
			add_owed(port->slots[number]);
	record_end(record);
	/* What the restart itself has changed is owed behind what was owed before. */
	for (uint32_t i = 0; i < port->config.max_channels; i++)
		if (port->slots[i])
			slot_refresh(port->slots[i]);
}
