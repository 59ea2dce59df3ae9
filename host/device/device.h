/* SPDX-License-Identifier: MIT */
/*
 * The device core: ports, channels and control messages of one guest.
 *
 * Knows rings, guest memory and services; knows no socket, no loop, no vhost.
 * Its owner (the vhost session in the daemon, a test) hands rings in,
 * forwards kicks, and provides the environment of config.h.
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

#include "device/config.h"
#include "ring/ring.h"

struct device;
struct record;

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

/*
 * Writes the device, whose rings have been stopped; or reads it into a new one with the same ports.
 * Where the record is bad afterwards that one is to be destroyed.
 */
void device_hand_over(struct device *device, struct record *record);

/*
 * Another daemon takes over: features are set, device_env.kept is what the one before has left, and
 * the rings that run are given by device_ring_adopt(), with what is out marked in them. Then
 * device_adopt() makes the driver's life go on: with its channels, if they were read before, else
 * without [protocol.md 10.9].
 */
void device_ring_adopt(struct device *device, unsigned int queue, struct ring *ring);
void device_adopt(struct device *device);

/* The driver made chains visible on @queue. */
void device_kick(struct device *device, unsigned int queue);

/*
 * For an owner that looks at the rings before it sleeps (is_polled): a queue
 * that was served wants no kicks until device_look() is told that the owner is going to @rest.
 * Returns true when there were chains in one, which have been dealt with; after a rest that
 * returns false each queue is kicked for again.
 */
bool device_look(struct device *device, bool rest);

/*
 * The core, whose work and time limits are its owner's to call: core_run() after env->wake(),
 * core_tick() at core_deadline().
 */
struct core *device_core(struct device *device);

/*
 * Every channel is gone, as if the guest had never been there. Bytes that services have taken still
 * reach them.
 */
void device_reset(struct device *device);

/* A ring or the driver broke a rule that costs the device [protocol.md 10.7]. */
bool device_is_broken(const struct device *device);

void device_get_stats(const struct device *device, struct device_stats *stats);

#endif
