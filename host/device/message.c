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

#include "device/message.h"

/* Describes the result in front of @writable. False: not guest memory. */
static bool map_result(struct request *request, struct segments writable)
{
	request->result_count = map_range(request->queue->ring->mem, writable, 0,
					  sizeof(struct mp_result), request->result, RESULT_IOVS);
	return request->result_count >= 0;
}

/*
 * Copies the header and describes the result. Returns MP_OK, MP_INVALID (no whole header; the
 * result can be written) or -EPROTO (10.7).
 */
static int parse(struct request *request, const struct ring_chain *chain, struct mp_request *wire)
{
	ssize_t len;

	if (chain->writable_len < sizeof(struct mp_result))
		return -EPROTO;
	if (!map_result(request, map_writable(chain)))
		return queue_report_missing(request->queue, map_writable(chain),
					    "a result cannot be written");
	len = map_read(request->queue->ring->mem, map_readable(chain), wire, sizeof(*wire));
	if (len < 0)
		return queue_report_missing(request->queue, map_readable(chain),
					    "a request cannot be read");
	if (len < (ssize_t)sizeof(*wire)) {
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
				  request->queue->device->config.max_io);
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

	request->segments = is_read ? map_writable(chain) : map_readable(chain);
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
	request->slot = slot;
	request->head = held->head;
	request->header.op = MP_OP_READ;
	request->header.flags = held->flags;
	request->segments = port_held(held);
	request->skip = sizeof(struct mp_result);
	request->payload = (struct bytes){ 0 };
	if (map_result(request, request->segments))
		return true;
	state_break(slot->port->device, "a parked read is not in guest memory any more");
	return false;
}

enum mp_status message_map_payload(struct request *request)
{
	struct iovec *iov = request->queue->scratch->iov;
	int count = map_range(request->queue->ring->mem, request->segments, request->skip,
			      UINT64_MAX, iov, CHAIN_IOVS);

	if (count < 0) {
		queue_report_missing(request->queue, request->segments,
				     "a request comes back, to be sent from other memory");
		return MP_FAULT;
	}
	request->payload = (struct bytes){ .iov = iov, .count = count };
	return MP_OK;
}
