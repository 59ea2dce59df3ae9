/* SPDX-License-Identifier: MIT */
/*
 * A channel of a port whose driver knows MULTI_OPEN: the core's channel, in the slot that the
 * driver chose, with its level state numbered [protocol.md 4.1, 7.1].
 */
#ifndef HOST_DEVICE_SLOT_H
#define HOST_DEVICE_SLOT_H

#include "device/port.h"

struct slot {
	struct channel channel;
	struct port *port;
	struct held *parked;		/* implies that the in half is armed */
	struct list owed;		/* in port->owed */
	uint32_t seq;
	uint16_t bits, reason;		/* the level state as last numbered */
	uint16_t told_bits;		/* as last delivered */
	bool is_doubtful;		/* its driver may have lost it with the daemon before */
};

_Static_assert(!offsetof(struct slot, channel), "the core frees it");

static inline struct slot *slot_of(struct channel *ch)
{
	return container_of(ch, struct slot, channel);
}

/*
 * The channel of the slot that opener->channel names, which is free and below max_channels. NULL
 * without memory.
 */
struct slot *slot_create(struct port *port, const struct mp_opener *opener,
			 void (*changed)(struct channel *ch));
/* The guest, or the device, goes: channel_leave(). */
void slot_leave(struct slot *slot, enum mp_end how);
/* Numbers the state if it differs from the last one; then it is owed. */
void slot_refresh(struct slot *slot);
void slot_get_state(const struct slot *slot, struct mp_state *state);
/* The state was delivered: nothing is owed. A closed channel's slot is free from now on. */
void slot_delivered(struct slot *slot);
/* @held, a READ of the receive queue, waits for bytes. */
void slot_park(struct slot *slot, struct held *held);
/* Takes the parked READ out, to be answered or freed; NULL when there is none. */
struct held *slot_unpark(struct slot *slot);
/* Writes, or reads, all slots of @port, and which states are owed (record.h). */
void slot_hand_over_all(struct port *port, void (*changed)(struct channel *ch),
			struct record *record);

#endif
