// SPDX-License-Identifier: MIT
/*
 * The end of a channel: SHUTDOWN, CLOSE and what follows [protocol.md 8].
 *
 * A closing channel is over when its out stream has reached the final offset
 * (or the service takes no more) and its service has ended. What the service
 * says from CLOSE on is read and thrown away: nobody may read it any more, and
 * a service that waits for its reader would not take what is still to come.
 *
 * Two limits bound it, one after the other. While the service has not got all, linger_ms
 * without progress: it takes bytes, its stream's backlog becomes smaller, or (for a while, see
 * MP_HEARD_LIMITS) it says something. When it has got all, end_ms for its own end; only a backlog
 * that becomes smaller makes that longer. A stream with a backlog is looked at four times in a
 * limit, so its limit ends up to a quarter late and never early.
 */
#include <errno.h>

#include "device/internal.h"

#define DISCARD_ROUNDS 4	/* reads of SCRATCH_SIZE before the others get their turn */
#define DISCARD_BYTES  (256U << 10)	/* of all channels in a millisecond */
#define LOOKS	       4		/* in a limit, for a stream with a backlog */
#define BACKLOG_UNKNOWN UINT64_MAX

void close_reach_final(struct channel *ch)
{
	if (ch->out_end || ch->out_offset != ch->out_final)
		return;
	ch->out_end = true;
	ch->stream->ops->shutdown(ch->stream, MP_SHUT_WRITE);
}

void close_finish(struct channel *ch, enum mp_end how, enum mp_reason reason)
{
	list_del(&ch->timer);
	list_del(&ch->drain);
	channel_end_stream(ch, how);
	channel_release(ch);
	ch->phase = CHANNEL_CLOSED;
	ch->cause = reason;
	ch->port->device->stats.closed++;
	channel_log_end(ch, CHANNEL_LINE_CLOSED, "closed");
	channel_refresh(ch);
	if (ch->is_classic)
		classic_gone(ch);
}

/* --- Limits ---------------------------------------------------------------- */

static uint32_t limit_ms(const struct channel *ch)
{
	return ch->is_handed_over ? ch->service->end_ms : ch->service->linger_ms;
}

static uint32_t look_ms(uint32_t limit)
{
	return limit / LOOKS + !!(limit % LOOKS);
}

bool close_make_timers(struct device *device, const struct mp_service *service)
{
	return device_timers(device, service->linger_ms) &&
	       device_timers(device, look_ms(service->linger_ms)) &&
	       device_timers(device, service->end_ms) &&
	       device_timers(device, look_ms(service->end_ms));
}

static void start_timer(struct channel *ch)
{
	uint32_t limit = limit_ms(ch);

	channel_start_timer(ch, TIMER_LINGER, ch->stream->ops->backlog ? look_ms(limit) : limit);
}

/* The limit counts from now. */
static void restart_limit(struct channel *ch)
{
	ch->progress_ms = device_now(ch->port->device);
	start_timer(ch);
}

void close_took(struct channel *ch)
{
	ch->backlog = BACKLOG_UNKNOWN;	/* it has become larger */
	ch->taken_ms = device_now(ch->port->device);
	restart_limit(ch);
}

/* What it says is progress while it has not got all, but a service may talk for ever. */
static void note_heard(struct channel *ch)
{
	uint64_t bound = (uint64_t)ch->service->linger_ms * MP_HEARD_LIMITS;

	if (!ch->is_handed_over && device_now(ch->port->device) - ch->taken_ms < bound)
		restart_limit(ch);
}

/* The out stream has ended: what is left to wait for is the service's own end. */
static void note_handed_over(struct channel *ch)
{
	if (!ch->out_end || ch->is_handed_over)
		return;
	ch->is_handed_over = true;
	restart_limit(ch);
}

/* The limit has passed. @lost: of the stream's backlog. */
static void give_up(struct channel *ch, uint64_t lost)
{
	unsigned long long ms = device_now(ch->port->device) - ch->progress_ms;

	if (!ch->out_end && ch->out_final != OFFSET_NONE)
		lost += ch->out_final - ch->out_offset;
	if (ch->out_end && !lost) {
		channel_log(ch, CHANNEL_LINE_LIMIT, LOG_LEVEL_WARNING, "closed: the service has "
			    "got everything, and did not end in %llu ms", ms);
		close_finish(ch, MP_END_WHOLE, MP_REASON_LINGER);
		return;
	}
	channel_log(ch, CHANNEL_LINE_LIMIT, LOG_LEVEL_WARNING,
		    "aborted: %s%llu bytes were not taken for %llu ms",
		    ch->out_final == OFFSET_NONE ? "more than " : "",
		    (unsigned long long)lost, ms);
	ch->port->device->stats.aborted++;
	close_finish(ch, MP_END_ABORT, MP_REASON_LINGER);
}

void close_expired(struct channel *ch)
{
	uint64_t now = device_now(ch->port->device), backlog = 0;
	bool is_kept = true;

	if (ch->stream->ops->backlog)
		backlog = ch->stream->ops->backlog(ch->stream, &is_kept);
	/* What was not looked at before may have become smaller since. */
	if (backlog < ch->backlog && (backlog || ch->backlog != BACKLOG_UNKNOWN))
		ch->taken_ms = ch->progress_ms = now;
	ch->backlog = backlog;
	if (now - ch->progress_ms < limit_ms(ch))
		start_timer(ch);
	else
		give_up(ch, is_kept ? 0 : backlog);
}

/* --- Discarding ------------------------------------------------------------- */

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
			note_heard(ch);
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
	note_handed_over(ch);
	discard(ch);
	if (ch->phase == CHANNEL_CLOSING && ch->is_drained && ch->out_end)
		close_finish(ch, MP_END_WHOLE, MP_REASON_NONE);
	channel_refresh(ch);
}

void close_begin(struct channel *ch, uint64_t final)
{
	ch->phase = CHANNEL_CLOSING;
	ch->out_final = final;
	close_took(ch);
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

/*
 * The guest has neither read nor written a byte. A service that gives clients to channels may
 * give this one to another channel [protocol.md 4.6]: its process has ended before it began.
 */
static bool give_back(struct channel *ch, uint64_t final)
{
	if (ch->in_offset || ch->out_offset || final || ch->in_end || ch->out_end ||
	    !ch->stream->ops->unused)
		return false;
	ch->stream->ops->unused(ch->stream);
	return true;
}

static void close_connected(struct channel *ch, bool abort, uint64_t final)
{
	transfer_unpark(ch, MP_CANCELLED);
	if (abort || give_back(ch, final)) {
		close_finish(ch, MP_END_ABORT, MP_REASON_NONE);
	} else if (ch->out_end) {
		close_begin(ch, ch->out_offset);	/* no more is taken anyway */
	} else if (final_is_possible(ch, final)) {
		close_begin(ch, final);
	} else {
		/* The driver does not know what it wrote. A close must get through: an abort. */
		channel_log(ch, CHANNEL_LINE_FINAL, LOG_LEVEL_WARNING,
			    "aborted: the final offset cannot be");
		ch->port->device->stats.aborted++;
		close_finish(ch, MP_END_ABORT, MP_REASON_RESET);
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
			close_finish(ch, MP_END_ABORT, MP_REASON_NONE);
		return MP_OK;
	default:
		/* No service holds anything of it. */
		close_finish(ch, MP_END_ABORT, MP_REASON_NONE);
		return MP_OK;
	}
}
