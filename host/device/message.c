// SPDX-License-Identifier: MIT
/*
 * Parse and validate: see message.h and request.c.
 *
 * Header and result that are not in guest memory cost the device, since the driver cannot be
 * told. A payload that is not costs its request (MP_FAULT), so it is looked at last, where its
 * bytes are about to move: what comes first, order above all, is answered first.
 */
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "device/message.h"

/* A header may be split into single bytes. */
#define HEADER_IOVS ((int)sizeof(struct mp_request))

/* Describes the result in front of @count writable @segments. False: not guest memory. */
static bool map_result(struct request *request, const struct ring_segment *segments,
		       unsigned int count)
{
	request->result_count = map_range(request->queue->ring->mem, segments, count, 0,
					  sizeof(struct mp_result), request->result, RESULT_IOVS);
	return request->result_count >= 0;
}

/*
 * Copies the header and describes the result. Returns MP_OK, MP_INVALID (no whole header; the
 * result can be written) or -EPROTO (10.7).
 */
static int parse(struct request *request, const struct ring_chain *chain, struct mp_request *wire)
{
	const struct mem *mem = request->queue->ring->mem;
	const struct ring_segment *writable = chain->segments + chain->readable;
	struct iovec header[HEADER_IOVS];
	int count;

	if (chain->writable_len < sizeof(struct mp_result))
		return -EPROTO;
	if (!map_result(request, writable, chain->writable)) {
		state_report_segments(request->port->device, mem, writable, chain->writable,
				      "a result cannot be written");
		return -EPROTO;
	}
	count = map_range(mem, chain->segments, chain->readable, 0, sizeof(*wire), header,
			  HEADER_IOVS);
	if (count < 0) {
		state_report_segments(request->port->device, mem, chain->segments,
				      chain->readable, "a request cannot be read");
		return -EPROTO;
	}
	if (iov_copy_out(header, count, 0, wire, sizeof(*wire)) < sizeof(*wire)) {
		memset(wire, 0, sizeof(*wire));	/* a part of a header says nothing */
		return MP_INVALID;
	}
	return MP_OK;
}

static enum mp_status check(const struct request *request, const struct ring_chain *chain,
			    const struct mp_request *wire)
{
	enum mp_status status;

	status = mp_request_check(wire, chain->readable_len - sizeof(*wire),
				  chain->writable_len - sizeof(struct mp_result),
				  request->port->device->config.max_io);
	if (status != MP_OK || request->queue->kind == QUEUE_TX)
		return status;
	/* [protocol.md 5.2, 6.5] */
	if (mp_op_is_tx_only(request->header.op) ||
	    chain->readable + chain->writable > (int)MP_PARK_SEGMENTS)
		return MP_INVALID;
	return MP_OK;
}

/* check() has seen that only one of the two parts holds more than header and result. */
static void find_payload(struct request *request, const struct ring_chain *chain)
{
	bool is_read = request->header.op == MP_OP_READ;

	request->segments = chain->segments + (is_read ? chain->readable : 0);
	request->segment_count = is_read ? chain->writable : chain->readable;
	request->skip = is_read ? sizeof(struct mp_result) : sizeof(struct mp_request);
	request->payload = (struct bytes){ 0 };
}

int message_get(struct request *request, struct queue *queue)
{
	const struct ring_chain *chain = &queue->scratch->chain;
	struct request_header *header = &request->header;
	struct mp_request wire;
	int status;

	request->queue = queue;
	request->port = queue->port;
	request->slot = NULL;
	request->head = chain->head;
	status = parse(request, chain, &wire);
	if (status < 0)
		return status;
	header->op = le16toh(wire.op);
	header->flags = le16toh(wire.flags);
	header->length = le32toh(wire.length);
	header->slot = le32toh(wire.channel);
	header->generation = le32toh(wire.generation);
	header->offset = le64toh(wire.offset);
	find_payload(request, chain);
	return status == MP_OK ? (int)check(request, chain, &wire) : status;
}

bool message_get_parked(struct request *request, struct slot *slot)
{
	const struct held *held = slot->parked;

	request->queue = slot->port->rx;
	request->port = slot->port;
	request->slot = slot;
	request->head = held->head;
	request->header.op = MP_OP_READ;
	request->header.flags = held->flags;
	request->segments = held->segments;
	request->segment_count = held->count;
	request->skip = sizeof(struct mp_result);
	request->payload = (struct bytes){ 0 };
	if (map_result(request, held->segments, held->count))
		return true;
	state_break(slot->port->device, "a parked read is not in guest memory any more");
	return false;
}

enum mp_status message_map_payload(struct request *request)
{
	const struct mem *mem = request->queue->ring->mem;
	struct iovec *iov = request->queue->scratch->iov;
	int count = map_range(mem, request->segments, request->segment_count, request->skip,
			      UINT64_MAX, iov, CHAIN_IOVS);

	if (count < 0) {
		state_report_segments(request->port->device, mem, request->segments,
				      request->segment_count,
				      "a request comes back, to be sent from other memory");
		return MP_FAULT;
	}
	request->payload = (struct bytes){ .iov = iov, .count = count };
	return MP_OK;
}
