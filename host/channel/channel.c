// SPDX-License-Identifier: MIT
/*
 * The record of a channel; see channel.h.
 *
 * A stream exists in CONNECTING (not while a fixed gate waits to try again), CONNECTED and CLOSING.
 * The level bits are a function of phase and halves, so no code sets a bit.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/channel.h"

/* --- The record ---------------------------------------------------------- */

static void free_channel(struct work *work)
{
	free(container_of(work, struct channel, work));
}

void channel_init(struct channel *ch, struct core *core, void (*changed)(struct channel *ch),
		  const struct gate *gate, const struct mp_opener *opener)
{
	ch->core = core;
	ch->changed = changed;
	ch->gate = gate;
	ch->opener = *opener;
	work_init(&ch->work, NULL);
	core->stats.channels++;
}

void channel_end_stream(struct channel *ch, enum mp_end how)
{
	struct mp_stream *stream = ch->stream;

	ch->stream = NULL;
	if (stream)
		stream->ops->close(stream, how, NULL);
}

void channel_release(struct channel *ch)
{
	struct core *core = ch->core;

	if (!ch->service)
		return;
	core->env.release(core->env.context, ch->service, ch->opener.uid);
	ch->service = NULL;
	core->live--;
}

void channel_drop(struct channel *ch)
{
	channel_end_stream(ch, MP_END_ABORT);
	channel_release(ch);
	core_stop_timer(ch->core, &ch->timer);
	ch->work.run = free_channel;
	core_bury(ch->core, &ch->work);
	ch->core->stats.channels--;
}

/* --- A stream that outlives its channel ---------------------------------- */

static void place_left(const struct mp_place *place)
{
	struct core *core = place->context;

	core->env.release(core->env.context, place->service, place->uid);
	core->live--;
}

/* To the service of a channel that the guest has closed, and that has got all, it is the end. */
static enum mp_end end_of(const struct channel *ch)
{
	if (ch->phase == CHANNEL_CLOSING && ch->out.has_ended)
		return MP_END_WHOLE;
	if (ch->phase == CHANNEL_CLOSING || ch->phase == CHANNEL_CONNECTED)
		return MP_END_CUT;
	return MP_END_ABORT;
}

void channel_leave(struct channel *ch, enum mp_end how)
{
	const struct mp_place place = {
		.leave = place_left, .context = ch->core, .service = ch->service,
		.uid = ch->opener.uid, .channel = ch->opener.channel,
		.generation = ch->opener.generation,
	};
	struct mp_stream *stream = ch->stream;

	if (ch->phase == CHANNEL_CONNECTED || ch->phase == CHANNEL_CLOSING)
		channel_log_end(ch, CHANNEL_LINE_CUT, "cut");
	if (stream && how != MP_END_ABORT) {
		ch->stream = NULL;
		if (stream->ops->close(stream, end_of(ch), &place))
			ch->service = NULL;	/* the place is the stream's now */
	}
	channel_drop(ch);
}

/* --- Phases and level state ---------------------------------------------- */

#define EDGE(phase) (1U << (phase))

void channel_become(struct channel *ch, enum channel_phase phase, uint16_t cause)
{
	static const unsigned int edges[] = {
		[CHANNEL_CONNECTING] = EDGE(CHANNEL_CONNECTING) | EDGE(CHANNEL_REFUSED) |
				       EDGE(CHANNEL_CONNECTED) | EDGE(CHANNEL_CLOSED),
		[CHANNEL_REFUSED] = EDGE(CHANNEL_CONNECTING) | EDGE(CHANNEL_CLOSED),
		[CHANNEL_CONNECTED] = EDGE(CHANNEL_FAILED) | EDGE(CHANNEL_CLOSING) |
				      EDGE(CHANNEL_CLOSED),
		[CHANNEL_FAILED] = EDGE(CHANNEL_CLOSED),
		[CHANNEL_CLOSING] = EDGE(CHANNEL_CLOSED),
		[CHANNEL_CLOSED] = 0,
	};

	assert(edges[ch->phase] & EDGE(phase));
	ch->phase = phase;
	ch->cause = cause;
}

static uint16_t flag(bool is_set, enum mp_state_bits bits)
{
	return is_set ? bits : 0;
}

uint16_t channel_bits(const struct channel *ch, uint16_t before)
{
	uint16_t out = flag(!ch->out.is_armed || ch->out.has_ended, MP_ST_OUT) |
		       flag(ch->out.has_ended, MP_ST_OUT_END);
	uint16_t in = flag(!ch->in.is_armed || ch->in.has_ended, MP_ST_IN) |
		      flag(ch->in.has_ended, MP_ST_IN_END);

	switch (ch->phase) {
	case CHANNEL_CONNECTING:
		return 0;
	case CHANNEL_REFUSED:
		return MP_ST_REFUSED;
	case CHANNEL_CONNECTED:
		return MP_ST_CONNECTED | in | out | flag(ch->in.has_hung_up, MP_ST_IN_HUP);
	case CHANNEL_FAILED:
		return MP_ST_CONNECTED | MP_ST_FAILED | MP_ST_IN | MP_ST_OUT | MP_ST_IN_END |
		       MP_ST_OUT_END;
	case CHANNEL_CLOSING:
		return MP_ST_CONNECTED | (before & (MP_ST_IN | MP_ST_IN_END)) | out;
	case CHANNEL_CLOSED:
		return MP_ST_CLOSED;
	}
	return 0;
}

/* --- The log ------------------------------------------------------------- */

/* The name that a limit is kept for, or NULL. Never one that the guest made up. */
static const char *configured_name(const struct channel *ch, enum channel_line kind)
{
	/* The policy denies only what is there. */
	bool is_known = ch->service || kind == CHANNEL_LINE_REFUSED + MP_REASON_DENIED;

	return is_known ? ch->service_name : NULL;
}

void channel_log_end(struct channel *ch, enum channel_line kind, const char *how)
{
	channel_log(ch, kind, LOG_LEVEL_DEBUG, "%s: %llu bytes from the guest, %llu to it", how,
		    (unsigned long long)ch->out.offset, (unsigned long long)ch->in.offset);
}

void channel_log(struct channel *ch, enum channel_line kind, enum log_level level,
		 const char *format, ...)
{
	struct core *core = ch->core;
	const struct mp_opener *opener = &ch->opener;
	/* DEBUG: it was opened, or has ended. */
	const bool is_always = core->config.access_log &&
			       (level == LOG_LEVEL_DEBUG || kind >= CHANNEL_LINE_REFUSED);
	char text[128], claims[160] = "unknown opener", line[640];
	va_list args;

	if (is_always && level > LOG_LEVEL_INFO)
		level = LOG_LEVEL_INFO;
	if (!log_level_is_on(level))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* The guest kernel's claims, and under the stock driver not even those. */
	if (opener->uid != UINT32_MAX)
		snprintf(claims, sizeof(claims), "uid %u, pid %u, %s", opener->uid, opener->pid,
			 opener->comm);
	snprintf(line, sizeof(line), "%s: port %s: channel %u.%u: %s (%s): %s",
		 core->config.guest, ch->gate->name, opener->channel, opener->generation,
		 ch->service_name ? ch->service_name : "-", claims, text);
	if (is_always)
		log_line(level, "%s", line);
	else
		log_limited(log_limits_get(&core->channel_lines, kind, configured_name(ch, kind)),
			    level, "%s", line);
}
