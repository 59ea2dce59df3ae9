/* SPDX-License-Identifier: MIT */
/*
 * The device core: ports, channels and control messages of one guest.
 *
 * Knows rings, guest memory and services; knows no socket, no loop, no vhost.
 * Whoever embeds it (the vhost session in the daemon, a test) hands rings in,
 * forwards kicks, and provides the environment below.
 *
 * Lifetime: create, then for each life of the guest: features, rings, kicks,
 * ring stops, reset. destroy() aborts every channel; after a reset no stream may be left that
 * keeps its place (service.h).
 */
#ifndef HOST_DEVICE_DEVICE_H
#define HOST_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <manyport/service.h>

#include "ring/ring.h"

struct device;

/* Which virtio device carries the queues [protocol.md 2]. */
enum device_binding {
	DEVICE_CONSOLE,		/* type 3, known by its feature bit */
	DEVICE_FS,		/* type 26, known by its tag and by HELLO [protocol.md 11.7] */
};

struct device_port_config {
	const char *name;		/* NULL: the port id is not used */
	enum mp_port_kind kind;		/* MULTI_OPEN or FIXED */
	struct mp_service *service;	/* FIXED: what it is tied to */
	const char *service_name;	/* FIXED: for the log and the opener */
	uint32_t max_channels;
};

/* The device copies the structures; what they point to must outlive it. */
struct device_config {
	const char *guest;		/* name of the guest, for the log */
	enum device_binding binding;
	unsigned int port_count;	/* ids 0 to port_count - 1 */
	const struct device_port_config *ports;
	uint32_t max_channels;		/* all ports together */
	uint32_t max_io;		/* bytes per request */
	uint32_t connect_ms;		/* time limit */
	uint32_t linger_ms;		/* for HELLO: each service has its own */
	bool access_log;		/* a line for each open and each end, without limit */
};

/* What the device needs of its surroundings. All calls from the loop thread. */
struct device_env {
	void *context;
	/* Milliseconds, monotonic. */
	uint64_t (*now)(void *context);
	/* Microseconds, monotonic, as they pass, while now() may be the time of a round. */
	uint64_t (*clock_us)(void *context);
	/* device_deadline() may be earlier than it was. */
	void (*rearm)(void *context);
	/* Call device_run() soon, from the loop, not from inside this call. */
	void (*wake)(void *context);
	/* The ring of queue @queue has used entries the driver wants to know of. */
	void (*call)(void *context, unsigned int queue);
	/*
	 * Policy: may @opener (service and argument filled in) have a channel to
	 * the service it names? Sets *service and returns MP_REASON_NONE, or
	 * says why not. *service_name then lives as long as the configuration.
	 * A channel that was let in is reported once by release(). Asked for FIXED
	 * ports too, with the port's service_name; uid is UINT32_MAX, not known,
	 * under a driver that does not say it.
	 */
	enum mp_reason (*admit)(void *context, const struct mp_opener *opener,
				struct mp_service **service, const char **service_name);
	void (*release)(void *context, struct mp_service *service, uint32_t uid);
};

struct device *device_create(const struct device_config *config, const struct device_env *env);
void device_destroy(struct device *device);	/* accepts NULL */

/* Queues that the device needs: 2 * (highest port id + 2). */
unsigned int device_queue_count(const struct device *device);

uint64_t device_features(const struct device *device);
void device_set_features(struct device *device, uint64_t features);

/* Is the configuration space the device's own? That of virtio-fs is the front end's. */
bool device_has_config(const struct device *device);
/* Copies @len bytes at @offset of the configuration space; zeroes beyond it. */
void device_read_config(const struct device *device, uint32_t offset, void *buf, size_t len);
#define DEVICE_CONFIG_SIZE 12

/*
 * @ring serves from now on / must not be touched from the return on. The stop gives
 * parked reads and event buffers back first [protocol.md 10.3]. A start of the
 * control transmit queue at base 0 resets [protocol.md 10.4].
 */
void device_ring_start(struct device *device, unsigned int queue, struct ring *ring);
void device_ring_stop(struct device *device, unsigned int queue);

/* The driver made chains visible on @queue. */
void device_kick(struct device *device, unsigned int queue);

/*
 * For an owner that looks at the rings before it sleeps. From device_set_polled() on a queue
 * that was served wants no kicks until device_rest(). Both return true when there were
 * chains, which have been dealt with; after a device_rest() that returns false each queue is
 * kicked for again.
 */
void device_set_polled(struct device *device);
bool device_look(struct device *device);
bool device_rest(struct device *device);

/* Does what was deferred by env->wake(). */
void device_run(struct device *device);

/* The time at which device_tick() is wanted, or UINT64_MAX. */
uint64_t device_deadline(const struct device *device);
void device_tick(struct device *device);

/*
 * Every channel is gone, as if the guest had never been there. Bytes that services have taken still
 * reach them.
 */
void device_reset(struct device *device);

/* A ring or the driver broke a rule that costs the device [protocol.md 10.7]. */
bool device_is_broken(const struct device *device);

struct device_stats {
	uint64_t requests, results, events, kicks, calls;
	uint64_t bytes_in, bytes_out;		/* to the guest, from the guest */
	uint64_t opened, refused, closed, aborted;
	uint32_t channels, parked, owed;	/* now */
};
void device_get_stats(const struct device *device, struct device_stats *stats);

#endif
