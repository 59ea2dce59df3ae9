/* SPDX-License-Identifier: MIT */
/*
 * A device core that only keeps a record, for tests of what lies around it. Defines
 * everything of device/device.h, so the real one is not linked.
 */
#ifndef TESTS_FAKE_DEVICE_H
#define TESTS_FAKE_DEVICE_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "device/device.h"

#define FAKE_QUEUES 6
#define FAKE_FEATURES ((UINT64_C(1) << VIRTIO_F_VERSION_1) | (1 << VIRTIO_RING_F_EVENT_IDX) | \
		       (1 << VIRTIO_RING_F_INDIRECT_DESC) | (UINT64_C(1) << MP_F_MULTI_OPEN) | 2)

struct device {
	uint64_t features;
	bool broken;
	unsigned int resets, adopted;
	struct {
		struct ring *ring;		/* while started */
		unsigned int starts, stops, kicks;
		uint16_t base;			/* of the last start */
		unsigned int chains;		/* taken and given back */
		bool hold;			/* take one, give it back when stopped */
		int held;
	} queues[FAKE_QUEUES];
	/* Called at the end of every device_kick(). */
	void (*on_kick)(struct device *device, unsigned int queue);
};

unsigned int device_queue_count(const struct device *device)
{
	(void)device;
	return FAKE_QUEUES;
}

uint64_t device_features(const struct device *device)
{
	(void)device;
	return FAKE_FEATURES;
}

void device_set_features(struct device *device, uint64_t features)
{
	device->features = features;
}

bool device_has_config(const struct device *device)
{
	(void)device;
	return true;
}

void device_read_config(const struct device *device, uint32_t offset, void *buf, size_t len)
{
	uint8_t *out = buf;

	(void)device;
	for (size_t i = 0; i < len; i++)
		out[i] = offset + i < DEVICE_CONFIG_SIZE ? 0xc0 + offset + i : 0;
}

void device_ring_start(struct device *device, unsigned int queue, struct ring *ring)
{
	device->queues[queue].ring = ring;
	device->queues[queue].starts++;
	device->queues[queue].base = ring->last_avail;
	device->queues[queue].held = -1;
}

void device_ring_stop(struct device *device, unsigned int queue)
{
	if (device->queues[queue].held >= 0) {
		ring_give(device->queues[queue].ring, device->queues[queue].held, 0);
		ring_publish(device->queues[queue].ring);
	}
	device->queues[queue].ring = NULL;
	device->queues[queue].stops++;
}

void device_kick(struct device *device, unsigned int queue)
{
	static struct ring_chain chain;
	struct ring *ring = device->queues[queue].ring;

	device->queues[queue].kicks++;
	while (ring && ring_take(ring, &chain) > 0) {
		if (device->queues[queue].hold) {
			device->queues[queue].held = chain.head;
			break;
		}
		ring_give(ring, chain.head, 0);
		device->queues[queue].chains++;
	}
	if (ring) {
		ring_publish(ring);
		device->broken |= ring->broken;
	}
	if (device->on_kick)
		device->on_kick(device, queue);
}

void device_ring_adopt(struct device *device, unsigned int queue, struct ring *ring)
{
	static struct ring_chain chain;

	device_ring_start(device, queue, ring);
	while (ring_next_out(ring, &chain) > 0)
		ring_give(ring, chain.head, 0);
	ring_publish(ring);
}

/* A test looks what was done before. */
static void (*fake_on_adopt)(void);

void device_adopt(struct device *device)
{
	device->adopted++;
	if (fake_on_adopt)
		fake_on_adopt();
}

void device_reset(struct device *device)
{
	device->resets++;
	device->broken = false;
	device->features = 0;
}

bool device_is_broken(const struct device *device)
{
	return device->broken;
}

#endif
