// SPDX-License-Identifier: MIT
/*
 * The end of a channel: SHUTDOWN, CLOSE and what follows [protocol.md 8].
 *
 * A closing channel is over when its out stream has reached the final offset
 * (or the service takes no more) and its service has ended. What the service
 * says from CLOSE on is read and thrown away: nobody may read it any more, and
 * a service that waits for its reader would not take what is still to come.
 */
#include <errno.h>

#include "device/internal.h"

#define DISCARD_ROUNDS 4	/* reads of SCRATCH_SIZE before the others get their turn */
#define DISCARD_BYTES  (256U << 10)	/* of all channels in a millisecond */

void close_reach_final(struct channel *ch)
{
	if (ch->out_end || ch->out_offset != ch->out_final)
		return;
	ch->out_end = true;
	ch->stream->ops->shutdown(ch->stream, MP_SHUT_WRITE);
}

void close_finish(struct channel *ch, bool abort, enum mp_reason reason)
{
	list_del(&ch->timer);
	list_del(&ch->drain);
	channel_end_stream(ch, abort);
	channel_release(ch);
	ch->phase = CHANNEL_CLOSED;
	ch->cause = reason;
	ch->port->device->stats.closed++;
	channel_log(ch, LOG_LEVEL_DEBUG, "closed");
	channel_refresh(ch);
	if (ch->is_classic)
		classic_gone(ch);
}

/* A service that never stops talking must not keep a processor busy until the time limit. */
uint32_t close_may_discard(struct device *device)
{
	uint64_t now = device_now(device);

	if (now != device->discard_ms)
		device->discard_left = DISCARD_BYTES;
	device->discard_ms = now;
	return device->discard_left;
}

/* Reads what nobody wants, some at a time. */
static void discard(struct channel *ch)
{
	struct device *device = ch->port->device;

	for (int i = 0; i < DISCARD_ROUNDS && !ch->is_drained && !ch->in_wait; i++) {
		uint32_t left = close_may_discard(device);
		struct iovec iov = {
			.iov_base = device->scratch,
			.iov_len = left < SCRATCH_SIZE ? left : SCRATCH_SIZE,
		};
		ssize_t n;

		if (!left)
			break;
		n = ch->stream->ops->readv(ch->stream, &iov, 1);
		if (n > 0 && n <= SCRATCH_SIZE) {
			device->discard_left -= n;
			continue;
		}
		if (n == -EAGAIN) {
			ch->in_wait = true;
		} else if (n == 0) {
			ch->is_drained = true;
		} else {
			channel_fail(ch);
			return;
		}
	}
	if (!ch->is_drained && !ch->in_wait && !list_is_linked(&ch->drain))
		list_add_tail(&device->draining, &ch->drain);
}

void close_advance(struct channel *ch)
{
	if (ch->phase != CHANNEL_CLOSING)
		return;
	close_reach_final(ch);
	discard(ch);
	if (ch->phase == CHANNEL_CLOSING && ch->is_drained && ch->out_end)
		close_finish(ch, false, MP_REASON_NONE);
	channel_refresh(ch);
}

void close_begin(struct channel *ch, uint64_t final)
{
	ch->phase = CHANNEL_CLOSING;
	ch->out_final = final;
	channel_start_timer(ch, TIMER_LINGER);
	close_advance(ch);
}

/* --- Requests ------------------------------------------------------------ */

static void shut_read(struct channel *ch)
{
	if (ch->in_end)
		return;
	ch->in_end = true;
	ch->stream->ops->shutdown(ch->stream, MP_SHUT_READ);
	channel_refresh(ch);
	transfer_unpark(ch, MP_CANCELLED);
}

/* May the out stream end at @final [protocol.md 8.1]? */
static bool final_is_possible(const struct channel *ch, uint64_t final)
{
	return final >= ch->out_offset && (ch->out_final == OFFSET_NONE || ch->out_final == final);
}

int close_shutdown(struct request *request)
{
	const struct request_header *header = &request->header;
	struct channel *ch = request->channel;

	if (ch->phase == CHANNEL_FAILED)
		return MP_OK;	/* both ends are implied */
	if (ch->phase != CHANNEL_CONNECTED)
		return MP_BAD_STATE;
	if ((header->flags & MP_SHUT_WRITE) && !final_is_possible(ch, header->offset))
		return MP_INVALID;
	if (header->flags & MP_SHUT_WRITE) {
		ch->out_final = header->offset;
		close_reach_final(ch);
	}
	if (header->flags & MP_SHUT_READ)
		shut_read(ch);
	channel_refresh(ch);
	return MP_OK;
}

static void close_connected(struct channel *ch, bool abort, uint64_t final)
{
	transfer_unpark(ch, MP_CANCELLED);
	if (abort) {
		close_finish(ch, true, MP_REASON_NONE);
	} else if (ch->out_end) {
		close_begin(ch, ch->out_offset);	/* no more is taken anyway */
	} else if (final_is_possible(ch, final)) {
		close_begin(ch, final);
	} else {
		/* The driver does not know what it wrote. A close must get through: an abort. */
		channel_log(ch, LOG_LEVEL_WARNING, "aborted: the final offset cannot be");
		ch->port->device->stats.aborted++;
		close_finish(ch, true, MP_REASON_RESET);
	}
}

int close_close(struct request *request)
{
	struct channel *ch = request->channel;
	bool abort = request->header.flags & MP_CLOSE_ABORT;

	switch (ch->phase) {
	case CHANNEL_CONNECTED:
		close_connected(ch, abort, request->header.offset);
		return MP_OK;
	case CHANNEL_CLOSING:
	case CHANNEL_CLOSED:
		/* A second one is valid only with ABORT [protocol.md 8.3]. */
		if (!abort)
			return MP_BAD_STATE;
		if (ch->phase == CHANNEL_CLOSING)
			close_finish(ch, true, MP_REASON_NONE);
		return MP_OK;
	default:
		/* No service holds anything of it. */
		close_finish(ch, true, MP_REASON_NONE);
		return MP_OK;
	}
}
