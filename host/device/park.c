// SPDX-License-Identifier: MIT
/*
 * Parked READs [protocol.md 6.5].
 *
 * A read is parked only while its in half is armed, and the stream's next report serves it before
 * any other request can read. So a parked read's offset is always the expected one. What is kept
 * are guest addresses, which are translated again when they are used.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/transfer.h"
#include "device/answer.h"
#include "device/park.h"

#define PARKED_IOVS (MP_PARK_SEGMENTS + MEM_MAX_REGIONS)

/* Half of the receive queue at most, so that events and fetches have room [protocol.md 6.5]. */
int park_request(struct request *request)
{
	struct slot *slot = request->slot;
	const struct ring_chain *chain = request->chain;
	struct held *held;

	if (slot->port->parked + chain->descriptors > request->queue->ring->size / 2U)
		return MP_AGAIN;
	held = malloc(sizeof(*held) + chain->writable * sizeof(*chain->segments));
	if (!held)
		return MP_AGAIN;
	list_init(&held->link);
	held->head = chain->head;
	held->descriptors = chain->descriptors;
	held->count = chain->writable;
	held->is_lazy = request->header.flags & MP_LAZY;
	memcpy(held->segments, message_writable(chain),
	       chain->writable * sizeof(*chain->segments));
	slot->parked = held;
	slot->port->parked += chain->descriptors;
	slot->port->device->stats.parked++;
	return -EINPROGRESS;
}

/* Gives the chain of the parked READ back. */
static void give_back(struct slot *slot, const struct request_map *map, enum mp_status status,
		      uint32_t count)
{
	struct mp_result result = {
		.status = htole32(status),
		.count = htole32(count),
		.offset = htole64(slot->channel.in.offset),
	};
	struct held *held = slot_unpark(slot);
	uint16_t head = held->head;
	bool is_lazy = held->is_lazy;

	free(held);
	if (is_lazy)
		queue_give_quietly(slot->port->rx);
	answer_result(slot->port->rx, head, map, slot, &result, count);
	if (is_lazy)
		slot_delivered_lazily(slot);
	else
		slot_delivered(slot);
}

/* The result's guest addresses to iovecs, once more. Returns false when they are gone. */
static bool map_held(struct slot *slot, struct request_map *map)
{
	const struct held *held = slot->parked;

	if (!map_result(slot->port->rx->ring->mem, held->segments, held->count, map))
		return true;
	state_break(slot->port->device, "a parked read is not in guest memory any more");
	return false;
}

void park_return(struct slot *slot, enum mp_status status)
{
	struct request_map map;

	/* Without a ring, or broken, it stays held until the life ends. */
	if (!slot->parked || !slot->port->rx->ring || slot->port->device->is_broken)
		return;
	if (map_held(slot, &map))
		give_back(slot, &map, status, 0);
}

/* Moves bytes into the parked READ: a map that changed since it was parked is a fault, too. */
static enum moved fill(struct slot *slot, struct request_map *map, uint32_t *count)
{
	const struct held *held = slot->parked;
	struct iovec iov[PARKED_IOVS];
	struct bytes bytes = { 0 };
	enum moved result;

	*count = 0;
	if (map_payload(slot->port->rx->ring->mem, held->segments, held->count,
			sizeof(struct mp_result), map, iov, PARKED_IOVS) < 0) {
		state_report_segments(slot->port->device, slot->port->rx->ring->mem,
				      held->segments, held->count,
				      "a request comes back, to be sent from other memory");
		return MOVED_FAULT;
	}
	bytes.iov = map->payload;
	bytes.count = map->payload_count;
	result = transfer_read(&slot->channel, &bytes);
	*count = bytes.moved;
	if (result == MOVED_FAULT)
		state_report_fault(slot->port->device, &bytes, held->segments, held->count,
				   sizeof(struct mp_result) + bytes.moved);
	return result;
}

void park_serve(struct slot *slot)
{
	struct request_map map;
	enum moved result;
	uint32_t count;

	if (!slot->port->rx->ring || !map_held(slot, &map))
		return;
	result = fill(slot, &map, &count);
	slot_refresh(slot);
	if (result == MOVED_FAULT)
		give_back(slot, &map, MP_FAULT, count);
	else if (count || slot->channel.in.has_ended)
		give_back(slot, &map, MP_OK, count);
	else if (result == MOVED_FAILED)
		give_back(slot, &map, MP_ENDED, 0);
	/* else a call for nothing: it stays */
}
