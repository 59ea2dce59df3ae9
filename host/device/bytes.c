// SPDX-License-Identifier: MIT
/*
 * READ and WRITE, and what a channel's news mean for the READ that waits for them [protocol.md 6].
 *
 * For a connected channel IN and OUT are the opposites of "armed" (or the ends), so "clear" always
 * means that the stream owes a call: it is armed [protocol.md 7.2].
 */
#include "channel/transfer.h"
#include "device/bytes.h"
#include "device/park.h"

/* The state, as it is now; a broken channel has no more bytes to wait for. */
static void note_state(struct slot *slot)
{
	slot_refresh(slot);
	if (slot->channel.phase == CHANNEL_FAILED)
		park_return(slot, MP_ENDED);
}

static void changed(struct channel *ch)
{
	struct slot *slot = slot_of(ch);

	if (slot->parked && ch->phase == CHANNEL_CONNECTED && !ch->in.is_armed)
		park_serve(slot);
	else
		note_state(slot);
}

const struct channel_ops bytes_channel_ops = { .changed = changed, .free = slot_free };

int bytes_read(struct request *request)
{
	struct channel *ch = &request->slot->channel;
	const struct ring_chain *chain = request->chain;
	bool may_park = request->queue->kind == QUEUE_RX &&
			!(request->header.flags & MP_READ_NOW);
	struct bytes bytes;
	enum moved result;

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
	if (message_map_payload(request) != MP_OK)
		return MP_FAULT;
	bytes = message_bytes(request);
	result = transfer_read(ch, &bytes);
	request->count = bytes.moved;
	note_state(request->slot);
	if (result == MOVED_FAULT) {
		state_report_fault(request->port->device, &bytes, message_writable(chain),
				   chain->writable, sizeof(struct mp_result) + bytes.moved);
		return MP_FAULT;
	}
	if (request->count || ch->in.has_ended)
		return MP_OK;
	if (result == MOVED_FAILED)
		return MP_ENDED;
	return may_park ? park_request(request) : MP_AGAIN;
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
	const struct ring_chain *chain = request->chain;
	struct bytes bytes;
	enum moved result;

	if (!may_write(ch, &request->header))
		return MP_BAD_STATE;
	if (request->header.offset != ch->out.offset)
		return MP_ORDER;
	if (ch->phase == CHANNEL_FAILED || ch->out.has_ended)
		return MP_ENDED;
	if (message_map_payload(request) != MP_OK)
		return MP_FAULT;
	bytes = message_bytes(request);
	result = transfer_write(ch, &bytes);
	request->count = bytes.moved;
	note_state(request->slot);
	if (result == MOVED_FAULT) {
		state_report_fault(request->port->device, &bytes, chain->segments,
				   chain->readable, sizeof(struct mp_request) + bytes.moved);
		return MP_FAULT;
	}
	if (request->count)
		return MP_OK;
	return result == MOVED_EMPTY ? MP_AGAIN : MP_ENDED;
}
