/* SPDX-License-Identifier: MIT */
/* A port under a driver without MULTI_OPEN: opens and their channels; see classic.c. */
#ifndef HOST_DEVICE_CLASSIC_H
#define HOST_DEVICE_CLASSIC_H

#include "device/port.h"

/* A prefix, a name and its end mark, CR LF at most. */
#define CLASSIC_NAME_SPACE (sizeof(MP_NAME_PREFIX) - 1 + MP_NAME_MAX + 2)

struct classic_channel {
	struct channel channel;
	struct port *port;
	struct classic_open *open;	/* whose chains it takes; NULL: they have all been taken */
	struct list member;		/* in port->classic.channels; else it is gone */
	bool is_reached;		/* that its service was reached has been dealt with */
};

_Static_assert(!offsetof(struct classic_channel, channel), "the core frees it");

struct classic_open {
	struct list link;		/* in classic.opens */
	struct port *port;
	struct classic_channel *channel;	/* NULL: not named yet, or gone */
	bool is_ended;
	bool is_discarding;		/* refused or gone: its bytes are thrown away */
	unsigned int chains_left;	/* ended: chains that are still its own */
	unsigned int name_len;		/* of what has come, without an end mark */
	char name[CLASSIC_NAME_SPACE];
};

void classic_start(struct port *port);		/* PORT_READY 1 */
void classic_adopt(struct port *port);		/* the open of a daemon before this one is over */
void classic_set_guest_open(struct port *port, bool is_open);
void classic_reset(struct port *port, enum mp_end how);

/* --- For classic_handover.c ------------------------------------------------- */

/* NULL without memory. */
struct classic_open *classic_begin_open(struct port *port);
/* @open: whose it is, or NULL. */
struct classic_channel *classic_add_channel(struct port *port, struct classic_open *open,
					    const struct mp_opener *opener);

/* --- classic_handover.c --------------------------------------------------- */

/* Writes, or reads, all opens of @port and their channels (record.h). */
void classic_hand_over(struct port *port, struct record *record);

/* --- For classic_ring.c ----------------------------------------------------- */

/* The channel of @open, unconnected, or NULL. */
struct classic_channel *classic_create_channel(struct classic_open *open);
/* Deals with what a call on @channel has made of it: reached, or gone. */
void classic_look(struct classic_channel *channel);
/* The service of the current open ended or failed, or there is none. */
void classic_lose_service(struct port *port);
/* Opens that have ended, and whose chains have all been taken, leave. */
void classic_retire(struct port *port);

/* --- classic_ring.c: the queues ------------------------------------------- */

/* The queue_handle of each of the two queues; classic_retire() before a pass of transmit. */
int classic_ring_send(struct queue *queue, const struct ring_chain *chain);
int classic_ring_fill(struct queue *queue, const struct ring_chain *chain);

#endif
