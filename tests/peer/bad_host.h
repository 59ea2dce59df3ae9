/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user back end that keeps the protocol until it is told to lie.
 *
 * bad_host_device.c implements device/device.h, and so stands in for the device core below the
 * session code of the daemon: a small honest device, with hooks. Port 0 is always honest: there
 * the guest's program names what it wants as a service (see bad_host_device.c). Port 1
 * (multi-open) and port 2 (fixed) are the victims. Their services are "data", which has a
 * pattern without end and takes nothing but that, and "quiet", which neither gives nor takes.
 */
#ifndef PEER_BAD_HOST_H
#define PEER_BAD_HOST_H

#include <linux/virtio_console.h>
#include <linux/virtio_ring.h>

#include <manyport/wire.h>
#include <manyport/wire_check.h>

#include "device/device.h"
#include "loop/loop.h"

#define PORTS	    31			/* as many as User Mode Linux has queues for */
#define CONTROL	    0			/* port */
#define VICTIM	    1
#define FIXED	    2
#define USED_PORTS  3
#define SLOTS	    256
#define CONTROL_RX  2			/* queues */
#define CONTROL_TX  3
#define QUEUES	    (2 * (PORTS + 1))
#define PARK_SEGMENTS 24
#define HELD	    512

struct channel {
	uint32_t generation;		/* 0: free */
	bool is_quiet;
	struct mp_state_host { uint32_t seq; uint16_t bits, reason; } state;
	uint64_t in_offset, out_offset;
	bool is_parked;			/* chain and request of the READ: */
	uint16_t parked_head;
	uint16_t parked_writable;
	struct ring_segment parked[PARK_SEGMENTS];
	struct mp_request request;
};

struct event_buf {
	uint16_t head;
	gpa_t addr;
};

struct port {
	uint32_t id;
	bool is_ready;
	struct channel channels[SLOTS];
	struct event_buf events[SLOTS];
	unsigned int event_count;
};

/* One answer on its way, to be spoilt. */
struct answer {
	struct device *device;
	struct port *port;
	unsigned int queue;
	struct channel *channel;	/* or NULL */
	uint16_t op, head;
	gpa_t addr;			/* where the result goes */
	struct mp_request request;
	struct mp_result result;
	uint32_t used;
	bool is_withheld;
};

struct attack {
	const char *name;
	/* Each may be NULL. */
	void (*answer)(struct answer *answer);		/* for the victims' answers */
	void (*given)(struct answer *answer);		/* it was made visible */
	void (*tick)(struct device *device);		/* about once a millisecond */
	void (*events)(struct device *device, struct port *port);	/* there are buffers */
	bool (*kick)(struct device *device, unsigned int queue);	/* true: not heard */
	bool (*message)(struct device *device, uint16_t head);	/* from the driver: true: kept */
	void (*start)(struct device *device);		/* in place of HELLO */
	void (*hello)(struct device *device);		/* in place of the ports, after HELLO */
};

/* In each file of attacks; ended by a NULL name. */
extern const struct attack attacks_results[], attacks_states[], attacks_rings[],
	attacks_control[], attacks_answers[], attacks_fault[];

/* A message to the driver that waits for a buffer. */
struct bad_message {
	size_t len;
	uint8_t data[600];
};
#define MESSAGES 256

struct held_answer {
	unsigned int queue;
	struct answer answer;
};

struct device {
	struct device_env env;
	struct ring *rings[QUEUES];
	struct port ports[USED_PORTS];
	struct bad_message messages[MESSAGES];
	unsigned int message_first, message_count;
	const struct attack *attack;	/* that is made now, or NULL */
	const struct attack *next_life;	/* that is to be made at the next start, or NULL */
	uint32_t max_ports;		/* said once; 0: the truth */
	bool lie_about_ports;
	unsigned int hits, wanted;
	uint64_t random;
	unsigned int unheard;		/* the victim's queue whose kick was not heard; 0: none */
	uint16_t bye;			/* number of the newest BYE to the driver */
	bool bye_is_out;		/* and there was no answer */
	struct held_answer held[HELD];
	unsigned int held_count;
	unsigned int step;		/* of the attack, for its own use */
};

/* bad_host_device.c: what attacks are made of. */
const struct attack *attack_find(const char *name, unsigned int *hits, int *how);
uint32_t device_random(struct device *device);
struct ring *device_rx(struct device *device, const struct port *port);
struct ring *device_tx(struct device *device, const struct port *port);
void device_publish(struct device *device, unsigned int queue);
/* The time at which device_tick() is wanted, or UINT64_MAX: the attack's. */
uint64_t device_deadline(const struct device *device);
void device_tick(struct device *device);
/* Queues a message to the driver. False: there are too many. */
bool device_send(struct device *device, uint32_t id, uint16_t event, uint16_t value,
		 const void *payload, size_t len);
/* BYE of the device, with the next number. */
void device_send_bye(struct device *device);
void device_send_hello(struct device *device, uint32_t max_channels, uint32_t max_io,
		       uint32_t max_segments);
void device_send_mode(struct device *device, uint32_t id, uint16_t kind, uint32_t max_channels);
void device_send_ports(struct device *device);
/* Takes one event buffer of @port. @used: as the used ring says. False: there is none. */
bool device_event(struct device *device, struct port *port, uint32_t slot, uint32_t generation,
		  struct mp_state_host state, uint32_t used, gpa_t *addr);
void answer_give(struct answer *answer);
bool answer_is_data(const struct answer *answer);
/* An entry of the used ring, whatever it says. */
void ring_give_raw(struct ring *ring, uint32_t id, uint32_t len);
void device_give_held(struct device *device);

#endif
