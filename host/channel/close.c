// SPDX-License-Identifier: MIT
/*
 * The end of a channel: shutdown, close and what follows [protocol.md 8].
 *
 * A closing channel is over when its out stream has reached the final offset
 * (or the service takes no more) and its service has ended. What the service
 * says from the close on is read and thrown away: no reader is left for it, and
 * a service that waits for its reader would not take what is still to come.
 *
 * Two limits bound it, one after the other. While the service has not got all, linger_ms
 * without progress: it takes bytes, its stream's backlog becomes smaller, or (for a while, see
 * MP_HEARD_LIMITS) it says something. When it has got all, end_ms for its own end. What is in a
 * backlog that would be lost with the stream, such as what a program has not read, it has not got.
 * A stream with a backlog is looked at four times in a limit, so its limit ends up to a quarter
 * late and never early.
 */
#include "base/record.h"
#include "channel/channel.h"

#define DISCARD_ROUNDS 4	/* reads of SCRATCH_SIZE before the others get their turn */
#define LOOKS	       4	/* in a limit, for a stream with a backlog */
#define BACKLOG_UNKNOWN UINT64_MAX

static void finish(struct channel *ch, enum mp_end how, enum mp_reason reason)
{
	core_stop_timer(ch->core, &ch->timer);
	list_del(&ch->work.link);
	channel_end_stream(ch, how);
	channel_log_end(ch, CHANNEL_LINE_CLOSED, "closed");
	channel_release(ch);
	channel_become(ch, CHANNEL_CLOSED, reason);
}

/* Why its stream failed [protocol.md 4.8]. */
static enum mp_reason failure_of(const struct channel *ch)
{
	if (!ch->stream || !ch->stream->ops->reason)
		return MP_REASON_RESET;
	return ch->stream->ops->reason(ch->stream);
}

void close_fail(struct channel *ch)
{
	enum mp_reason reason;

	channel_log(ch, CHANNEL_LINE_FAILED, LOG_LEVEL_WARNING, "the service failed");
	if (ch->phase == CHANNEL_CLOSING) {
		finish(ch, MP_END_ABORT, MP_REASON_RESET);
		return;
	}
	reason = failure_of(ch);
	channel_end_stream(ch, MP_END_ABORT);
	channel_become(ch, CHANNEL_FAILED, reason);
}

/* --- Limits ---------------------------------------------------------------- */

static uint32_t limit_ms(const struct channel *ch)
{
	return ch->closing.is_handed_over ? ch->service->end_ms : ch->service->linger_ms;
}

static void expired(struct timer *timer);

/* For what is left of the limit; or until it is time to look at the backlog. */
static void start_timer(struct channel *ch)
{
	uint32_t limit = limit_ms(ch), end = ch->service->end_ms;

	if (!ch->stream->ops->backlog)
		limit -= core_now(ch->core) - ch->closing.progress_ms;
	else
		limit = ((limit < end ? limit : end) + LOOKS - 1) / LOOKS;
	core_start_timer(ch->core, &ch->timer, limit, expired);
}

/* The limit counts from now. */
static void restart_limit(struct channel *ch)
{
	ch->closing.progress_ms = core_now(ch->core);
	start_timer(ch);
}

void close_took(struct channel *ch)
{
	ch->closing.backlog = BACKLOG_UNKNOWN;	/* it has become larger */
	ch->closing.taken_ms = core_now(ch->core);
	restart_limit(ch);
}

/* What it says is progress while it has not got all, but a service may talk for ever. */
static void note_heard(struct channel *ch)
{
	uint64_t bound = (uint64_t)ch->service->linger_ms * MP_HEARD_LIMITS;

	if (!ch->closing.is_handed_over && core_now(ch->core) - ch->closing.taken_ms < bound)
		ch->closing.progress_ms = core_now(ch->core);	/* the timer finds it there */
}

/* The out stream has ended: its service has got all, but for a backlog, which a look will tell. */
static void note_out_end(struct channel *ch)
{
	struct closing *closing = &ch->closing;

	if (!ch->out.has_ended || closing->is_all_sent)
		return;
	closing->is_all_sent = true;
	closing->is_handed_over = !ch->stream->ops->backlog;
	closing->taken_ms = core_now(ch->core);
	restart_limit(ch);
}

/* The limit has passed. @lost: of the stream's backlog. */
static void give_up(struct channel *ch, uint64_t lost)
{
	unsigned long long ms = core_now(ch->core) - ch->closing.progress_ms;

	if (!ch->out.has_ended && ch->out.final != OFFSET_NONE)
		lost += ch->out.final - ch->out.offset;
	if (ch->out.has_ended && !lost) {
		channel_log(ch, CHANNEL_LINE_LIMIT, LOG_LEVEL_WARNING, "closed: the service has "
			    "got everything, and did not end in %llu ms", ms);
		finish(ch, MP_END_WHOLE, MP_REASON_LINGER);
		return;
	}
	channel_log(ch, CHANNEL_LINE_LIMIT, LOG_LEVEL_WARNING,
		    "aborted: %s%llu bytes were not taken for %llu ms",
		    ch->out.final == OFFSET_NONE ? "more than " : "",
		    (unsigned long long)lost, ms);
	ch->core->stats.aborted++;
	finish(ch, MP_END_ABORT, MP_REASON_LINGER);
}

/* It is time to look whether a closing channel still makes progress. */
static void expired(struct timer *timer)
{
	struct channel *ch = container_of(timer, struct channel, timer);
	struct closing *closing = &ch->closing;
	uint64_t now = core_now(ch->core), backlog = 0;
	bool is_kept = true;

	if (ch->stream->ops->backlog)
		backlog = ch->stream->ops->backlog(ch->stream, &is_kept);
	/* What was not looked at before may have become smaller since. */
	if (backlog < closing->backlog && (backlog || closing->backlog != BACKLOG_UNKNOWN))
		closing->taken_ms = closing->progress_ms = now;
	closing->backlog = backlog;
	if (closing->is_all_sent && !closing->is_handed_over && (is_kept || !backlog)) {
		closing->is_handed_over = true;
		closing->progress_ms = closing->taken_ms;	/* what was heard since is none */
	}
	if (now - closing->progress_ms < limit_ms(ch)) {
		start_timer(ch);
		return;
	}
	give_up(ch, is_kept ? 0 : backlog);
	ch->changed(ch);
}

/* --- Handing over ------------------------------------------------------------ */

void close_hand_over(struct closing *closing, struct record *record)
{
	record_u64(record, &closing->taken_ms);
	record_u64(record, &closing->progress_ms);
	record_u64(record, &closing->backlog);
	record_bool(record, &closing->is_all_sent);
	record_bool(record, &closing->is_handed_over);
}

/* --- Discarding ------------------------------------------------------------- */

/* From the work list: more to throw away. */
static void go_on(struct work *work)
{
	struct channel *ch = container_of(work, struct channel, work);

	close_advance(ch);
	ch->changed(ch);
}

/* Reads what has no reader any more, some at a time; what is left is work for later. */
static void discard(struct channel *ch)
{
	struct core *core = ch->core;

	for (int i = 0; i < DISCARD_ROUNDS && !ch->in.is_drained && !ch->in.is_armed; i++) {
		uint32_t *left = core_may_discard(core);
		uint32_t len = *left < SCRATCH_SIZE ? *left : SCRATCH_SIZE;
		enum moved result;

		if (!len)
			break;
		result = stream_discard(ch->stream, &ch->in, core->scratch, &len);
		*left -= len;
		if (len)
			note_heard(ch);
		if (result == MOVED_FAULT || result == MOVED_FAILED) {
			close_fail(ch);
			return;
		}
	}
	if (ch->in.is_drained || ch->in.is_armed)
		return;
	ch->work.run = go_on;
	if (*core_may_discard(core))
		core_defer(core, &ch->work);
	else
		core_pause(core, &ch->work);
}

void close_advance(struct channel *ch)
{
	if (ch->phase != CHANNEL_CLOSING)
		return;
	note_out_end(ch);
	discard(ch);
	if (ch->phase == CHANNEL_CLOSING && ch->in.is_drained && ch->out.has_ended)
		finish(ch, MP_END_WHOLE, MP_REASON_NONE);
}

void close_resume(struct channel *ch, uint64_t when)
{
	core_start_timer_at(ch->core, &ch->timer, when, expired);
	ch->work.run = go_on;
	core_defer(ch->core, &ch->work);
}

void close_linger(struct channel *ch, uint64_t final)
{
	channel_become(ch, CHANNEL_CLOSING, MP_REASON_NONE);
	stream_end_at(ch->stream, &ch->out, final);
	close_took(ch);
	close_advance(ch);
}

void close_at_offset(struct channel *ch, uint64_t final)
{
	if (ch->phase != CHANNEL_CLOSING)
		return;
	stream_end_at(ch->stream, &ch->out, final);
	close_advance(ch);
}

/* --- What the binding asks for --------------------------------------------- */

/* May the out stream end at @final [protocol.md 8.1]? */
static bool final_is_possible(const struct channel *ch, uint64_t final)
{
	return final >= ch->out.offset && (ch->out.final == OFFSET_NONE || ch->out.final == final);
}

bool close_shut(struct channel *ch, uint16_t how, uint64_t final)
{
	if ((how & MP_SHUT_WRITE) && !final_is_possible(ch, final))
		return false;
	if (how & MP_SHUT_WRITE)
		stream_end_at(ch->stream, &ch->out, final);
	if (how & MP_SHUT_READ)
		stream_end_in(ch->stream, &ch->in);
	return true;
}

/*
 * The guest has neither read nor written a byte. A service that gives clients to channels may
 * give this one to another channel [protocol.md 4.6]: its process has ended before it began.
 */
static bool give_back(struct channel *ch, uint64_t final)
{
	if (ch->in.offset || ch->out.offset || final || ch->in.has_ended || ch->out.has_ended ||
	    !ch->stream->ops->unused)
		return false;
	ch->stream->ops->unused(ch->stream);
	return true;
}

static void close_connected(struct channel *ch, uint64_t final)
{
	if (give_back(ch, final)) {
		close_abort(ch);
	} else if (ch->out.has_ended) {
		close_linger(ch, ch->out.offset);	/* no more is taken anyway */
	} else if (final_is_possible(ch, final)) {
		close_linger(ch, final);
	} else {
		/* The driver does not know what it wrote. A close must get through: an abort. */
		channel_log(ch, CHANNEL_LINE_FINAL, LOG_LEVEL_WARNING,
			    "aborted: the final offset cannot be");
		ch->core->stats.aborted++;
		finish(ch, MP_END_ABORT, MP_REASON_RESET);
	}
}

void close_begin(struct channel *ch, uint64_t final)
{
	if (ch->phase == CHANNEL_CONNECTED)
		close_connected(ch, final);
	else
		close_abort(ch);	/* no service holds anything of it */
}

void close_abort(struct channel *ch)
{
	finish(ch, MP_END_ABORT, MP_REASON_NONE);
}

void close_unknown(struct channel *ch)
{
	if (ch->phase == CHANNEL_CONNECTED)
		give_back(ch, 0);
	close_abort(ch);
}
