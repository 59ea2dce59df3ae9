// SPDX-License-Identifier: MIT
/*
 * One request: take, check, act, answer [protocol.md 5, 6].
 *
 * message_get() copies and checks the header; the act_*() functions trust it, and turn the request
 * into calls of the channel core. The guest may change its memory in the same time: nothing is read
 * from it again but payload bytes.
 */
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "device/message.h"

/* --- Act ----------------------------------------------------------------- */

struct connect {
	struct mp_connect fixed;
	char name[MP_NAME_MAX];
};

/* The slot that the header names, in the right generation, or NULL. */
static struct slot *find_slot(const struct request *request)
{
	struct slot *slot = port_slot(request->queue->port, request->header.slot);

	return slot && slot->channel.opener.generation == request->header.generation ? slot : NULL;
}

/* The slot that a CONNECT is for, refused before or new. Returns a status. */
static enum mp_status connect_slot(struct request *request, const struct mp_opener *opener)
{
	struct port *port = request->queue->port;
	struct slot *slot = request->slot;

	if (slot && slot->channel.phase != CHANNEL_REFUSED)
		return MP_BAD_STATE;
	if (!slot && !port_slot(port, opener->channel))
		slot = slot_create(port, opener, bytes_changed);
	if (!slot)
		return MP_BUSY;
	request->slot = slot;
	slot->channel.opener = *opener;
	slot->is_doubtful = port->tx_doubtful;
	return MP_OK;
}

static int act_connect(struct request *request)
{
	const struct port *port = request->queue->port;
	uint32_t len = request->header.length, name_len;
	struct connect connect;
	struct mp_opener opener;
	enum mp_status status = message_map_payload(request);

	if (status != MP_OK)
		return status;
	iov_copy_out(request->payload.iov, request->payload.count, 0, &connect, len);
	if (!mp_connect_is_valid(&connect.fixed, len))
		return MP_INVALID;
	name_len = le32toh(connect.fixed.name_len);
	if (port->config.gate.is_fixed != !name_len ||
	    request->header.slot >= port->config.max_channels)
		return MP_INVALID;
	opener = (struct mp_opener){
		.uid = le32toh(connect.fixed.uid), .gid = le32toh(connect.fixed.gid),
		.pid = le32toh(connect.fixed.pid),
		.channel = request->header.slot, .generation = request->header.generation,
	};
	log_escape(opener.comm, sizeof(opener.comm), connect.fixed.comm,
		   strnlen(connect.fixed.comm, sizeof(connect.fixed.comm)));
	status = connect_slot(request, &opener);
	if (status != MP_OK)
		return status;
	connect_begin(&request->slot->channel, connect.name, name_len);
	slot_refresh(request->slot);
	return MP_OK;
}

static int act_shutdown(struct request *request)
{
	const struct request_header *header = &request->header;
	struct channel *ch = &request->slot->channel;

	if (ch->phase == CHANNEL_FAILED)
		return MP_OK;	/* both ends are implied */
	if (ch->phase != CHANNEL_CONNECTED)
		return MP_BAD_STATE;
	if (!close_shut(ch, header->flags, header->offset))
		return MP_INVALID;
	slot_refresh(request->slot);
	if (header->flags & MP_SHUT_READ)
		park_return(request->slot, MP_CANCELLED);
	return MP_OK;
}

static int act_close(struct request *request)
{
	struct channel *ch = &request->slot->channel;
	bool abort = request->header.flags & MP_CLOSE_ABORT;
	bool is_second = ch->phase == CHANNEL_CLOSING || ch->phase == CHANNEL_CLOSED;

	/* A second one is valid only with ABORT [protocol.md 8.3]. */
	if (is_second && !abort)
		return MP_BAD_STATE;
	if (ch->phase == CHANNEL_CLOSED)
		return MP_OK;
	park_return(request->slot, MP_CANCELLED);
	if (abort && request->slot->is_doubtful)
		close_unknown(ch);
	else if (abort)
		close_abort(ch);
	else
		close_begin(ch, request->header.offset);
	slot_refresh(request->slot);
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
		ret = queue_take(port->rx, request_handle);	/* counts it */
		if (ret <= 0)
			break;
		if (port->rx_first && queue_is_spent(port->rx))
			return false;
	}
	port->rx_first = 0;
	if (ret < 0)
		state_break(port->device, "the receive queue breaks the rules");
	return true;
}

/* All but CONNECT need their channel. Returns a status, -EINPROGRESS or -EAGAIN (not now). */
static int act(struct request *request)
{
	const struct request_header *header = &request->header;

	if ((header->op == MP_OP_CANCEL || header->op == MP_OP_CLOSE) &&
	    !take_receive_queue(request->queue->port))
		return -EAGAIN;
	request->slot = find_slot(request);
	if (header->op == MP_OP_CONNECT)
		return request->queue->port->tx_old ? (int)MP_BUSY : act_connect(request);
	if (!request->slot)
		return MP_STALE;
	switch ((enum mp_op)header->op) {
	case MP_OP_READ:
		return bytes_read(request);
	case MP_OP_WRITE:
		return bytes_write(request);
	case MP_OP_SHUTDOWN:
		return act_shutdown(request);
	case MP_OP_CANCEL:
		park_return(request->slot, MP_CANCELLED);
		return MP_OK;
	case MP_OP_CLOSE:
		return act_close(request);
	default:
		return MP_UNSUPPORTED;
	}
}

/* --- Take and answer ----------------------------------------------------- */

int request_handle(struct queue *queue, const struct ring_chain *chain)
{
	struct request request;
	int status;

	if (queue->kind == QUEUE_RX && queue->port->rx_first)
		queue->port->rx_first--;
	if (message_is_event(queue, chain)) {
		port_keep_event(queue->port, chain);
		return 1;
	}
	status = message_get(&request, queue);
	if (status < 0)
		return status;
	if (status == MP_OK)
		status = act(&request);
	else
		request.slot = find_slot(&request);
	if (status == -EAGAIN) {
		queue_defer(queue);
		return status;
	}
	if (queue->kind == QUEUE_TX && queue->port->tx_old)
		queue->port->tx_old--;
	if (queue->kind == QUEUE_TX && queue->port->tx_doubtful)
		queue->port->tx_doubtful--;
	queue->device->stats.requests++;
	if (status != -EINPROGRESS)
		answer_request(&request, status);
	return 1;
}
