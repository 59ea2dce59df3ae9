/* SPDX-License-Identifier: MIT */
/*
 * One request as it came: parsed and validated [protocol.md 5]. The header is a copy; what it says
 * was checked, and the guest's memory is not read for it again.
 */
#ifndef HOST_DEVICE_MESSAGE_H
#define HOST_DEVICE_MESSAGE_H

#include "device/map.h"
#include "device/slot.h"

/* In host byte order. */
struct request_header {
	uint16_t op, flags;
	uint32_t length, slot, generation;
	uint64_t offset;
};

struct request {
	struct queue *queue;
	struct port *port;
	struct slot *slot;		/* the one it names, or NULL */
	struct ring_chain *chain;	/* in queue->scratch */
	struct request_header header;
	uint32_t count;			/* payload bytes moved */
	struct request_map map;
};

static inline const struct ring_segment *message_writable(const struct ring_chain *chain)
{
	return chain->segments + chain->readable;
}

/*
 * Parses and checks the chain in @queue->scratch. Returns a status (the result can be written) or
 * -EPROTO [protocol.md 10.7].
 */
int message_get(struct request *request, struct queue *queue);
/* Describes the payload. Returns MP_OK, or MP_FAULT: the device cannot reach it. */
enum mp_status message_map_payload(struct request *request);
/* The payload as the core takes it. */
static inline struct bytes message_bytes(const struct request *request)
{
	return (struct bytes){
		.iov = request->map.payload, .count = request->map.payload_count,
	};
}

#endif
