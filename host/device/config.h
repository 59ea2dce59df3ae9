/* SPDX-License-Identifier: MIT */
/* What a device is made of, what it needs of its owner, and what it counts. */
#ifndef HOST_DEVICE_CONFIG_H
#define HOST_DEVICE_CONFIG_H

#include <manyport/service.h>

#include "channel/core.h"

/* Which virtio device carries the queues [protocol.md 2]. */
enum device_binding {
	DEVICE_CONSOLE,		/* type 3, known by its feature bit */
	DEVICE_FS,		/* type 26, known by its tag and by HELLO [protocol.md 11.7] */
};

struct device_kept;

struct device_port_config {
	struct gate gate;		/* without a name: the port id is not used */
	uint32_t max_channels;
};

/*
 * The device copies the structures; what they point to must outlive it. Limits are those of the
 * wire: 1 to MP_MAX_CHANNELS channels, 4096 to MP_MAX_IO bytes.
 */
struct device_config {
	struct core_config core;
	enum device_binding binding;
	unsigned int port_count;	/* ids 0 to port_count - 1 */
	const struct device_port_config *ports;
	/*
	 * 0: as many as the ports need. Else those of a front end that a daemon before this one
	 * had, whose ports were others, perhaps: one whose queues are not among them is not there.
	 */
	unsigned int queue_count;
	uint32_t max_io;		/* bytes per request */
	uint32_t linger_ms;		/* for HELLO: each service has its own */
	bool is_polled;			/* its owner calls device_look() before it sleeps */
};

/*
 * What the device needs of its surroundings. All calls from the loop thread.
 *
 * admit() is asked for FIXED ports too, with the port's service_name; the opener's uid is
 * UINT32_MAX, not known, under a driver that does not say it.
 */
struct device_env {
	struct core_env core;
	/* The ring of queue @queue has used entries the driver wants to know of. */
	void (*call)(void *context, unsigned int queue);
	/* Or NULL. Zeroed, or what a daemon before this one has left: device_adopt(). */
	struct device_kept *kept;
};

struct device_stats {
	uint64_t requests, results;
	uint32_t parked, owed;			/* now */
	struct core_stats core;
};

#endif
