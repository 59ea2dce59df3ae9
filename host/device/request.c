// SPDX-License-Identifier: MIT
/*
 * One request: parse, validate, act, answer [protocol.md 5, 6].
 *
 * parse() copies the header and describes the result; check() looks at the
 * copy alone; the act_*() functions trust it. The guest may change its memory
 * meanwhile: nothing is read from it again but payload bytes.
 *
 * Header and result that are not in guest memory cost the device, since the driver cannot be
 * told. A payload that is not costs its request (MP_FAULT), so it is looked at last, where its
 * bytes are about to move: what comes first, order above all, is answered first.
 */
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "device/internal.h"

/* --- Parse --------------------------------------------------------------- */

static const struct ring_segment *writable_of(const struct ring_chain *chain)
{
	return chain->segments + chain->readable;
}

/*
 * Copies the header and describes the result. Returns MP_OK, MP_INVALID (no whole header; the
 * result can be written) or -EPROTO (10.7).
 */
static int parse(struct request *request, struct mp_request *wire)
{
	const struct mem *mem = request->queue->ring->mem;
	const struct ring_chain *chain = &request->chain;
	struct iovec header[HEADER_IOVS];
	int count;

	request->channel = NULL;
	request->count = 0;
	if (chain->writable_len < sizeof(struct mp_result))
		return -EPROTO;
	if (map_result(mem, writable_of(chain), chain->writable, &request->map) < 0) {
		device_report_segments(request->port->device, mem, writable_of(chain),
				       chain->writable, "a result cannot be written");
		return -EPROTO;
	}
	count = map_range(mem, chain->segments, chain->readable, 0, sizeof(*wire), header,
			  HEADER_IOVS);
	if (count < 0) {
		device_report_segments(request->port->device, mem, chain->segments,
				       chain->readable, "a request cannot be read");
		return -EPROTO;
	}
	if (iov_copy_out(header, count, 0, wire, sizeof(*wire)) < sizeof(*wire)) {
		memset(wire, 0, sizeof(*wire));	/* a part of a header says nothing */
		return MP_INVALID;
	}
	return MP_OK;
}

/* check() has seen that only one of the two parts holds more than header and result. */
enum mp_status request_map_payload(struct request *request)
{
	const struct mem *mem = request->queue->ring->mem;
	const struct ring_chain *chain = &request->chain;
	const struct ring_segment *segments = chain->segments;
	unsigned int count = chain->readable;
	uint64_t skip = sizeof(struct mp_request);

	if (request->header.op == MP_OP_READ) {
		segments = writable_of(chain);
		count = chain->writable;
		skip = sizeof(struct mp_result);
	}
	if (!map_payload(mem, segments, count, skip, &request->map, request->iov, REQUEST_IOVS))
		return MP_OK;
	device_report_segments(request->port->device, mem, segments, count,
			       "a request comes back, to be sent from other memory");
	return MP_FAULT;
}

/* --- Validate ------------------------------------------------------------ */

static enum mp_status check(const struct request *request, const struct mp_request *wire)
{
	const struct ring_chain *chain = &request->chain;
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

/* --- Act ----------------------------------------------------------------- */

struct connect {
	struct mp_connect fixed;
	char name[MP_NAME_MAX];
};

/* What was not acted on may still name a channel, whose state then comes along. */
static void find_named_channel(struct request *request)
{
	struct channel *channel = port_channel(request->port, request->header.slot);

	if (channel && channel->generation == request->header.generation)
		request->channel = channel;
}

/* The channel that a CONNECT is for, new or refused before. Returns a status. */
static enum mp_status connect_channel(struct request *request)
{
	const struct request_header *header = &request->header;
	struct channel *channel = port_channel(request->port, header->slot);

	if (channel) {
		if (channel->generation != header->generation)
			return MP_BUSY;
		request->channel = channel;
		return channel->phase == CHANNEL_REFUSED ? MP_OK : MP_BAD_STATE;
	}
	channel = channel_create(request->port, header->slot, header->generation);
	if (!channel)
		return MP_BUSY;
	request->channel = channel;
	return MP_OK;
}

static int act_connect(struct request *request)
{
	struct connect connect;
	uint32_t len = request->header.length, name_len;
	struct channel *channel;
	enum mp_status status = request_map_payload(request);

	if (status != MP_OK) {
		find_named_channel(request);
		return status;
	}
	iov_copy_out(request->map.payload, request->map.payload_count, 0, &connect, len);
	if (!mp_connect_is_valid(&connect.fixed, len))
		return MP_INVALID;
	name_len = le32toh(connect.fixed.name_len);
	if ((request->port->config.kind == MP_PORT_FIXED) != !name_len ||
	    request->header.slot >= request->port->config.max_channels)
		return MP_INVALID;
	status = connect_channel(request);
	if (status != MP_OK)
		return status;
	channel = request->channel;
	channel->uid = le32toh(connect.fixed.uid);
	channel->gid = le32toh(connect.fixed.gid);
	channel->pid = le32toh(connect.fixed.pid);
	memcpy(channel->comm, connect.fixed.comm, MP_COMM_LEN);
	connect_begin(channel, connect.name, name_len);
	return MP_OK;
}

static int act_cancel(struct request *request)
{
	transfer_unpark(request->channel, MP_CANCELLED);
	return MP_OK;
}

/*
 * Takes everything that is visible in the port's receive queue [protocol.md 8.2]: as many chains
 * as were there when the request was first seen, so that it ends. Returns false when the turn is
 * over before: then port->rx_first chains go before the request, which is looked at again.
 */
static bool take_receive_queue(struct port *port)
{
	int ret = port->rx_first;

	if (!ret && port->rx->ring)
		ret = ring_waiting(port->rx->ring);
	port->rx_first = ret > 0 ? ret : 0;
	while (port->rx_first) {
		ret = request_serve(port->rx);	/* counts it */
		if (ret <= 0)
			break;
		if (port->rx_first && queue_is_spent(port->rx))
			return false;
	}
	port->rx_first = 0;
	if (ret < 0)
		device_break(port->device, "the receive queue breaks the rules");
	return true;
}

/* All but CONNECT need their channel. Returns a status, -EINPROGRESS or -EAGAIN (not now). */
static int act(struct request *request)
{
	const struct request_header *header = &request->header;
	struct channel *channel;

	if (header->op == MP_OP_CONNECT)
		return act_connect(request);
	if ((header->op == MP_OP_CANCEL || header->op == MP_OP_CLOSE) &&
	    !take_receive_queue(request->port))
		return -EAGAIN;
	channel = port_channel(request->port, header->slot);
	if (!channel || channel->generation != header->generation)
		return MP_STALE;
	request->channel = channel;
	switch ((enum mp_op)header->op) {
	case MP_OP_READ:
		return transfer_read(request);
	case MP_OP_WRITE:
		return transfer_write(request);
	case MP_OP_SHUTDOWN:
		return close_shutdown(request);
	case MP_OP_CANCEL:
		return act_cancel(request);
	case MP_OP_CLOSE:
		return close_close(request);
	default:
		return MP_UNSUPPORTED;
	}
}

/* --- Answer -------------------------------------------------------------- */

void request_answer(struct queue *queue, uint16_t head, const struct request_map *map,
		    const struct channel *channel, const struct mp_result *result,
		    uint32_t payload)
{
	struct mp_result copy = *result;

	if (channel)
		channel_get_state(channel, &copy.state);
	iov_copy_in(map->result, map->result_count, 0, &copy, sizeof(copy));
	queue_give(queue, head, sizeof(copy) + payload);
	queue->device->stats.results++;
}

static void answer(struct request *request, enum mp_status status)
{
	struct channel *channel = request->channel;
	bool is_read = request->header.op == MP_OP_READ;
	bool is_write = request->header.op == MP_OP_WRITE;
	bool is_lazy = (is_read || is_write) && (request->header.flags & MP_LAZY);
	struct mp_result result = {
		.status = htole32(status),
		.count = htole32(request->count),
	};

	if (channel && is_read)
		result.offset = htole64(channel->in_offset);
	if (channel && is_write)
		result.offset = htole64(channel->out_offset);
	if (is_read && is_lazy)
		queue_give_quietly(request->queue);
	request_answer(request->queue, request->chain.head, &request->map, request->channel,
		       &result, is_read ? request->count : 0);
	if (channel && is_lazy)
		channel_delivered_lazily(channel);
	else if (channel)
		channel_delivered(channel);
}

static bool is_event_buffer(const struct request *request)
{
	return request->queue->kind == QUEUE_RX && !request->chain.readable &&
	       request->chain.writable_len == sizeof(struct mp_event);
}

/* Deals with the chain in @request->chain. Returns 0, -EAGAIN (nothing was done) or -EPROTO. */
static int handle(struct request *request)
{
	struct request_header *header = &request->header;
	struct mp_request wire;
	int status;

	if (is_event_buffer(request)) {
		port_keep_event(request->port, &request->chain);
		return 0;
	}
	status = parse(request, &wire);
	if (status < 0)
		return status;
	header->op = le16toh(wire.op);
	header->flags = le16toh(wire.flags);
	header->length = le32toh(wire.length);
	header->slot = le32toh(wire.channel);
	header->generation = le32toh(wire.generation);
	header->offset = le64toh(wire.offset);
	if (status == MP_OK)
		status = check(request, &wire);
	if (status == MP_OK)
		status = act(request);
	else
		find_named_channel(request);
	if (status == -EAGAIN)
		return status;
	request->port->device->stats.requests++;
	if (status != -EINPROGRESS)
		answer(request, status);
	return 0;
}

int request_serve(struct queue *queue)
{
	struct device *device = queue->device;
	struct request *request = queue->kind == QUEUE_RX ? &device->rx_request :
							    &device->tx_request;
	int ret = ring_take(queue->ring, &request->chain);

	if (ret <= 0)
		return ret;
	request->queue = queue;
	request->port = queue->port;
	if (queue->kind == QUEUE_RX && queue->port->rx_first)
		queue->port->rx_first--;
	ret = handle(request);
	if (ret == -EAGAIN)
		ring_untake(queue->ring, request->chain.head);
	return ret < 0 ? ret : 1;
}
