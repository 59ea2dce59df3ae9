/* SPDX-License-Identifier: MIT */
/*
 * One request as it came: parsed and validated [protocol.md 5]. The header is a copy; what it says
 * was checked, and the guest's memory is not read for it again. Then what is done with it, by files
 * of which each calls those before it only.
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

/* Is @chain an event buffer [protocol.md 11.3]? */
static inline bool message_is_event(const struct queue *queue, const struct ring_chain *chain)
{
	return queue->kind == QUEUE_RX && !chain->readable &&
	       chain->writable_len == sizeof(struct mp_event);
}

/* --- answer.c: what the driver is told [protocol.md 5.3, 7.3] ------------- */

/* Writes the result and gives the chain back; the state of the slot, if it has one, goes along. */
void answer_request(const struct request *request, enum mp_status status);
/* Delivers owed events as far as there are buffers. */
void answer_events(struct port *port);
/* The receive queue stops: event buffers go back empty [protocol.md 10.3]. */
void answer_no_events(struct port *port);

/* --- park.c: READs that wait, one for each channel [protocol.md 6.5] ------ */

/* Keeps @request until there are bytes: -EINPROGRESS, or MP_AGAIN when it cannot be kept. */
int park_request(const struct request *request);
/* Answers @request, which message_get_parked() has made: it waits no longer. */
void park_answer(const struct request *request, enum mp_status status);
/* Gives the parked READ, if there is one, back with @status and nothing moved. */
void park_return(struct slot *slot, enum mp_status status);

/* --- bytes.c: READ and WRITE [protocol.md 6] ------------------------------ */

/* Each returns an enum mp_status, or -EINPROGRESS when parked. */
int bytes_read(struct request *request);
int bytes_write(struct request *request);

/* The changed() of all channels in slots. */
void bytes_changed(struct channel *ch);

/* --- request.c: requests of a port's queues [protocol.md 5, 6] ------------ */

/* The queue_handle of a port's queues: a request, or event buffer. */
int request_handle(struct queue *queue, const struct ring_chain *chain);

#endif
