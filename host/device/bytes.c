// SPDX-License-Identifier: MIT
/*
 * READ and WRITE, and what a channel's news mean for the READ that waits for them [protocol.md 6].
 *
 * For a connected channel IN and OUT are the opposites of "armed" (or the ends), so "clear" always
 * means that the stream owes a call: it is armed [protocol.md 7.2].
 */
#include "device/message.h"

/*
 * The kernel could not reach memory that the front end has shared, what is left of the payload: a
 * page is bad. Where the memory's file became shorter the session ends after this entry, and says
 * so.
 */
static void report_fault(const struct request *request)
{
	struct device *device = request->queue->device;
	const struct ring_segment *segments = request->segments.first;
	unsigned int count = request->segments.count;
	uint64_t done = request->skip + request->payload.moved;

	mem_guard_probe(request->payload.iov, request->payload.count);
	for (; count && done >= segments->len; count--)
		done -= segments++->len;
	if (count && !mem_guard_is_tripped())
		log_limited(&device->missing, LOG_LEVEL_WARNING,
			    "%s: the kernel cannot access guest memory behind 0x%llx: "
			    "a request comes back, to be sent from other memory",
			    device->config.core.guest,
			    (unsigned long long)(segments->addr.value + done));
}

/* Moves the payload by @transfer, as far as it goes. */
static enum moved move(struct request *request,
		       enum moved (*transfer)(struct channel *ch, struct bytes *bytes))
{
	enum moved result = MOVED_FAULT;

	if (message_map_payload(request) == MP_OK) {
		result = transfer(&request->slot->channel, &request->payload);
		if (result == MOVED_FAULT)
			report_fault(request);
	}
	slot_refresh(request->slot);
	return result;
}

/* A broken channel has no more bytes to wait for. */
static void note_failure(struct slot *slot)
{
	if (slot->channel.phase == CHANNEL_FAILED)
		park_return(slot, MP_ENDED);
}

/* Fills @request with bytes of the service. Returns a status; MP_AGAIN: there are none. */
static enum mp_status fill(struct request *request)
{
	enum moved result = move(request, transfer_read);

	if (result == MOVED_FAULT)
		return MP_FAULT;
	if (request->payload.moved || request->slot->channel.in.has_ended)
		return MP_OK;
	return result == MOVED_FAILED ? MP_ENDED : MP_AGAIN;
}

/* There are bytes, or an end. A report for nothing leaves the READ parked. */
static void serve_parked(struct slot *slot)
{
	struct request request;
	enum mp_status status;

	if (!slot->port->rx->ring || !message_get_parked(&request, slot))
		return;
	status = fill(&request);
	if (status != MP_AGAIN)
		park_answer(&request, status);
}

void bytes_changed(struct channel *ch)
{
	struct slot *slot = slot_of(ch);

	if (slot->parked && ch->phase == CHANNEL_CONNECTED && !ch->in.is_armed) {
		serve_parked(slot);
		return;
	}
	slot_refresh(slot);
	note_failure(slot);
}

int bytes_read(struct request *request)
{
	struct channel *ch = &request->slot->channel;
	bool may_park = request->queue->kind == QUEUE_RX &&
			!(request->header.flags & MP_READ_NOW);
	enum mp_status status;

	if (ch->phase != CHANNEL_CONNECTED && ch->phase != CHANNEL_FAILED)
		return MP_BAD_STATE;
	if (request->header.offset != ch->in.offset)
		return MP_ORDER;
	if (ch->phase == CHANNEL_FAILED)
		return MP_ENDED;
	if (may_park && request->slot->parked)
		return MP_BUSY;
	if (ch->in.has_ended)
		return MP_OK;
	status = fill(request);
	note_failure(request->slot);
	return status == MP_AGAIN && may_park ? park_request(request) : (int)status;
}

/* Not connected, or beyond the end that the driver set itself [protocol.md 6.3]. */
static bool may_write(const struct channel *ch, const struct request_header *header)
{
	switch (ch->phase) {
	case CHANNEL_FAILED:
		return true;
	case CHANNEL_CONNECTED:
	case CHANNEL_CLOSING:
		return ch->out.final == OFFSET_NONE ||
		       header->offset + header->length <= ch->out.final;
	default:
		return false;
	}
}

int bytes_write(struct request *request)
{
	struct channel *ch = &request->slot->channel;
	enum moved result;

	if (!may_write(ch, &request->header))
		return MP_BAD_STATE;
	if (request->header.offset != ch->out.offset)
		return MP_ORDER;
	if (ch->phase == CHANNEL_FAILED || ch->out.has_ended)
		return MP_ENDED;
	result = move(request, transfer_write);
	note_failure(request->slot);
	if (result == MOVED_FAULT)
		return MP_FAULT;
	if (request->payload.moved)
		return MP_OK;
	return result == MOVED_EMPTY ? MP_AGAIN : MP_ENDED;
}
