// SPDX-License-Identifier: MIT
/*
 * Bytes: READ, WRITE and parked reads [protocol.md 6].
 *
 * in_wait and out_wait say that the stream has returned -EAGAIN and owes a
 * call: until it comes, nobody asks it again. For a connected channel IN and OUT are just
 * their opposites (or the ends), so "clear" always means that a call is owed: it is
 * armed [protocol.md 7.2].
 *
 * A read is parked only while in_wait is set, and readable() serves it before
 * anything else can read. So a parked read's offset is always the expected one.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/iov.h"
#include "device/internal.h"

/*
 * The kernel could not reach memory that the front end has shared: a page is bad. (Where its file
 * became shorter the session ends, and says so.) @done bytes of @segments, header or result
 * included, were reached.
 */
static void report_fault(struct device *device, const struct ring_segment *segments,
			 unsigned int count, uint64_t done)
{
	for (; count && done >= segments->len; count--)
		done -= segments++->len;
	if (count && !mem_guard_is_tripped())
		log_limited(&device->missing, LOG_LEVEL_WARNING,
			    "%s: the kernel cannot access guest memory behind 0x%llx: "
			    "a request comes back, to be sent from other memory",
			    device->config.guest,
			    (unsigned long long)(segments->addr.value + done));
}

/* --- To and from the stream ---------------------------------------------- */

/* What a service may hand to the kernel as it is; the loop does the rest. */
static int in_one_call(int count)
{
	return count < IOV_MAX ? count : IOV_MAX;
}

/*
 * Fills @iov until it is full or the stream has no more, ended or failed.
 * Returns the bytes moved; what stopped it is in the channel, or *@fault is set: the kernel
 * cannot write to what follows those, and the stream has the bytes still.
 */
static uint32_t pull(struct channel *ch, struct iovec *iov, int count, bool *fault)
{
	uint32_t moved = 0;

	while (count) {
		ssize_t n = ch->stream->ops->readv(ch->stream, iov, in_one_call(count));

		if (n > 0 && (size_t)n <= iov_size(iov, count)) {
			moved += n;
			count = iov_advance(&iov, count, n);
			continue;
		}
		if (n == -EAGAIN)
			ch->in_wait = true;
		else if (n == 0)
			ch->in_end = ch->is_drained = true;
		else if (n == -EFAULT)
			*fault = true;
		else
			channel_fail(ch);
		break;
	}
	if (*fault)
		mem_guard_probe(iov, count);	/* truncated: the session ends after this entry */
	ch->in_offset += moved;
	ch->port->device->moved += moved;
	ch->port->device->stats.bytes_in += moved;
	return moved;
}

size_t transfer_push(struct channel *ch, struct iovec *iov, int count, bool *fault)
{
	size_t moved = 0;

	while (count) {
		ssize_t n = ch->stream->ops->writev(ch->stream, iov, in_one_call(count));

		if (n > 0 && (size_t)n <= iov_size(iov, count)) {
			moved += n;
			count = iov_advance(&iov, count, n);
			continue;
		}
		if (n == -EAGAIN)
			ch->out_wait = true;
		else if (n == -EPIPE)
			ch->out_end = true;
		else if (n == -EFAULT)
			*fault = true;
		else
			channel_fail(ch);
		break;
	}
	if (*fault)
		mem_guard_probe(iov, count);
	ch->out_offset += moved;
	if (moved && ch->phase == CHANNEL_CLOSING)
		close_took(ch);
	ch->port->device->moved += moved;
	ch->port->device->stats.bytes_out += moved;
	return moved;
}

/* --- Parked reads -------------------------------------------------------- */

/* Gives the chain of @held back; frees @held. */
static void give_back(struct channel *ch, struct held *held, const struct request_map *map,
		      enum mp_status status, uint32_t count)
{
	struct mp_result result = {
		.status = htole32(status),
		.count = htole32(count),
		.offset = htole64(ch->in_offset),
	};
	uint16_t head = held->head;
	bool is_lazy = held->is_lazy;

	ch->port->parked -= held->descriptors;
	free(held);
	ch->port->device->stats.parked--;
	if (is_lazy)
		queue_give_quietly(ch->port->rx);
	request_answer(ch->port->rx, head, map, ch, &result, count);
	if (is_lazy)
		channel_delivered_lazily(ch);
	else
		channel_delivered(ch);
}

/* The result's guest addresses to iovecs, once more. Returns false when they are gone. */
static bool map_held(struct channel *ch, const struct held *held, struct request_map *map)
{
	if (!map_result(ch->port->rx->ring->mem, held->segments, held->count, map))
		return true;
	device_break(ch->port->device, "a parked read is not in guest memory any more");
	return false;
}

static struct held *detach(struct channel *ch)
{
	struct held *held = ch->parked;

	ch->parked = NULL;
	return held;
}

void transfer_unpark(struct channel *ch, enum mp_status status)
{
	struct request_map map;

	/* Without a ring, or broken, it stays held until the life ends. */
	if (!ch->parked || !ch->port->rx->ring || ch->port->device->is_broken)
		return;
	if (map_held(ch, ch->parked, &map))
		give_back(ch, detach(ch), &map, status, 0);
}

void transfer_forget(struct channel *ch)
{
	if (!ch->parked)
		return;
	ch->port->parked -= ch->parked->descriptors;
	free(detach(ch));
	ch->port->device->stats.parked--;
}

/* Half of the receive queue at most, so that events and fetches have room [protocol.md 6.5]. */
static int park(struct request *request)
{
	struct channel *ch = request->channel;
	const struct ring_chain *chain = &request->chain;
	struct held *held;

	if (ch->port->parked + chain->descriptors > request->queue->ring->size / 2U)
		return MP_AGAIN;
	held = malloc(sizeof(*held) + chain->writable * sizeof(*chain->segments));
	if (!held)
		return MP_AGAIN;
	list_init(&held->link);
	held->head = chain->head;
	held->descriptors = chain->descriptors;
	held->count = chain->writable;
	held->is_lazy = request->header.flags & MP_LAZY;
	memcpy(held->segments, chain->segments + chain->readable,
	       chain->writable * sizeof(*chain->segments));
	ch->parked = held;
	ch->port->parked += chain->descriptors;
	ch->port->device->stats.parked++;
	return -EINPROGRESS;
}

static void serve_parked(struct channel *ch)
{
	struct iovec iov[PARKED_IOVS];
	struct request_map map;
	struct held *held;
	uint32_t moved = 0;
	bool fault;

	if (!ch->port->rx->ring || !map_held(ch, ch->parked, &map))
		return;
	held = detach(ch);
	/* Its payload was guest memory when it was parked; a map that changed gives it back. */
	fault = map_payload(ch->port->rx->ring->mem, held->segments, held->count,
			    sizeof(struct mp_result), &map, iov, PARKED_IOVS);
	if (!fault)
		moved = pull(ch, map.payload, map.payload_count, &fault);
	channel_refresh(ch);
	if (fault) {
		report_fault(ch->port->device, held->segments, held->count,
			     sizeof(struct mp_result) + moved);
		give_back(ch, held, &map, MP_FAULT, moved);
	} else if (moved || ch->in_end) {
		give_back(ch, held, &map, MP_OK, moved);
	} else if (ch->phase == CHANNEL_FAILED) {
		give_back(ch, held, &map, MP_ENDED, 0);
	} else {
		ch->parked = held;	/* a spurious call */
	}
}

/* --- Requests ------------------------------------------------------------ */

int transfer_read(struct request *request)
{
	struct channel *ch = request->channel;
	bool may_park = request->queue->kind == QUEUE_RX &&
			!(request->header.flags & MP_READ_NOW);
	bool fault = false;

	if (ch->phase != CHANNEL_CONNECTED && ch->phase != CHANNEL_FAILED)
		return MP_BAD_STATE;
	if (request->header.offset != ch->in_offset)
		return MP_ORDER;
	if (ch->phase == CHANNEL_FAILED)
		return MP_ENDED;
	if (may_park && ch->parked)
		return MP_BUSY;
	if (ch->in_end)
		return MP_OK;
	if (request_map_payload(request) != MP_OK)
		return MP_FAULT;
	if (!ch->in_wait) {
		request->count = pull(ch, request->map.payload, request->map.payload_count,
				      &fault);
		channel_refresh(ch);
	}
	if (fault) {
		report_fault(ch->port->device, request->chain.segments + request->chain.readable,
			     request->chain.writable, sizeof(struct mp_result) + request->count);
		return MP_FAULT;
	}
	if (request->count || ch->in_end)
		return MP_OK;
	if (ch->phase == CHANNEL_FAILED)
		return MP_ENDED;
	return may_park ? park(request) : MP_AGAIN;
}

/* Not connected, or beyond the end that the driver set itself [protocol.md 6.3]. */
static bool may_write(const struct channel *ch, const struct request_header *header)
{
	switch (ch->phase) {
	case CHANNEL_FAILED:
		return true;
	case CHANNEL_CONNECTED:
	case CHANNEL_CLOSING:
		return ch->out_final == OFFSET_NONE ||
		       header->offset + header->length <= ch->out_final;
	default:
		return false;
	}
}

int transfer_write(struct request *request)
{
	struct channel *ch = request->channel;
	bool fault = false;

	if (!may_write(ch, &request->header))
		return MP_BAD_STATE;
	if (request->header.offset != ch->out_offset)
		return MP_ORDER;
	if (ch->phase == CHANNEL_FAILED || ch->out_end)
		return MP_ENDED;
	if (request_map_payload(request) != MP_OK)
		return MP_FAULT;
	if (ch->out_wait)
		return MP_AGAIN;
	request->count = transfer_push(ch, request->map.payload, request->map.payload_count,
				       &fault);
	if (ch->phase == CHANNEL_CLOSING)
		close_advance(ch);
	else if (ch->phase == CHANNEL_CONNECTED)
		close_reach_final(ch);
	channel_refresh(ch);
	if (fault) {
		report_fault(ch->port->device, request->chain.segments, request->chain.readable,
			     sizeof(struct mp_request) + request->count);
		return MP_FAULT;
	}
	if (request->count)
		return MP_OK;
	return ch->out_wait ? MP_AGAIN : MP_ENDED;
}

/* --- Readiness ----------------------------------------------------------- */

void transfer_readable(struct channel *ch)
{
	if (ch->parked)
		serve_parked(ch);
	else
		channel_refresh(ch);
}
