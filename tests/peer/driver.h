/* SPDX-License-Identifier: MIT */
/*
 * A small honest driver on top of the peer: enough of docs/protocol.md to
 * be served, one request at a time. Attacks start from it, and after each attack it
 * proves that the daemon still serves.
 */
#ifndef PEER_DRIVER_H
#define PEER_DRIVER_H

#include <manyport/wire.h>

#include "peer.h"

#define DRIVER_MAX_SLOTS 16384
#define DRIVER_BUFFER	 65536		/* payload of one request at most */
#define DRIVER_CONTROL_SIZE 512
#define DRIVER_EVENTS	 32		/* event buffers */

struct driver_channel {
	uint32_t generation;
	uint32_t seq;
	uint16_t bits, reason;
};

struct driver {
	struct peer *peer;
	uint32_t port;
	struct peer_queue *rx, *tx, *control_rx, *control_tx;
	uint32_t max_channels;		/* of the port, from PORT_MODE */
	uint32_t max_io;
	bool has_port, has_name;	/* PORT_ADD, PORT_NAME came */
	uint32_t generation;		/* the last one used */
	struct driver_channel channels[DRIVER_MAX_SLOTS];

	/* Offsets in memory: of control messages, of a request and its parts. */
	uint32_t control, request, result, out, in;
	uint32_t control_buffers[PEER_RING_SIZE];	/* by head */
	uint32_t event_buffers[PEER_RING_SIZE];		/* by head; 0: not one */
	bool may_end;			/* an end or a broken device is a success: exits */
	bool keep_events;		/* give event buffers back (the default) */
	int parked;			/* head of a parked read, or -1 */
	bool parked_is_back;
	uint32_t parked_result, parked_in;
	uint16_t park_flags;		/* of the READs that driver_park() sends */
	/*
	 * The version that HELLO says; 0: 1. With survives, another daemon may take the device
	 * over: waits answer what it says then, and end.
	 */
	uint16_t version;
	bool survives, was_removed;
	unsigned int lives;		/* how often one did, and said so */
};

/* Begins with a fresh connection; @without: virtio features. */
struct driver *driver_open(const char *path, uint32_t port);

/* Makes one more step to a port that works. Returns false when there is none left. */
bool driver_step(struct driver *driver, unsigned int step);
/* All steps. */
void driver_start(struct driver *driver);

/* The same without MULTI_OPEN: the port is open, as today's virtio-serial port. */
void driver_start_classic(struct driver *driver);

/* Stops all queues and sets them up empty, as after a guest's reboot. */
void driver_stop(struct driver *driver);
/* As above, and starts again up to a port that works. */
void driver_restart(struct driver *driver);

/* A request on the transmit queue, whatever it says, and its result. */
struct driver_request {
	struct mp_request header;
	const void *out;
	uint32_t out_len;
	uint32_t in_len;
};
/* Returns the status; driver_result() has the result, driver_in() the bytes. */
uint32_t driver_submit(struct driver *driver, const struct driver_request *request);
const struct mp_result *driver_result(const struct driver *driver);
const uint8_t *driver_in(const struct driver *driver);

/* Well-formed requests. @generation 0: the channel's. Return the status. */
uint32_t driver_connect(struct driver *driver, uint32_t slot, const char *name);
uint32_t driver_write(struct driver *driver, uint32_t slot, uint64_t offset, const void *buf,
		      uint32_t len);
uint32_t driver_read(struct driver *driver, uint32_t slot, uint64_t offset, uint32_t len);
uint32_t driver_simple(struct driver *driver, enum mp_op op, uint32_t slot, uint16_t flags,
		       uint64_t offset);
/* Parks a read. */
void driver_park(struct driver *driver, uint32_t slot, uint64_t offset, uint32_t len);

/* Adds @count event buffers. */
void driver_add_events(struct driver *driver, unsigned int count);
/* Takes what came on the receive queue. Returns how much. */
int driver_take_events(struct driver *driver);
/* Answers what the device says on its own. */
void driver_take_control(struct driver *driver);
/* Waits until one of @bits is set in the state of @slot. */
void driver_wait(struct driver *driver, uint32_t slot, uint16_t bits);

/* Connects @slot to "echo", sends @len bytes through it, ends and closes it. */
void driver_echo(struct driver *driver, uint32_t slot, uint32_t len);
/* The first half of it: a channel that is connected. */
void driver_open_channel(struct driver *driver, uint32_t slot, const char *name);
/* Is the device of this very session still in order? */
void driver_expect_alive(struct driver *driver);

/* The device does not answer. Where may_end is set the attack is over, else it has failed. */
void driver_lost(struct driver *driver, const char *what);

/* A control message, at once. */
void driver_control(struct driver *driver, uint32_t id, uint16_t event, uint16_t value,
		    const void *payload, uint32_t len);

#endif
