// SPDX-License-Identifier: MIT
/*
 * Used rings that lie about what was used. The driver's virtqueue code notices some
 * of this and stops that queue; what it believes must not harm.
 *
 * Where an entry makes the driver take a request for done that we still hold, we never
 * write to its memory afterwards: that would be a fault of ours, not of the driver.
 */
#include "bad_host.h"

/* Once the queue is in use: spoils it, on the answer to the 20th READ or WRITE. */
static struct ring *victim_ring(struct answer *answer)
{
	struct device *device = answer->device;

	if (!answer_is_data(answer) || device->step++ < 20)
		return NULL;
	device->hits++;
	return device->rings[answer->queue];
}

static void id_out_of_range(struct answer *answer)
{
	struct ring *ring = victim_ring(answer);

	if (ring)
		ring_give_raw(ring, ring->size, sizeof(struct mp_result));
}

static void id_huge(struct answer *answer)
{
	struct ring *ring = victim_ring(answer);

	if (ring)
		ring_give_raw(ring, UINT32_MAX, UINT32_MAX);
}

/* A descriptor that heads nothing. */
static void id_free(struct answer *answer)
{
	struct ring *ring = victim_ring(answer);

	for (uint32_t id = 0; ring && id < ring->size; id++) {
		if (id == answer->head || ring->out[id / 64] >> (id % 64) & 1)
			continue;
		ring_give_raw(ring, id, sizeof(struct mp_result));
		return;
	}
}

static void id_twice(struct answer *answer)
{
	struct ring *ring = victim_ring(answer);

	if (ring)
		ring_give_raw(ring, answer->head, answer->used);
}

/* A request that was not answered, in place of the one that was: this one is never. */
static void id_of_other(struct answer *answer)
{
	struct ring *ring = victim_ring(answer);

	for (uint32_t id = 0; ring && id < ring->size; id++) {
		if (id == answer->head || !(ring->out[id / 64] >> (id % 64) & 1))
			continue;
		answer->is_withheld = true;
		answer->device->held_count = 0;
		ring_give_raw(ring, id, answer->used);
		device_publish(answer->device, answer->queue);
		return;
	}
}

/* More entries than were made: the driver finds old ones there. */
static void idx_jump(struct answer *answer)
{
	struct ring *ring = victim_ring(answer);

	if (!ring)
		return;
	ring->used_idx += 100;
	ring->unpublished = true;
}

static void idx_back(struct answer *answer)
{
	struct ring *ring = victim_ring(answer);

	if (!ring)
		return;
	ring->used_idx -= 3;
	ring->unpublished = true;
}

/* As if there were always more. */
static void idx_run(struct device *device)
{
	for (unsigned int id = VICTIM; id <= FIXED; id++) {
		struct ring *ring = device_tx(device, &device->ports[id]);

		if (!ring || !device->ports[id].is_ready)
			continue;
		device->hits++;
		ring->used_idx += 32767;
		ring->unpublished = true;
		device_publish(device, 2 * id + 3);
	}
}

static void parked_twice(struct device *device)
{
	struct port *port = &device->ports[VICTIM];
	struct ring *ring = device_rx(device, port);

	for (int slot = 0; ring && slot < SLOTS; slot++) {
		struct channel *ch = &port->channels[slot];

		if (!ch->is_parked)
			continue;
		device->hits++;
		ch->is_parked = false;
		ring_give(ring, ch->parked_head, 0);
		ring_give_raw(ring, ch->parked_head, 0);
		device_publish(device, 2 * port->id + 2);
		return;
	}
}

/* --- The control queues ------------------------------------------------------ */

static void control_id_wild(struct device *device)
{
	for (unsigned int queue = CONTROL_RX; queue <= CONTROL_TX; queue++) {
		struct ring *ring = device->rings[queue];

		if (!ring)
			continue;
		ring_give_raw(ring, device->hits++ ? ring->size : 7, UINT32_MAX);
		device_publish(device, queue);
	}
}

/* A message that is longer than its buffer, or not as long as it says. */
static void control_len_wild(struct device *device)
{
	static const uint32_t lengths[] = { UINT32_MAX, 513, 512, 0, 1, 7, 8, 1U << 31 };
	struct ring *ring = device->rings[CONTROL_RX];
	static struct ring_chain chain;

	if (!ring || ring_take(ring, &chain) != 1)
		return;
	ring_give(ring, chain.head, lengths[device->hits++ % 8]);
	device_publish(device, CONTROL_RX);
}

/* Nothing that the driver sends is taken, BYE neither. */
static bool control_kept(struct device *device, uint16_t head)
{
	(void)head;
	device->hits++;
	return true;
}

/* There is something to be kept: the driver refuses each port of the classic kind. */
static void make_it_talk(struct device *device)
{
	device_send(device, USED_PORTS, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
}

/* BYE, and no queue that the answer could go to. */
static void bye_without_answer(struct device *device)
{
	struct ring *ring = device->rings[CONTROL_TX];

	if (device->hits || !ring)
		return;
	device->hits++;
	ring_give_raw(ring, ring->size, 0);
	device_publish(device, CONTROL_TX);
	device_send_bye(device);
}

const struct attack attacks_rings[] = {
	{ .name = "id_out_of_range", .answer = id_out_of_range },
	{ .name = "id_huge", .answer = id_huge },
	{ .name = "id_free", .answer = id_free },
	{ .name = "id_twice", .given = id_twice },
	{ .name = "id_of_other", .answer = id_of_other },
	{ .name = "idx_jump", .given = idx_jump },
	{ .name = "idx_back", .given = idx_back },
	{ .name = "idx_run", .tick = idx_run },
	{ .name = "parked_twice", .tick = parked_twice },
	{ .name = "ring_unbind", .answer = id_huge },
	{ .name = "control_id_wild", .tick = control_id_wild },
	{ .name = "control_len_wild", .tick = control_len_wild },
	{ .name = "control_kept", .message = control_kept, .tick = make_it_talk },
	{ .name = "bye_without_answer", .tick = bye_without_answer },
	{ .name = NULL },
};
