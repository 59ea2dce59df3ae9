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

/*
 * Copies the header and describes the result. Returns MP_OK, MP_INVALID (no whole header; the
 * result can be written) or -EPROTO (10.7).
 */
static int parse(struct request *request, struct mp_request *wire)
{
	const struct mem *mem = request->queue->ring->mem;
	const struct ring_chain *chain = request->chain;
	struct iovec header[HEADER_IOVS];
	int count;

	if (chain->writable_len < sizeof(struct mp_result))
		return -EPROTO;
	if (map_result(mem, message_writable(chain), chain->writable, &request->map) < 0) {
		state_report_segments(request->port->device, mem, message_writable(chain),
				      chain->writable, "a result cannot be written");
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

static enum mp_status check(const struct request *request, const struct mp_request *wire)
{
	const struct ring_chain *chain = request->chain;
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

int message_get(struct request *request, struct queue *queue)
{
	struct request_header *header = &request->header;
	struct mp_request wire;
	int status;

	request->queue = queue;
	request->port = queue->port;
	request->slot = NULL;
	request->chain = &queue->scratch->chain;
	request->count = 0;
	status = parse(request, &wire);
	if (status < 0)
		return status;
	header->op = le16toh(wire.op);
	header->flags = le16toh(wire.flags);
	header->length = le32toh(wire.length);
	header->slot = le32toh(wire.channel);
	header->generation = le32toh(wire.generation);
	header->offset = le64toh(wire.offset);
	return status == MP_OK ? (int)check(request, &wire) : status;
}

/* check() has seen that only one of the two parts holds more than header and result. */
enum mp_status message_map_payload(struct request *request)
{
	const struct mem *mem = request->queue->ring->mem;
	const struct ring_chain *chain = request->chain;
	const struct ring_segment *segments = chain->segments;
	unsigned int count = chain->readable;
	uint64_t skip = sizeof(struct mp_request);

	if (request->header.op == MP_OP_READ) {
		segments = message_writable(chain);
		count = chain->writable;
		skip = sizeof(struct mp_result);
	}
	if (!map_payload(mem, segments, count, skip, &request->map, request->queue->scratch->iov,
			 CHAIN_IOVS))
		return MP_OK;
	state_report_segments(request->port->device, mem, segments, count,
			      "a request comes back, to be sent from other memory");
	return MP_FAULT;
}
