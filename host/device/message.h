/* SPDX-License-Identifier: MIT */
/*
 * One request as it came: parsed and validated [protocol.md 5]. The header is a copy; what it says
 * was checked, and the guest's memory is not read for it again.
 */
#ifndef HOST_DEVICE_MESSAGE_H
#define HOST_DEVICE_MESSAGE_H

#include "device/map.h"
#include "device/slot.h"

/* A result may be split into single bytes. */
#define RESULT_IOVS ((int)sizeof(struct mp_result))

/* In host byte order. */
struct request_header {
	uint16_t op, flags;
	uint32_t length, slot, generation;
	uint64_t offset;
};

/* Valid in one entry. */
struct request {
	struct queue *queue;
	struct port *port;
	struct slot *slot;		/* the one it names, or NULL */
	uint16_t head;			/* of its chain */
	struct request_header header;
	/* Where the payload lies: behind @skip bytes of these, which are header or result. */
	struct segments segments;
	size_t skip;
	struct bytes payload;		/* described only when its bytes are about to move */
	struct iovec result[RESULT_IOVS];
	int result_count;
};

/*
 * Parses and checks the chain in @queue->scratch. Returns a status (the result can be written) or
 * -EPROTO [protocol.md 10.7].
 */
int message_get(struct request *request, struct queue *queue);
/* The parked READ of @slot as a request again. False when its memory is gone: the device breaks. */
bool message_get_parked(struct request *request, struct slot *slot);
/* Describes the payload. Returns MP_OK, or MP_FAULT: the device cannot reach it. */
enum mp_status message_map_payload(struct request *request);

#endif
