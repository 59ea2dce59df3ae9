/* SPDX-License-Identifier: MIT */
/* A port: its channels by slot, the event buffers that it may fill, what is due for it. */
#ifndef HOST_DEVICE_PORT_H
#define HOST_DEVICE_PORT_H

#include "channel/channel.h"
#include "device/queue.h"

/* Chains that wait with the device: guest addresses, translated again at use. */
struct held {
	struct list link;		/* an event buffer: in port->events */
	uint16_t head;
	uint16_t descriptors;		/* of the ring: what it counts for */
	uint16_t count;			/* segments, all writable */
	uint16_t flags;			/* of a parked READ */
	struct ring_segment segments[];
};

static inline struct segments port_held(const struct held *held)
{
	return (struct segments){ held->segments, held->count };
}

struct slot;

/* In kept->ready. */
enum port_ready {
	PORT_ABSENT,
	PORT_READY,			/* PORT_READY 1 has come [protocol.md 3.3] */
	PORT_REMOVED,			/* the driver may have it, and is to remove it [10.9] */
};

/* Control messages that are due for a port, in the order in which they go. */
enum port_due {
	PORT_DUE_REMOVE	= 1,
	PORT_DUE_MODE	= 2,
	PORT_DUE_ADD	= 4,
	PORT_DUE_NAME	= 8,
	PORT_DUE_OPEN	= 16,
	PORT_DUE_ALL	= 31,
};

/* Only used without MULTI_OPEN; owned by classic.c. */
struct classic {
	struct list opens;		/* oldest first: the first gets the next tx chain */
	struct classic_open *current;	/* not ended; the last of opens, or NULL */
	struct list channels;		/* all of the port, also without an open */
	uint32_t channel_count;
	uint32_t generation;		/* of the last channel: only for the log */
	uint64_t tx_skip;		/* bytes already taken of the next tx chain */
	bool host_open;			/* what PORT_OPEN says */
	bool waits_for_place;		/* fixed: no open, as too many channels still close */
};

struct port {
	struct device *device;
	uint32_t id;
	struct device_port_config config;
	struct queue *rx, *tx;
	struct device_kept_port *kept;	/* whether it is ready, and open */
	bool is_gone;			/* only the driver knows it: to be removed */
	bool is_lost;			/* taken over, and the driver has not let go of it yet */
	bool is_removed;		/* taken over by PORT_REMOVE: each PORT_READY begins it */
	unsigned int due;		/* enum port_due */
	struct list due_link;		/* in device->due */
	struct slot **slots;		/* by number, config.max_channels of them; NULL: free */
	uint32_t slot_count;		/* not free */
	struct list owed;		/* slots, in the order in which they came to be owed */
	struct list events;		/* event buffers, oldest first */
	unsigned int parked;		/* descriptors of parked reads [protocol.md 6.5] */
	unsigned int rx_first;		/* chains of rx that go before the next of tx: request.c */
	/* Chains of tx that are older than the driver's port, or than the device's BYE. */
	unsigned int tx_old;
	bool is_tx_unseen;		/* lost while tx stood: they are counted when it starts */
	/* Chains of tx that were there when BYE was answered: some may be older than the answer. */
	uint32_t tx_doubtful;
	struct classic classic;
};

/* May its queues be served? */
static inline bool port_is_served(const struct port *port)
{
	return (port->kept->ready == PORT_READY || port->is_gone) && !port->is_lost;
}

static inline bool port_is_ready(const struct port *port)
{
	return port->kept->ready == PORT_READY;
}

struct port *port_create(struct device *device, uint32_t id,
			 const struct device_port_config *config);
/* life_reset_port() has been called. */
void port_destroy(struct port *port);
/* The channel in slot @number, of any generation, or NULL. */
struct slot *port_slot(const struct port *port, uint32_t number);
/* @slot is in the free slot @number from now on; NULL: the slot is free again. */
void port_set_slot(struct port *port, uint32_t number, struct slot *slot);
/* It has @max slots, none of which is used. Returns false without memory. */
bool port_resize(struct port *port, uint32_t max);
/* Keeps what a chain has to be written; NULL without memory. @flags: of a READ. */
struct held *port_hold(const struct ring_chain *chain, uint16_t flags);
/* Keeps an event buffer. */
void port_keep_event(struct port *port, const struct ring_chain *chain);
/* These control messages are sent when the entry settles (enum port_due). */
void port_say(struct port *port, unsigned int due);

#endif
