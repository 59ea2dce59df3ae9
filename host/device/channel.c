// SPDX-License-Identifier: MIT
/*
 * A channel: its state machine [protocol.md 4.2], its level state [protocol.md 7.1],
 * the way to its service and what its stream reports.
 *
 *	create -> connect -> CONNECTING -> CONNECTED -> CLOSING -> CLOSED -> delivered: free
 *			  \-> REFUSED -> connect	(the same generation)
 *	CONNECTED -> FAILED -> CLOSED; CONNECTING, REFUSED -> CLOSED
 *
 * A stream exists in CONNECTING (not while a fixed port waits to try again),
 * CONNECTED and CLOSING. The level bits are a function of phase and flags, so
 * nobody sets a bit: channel_refresh() numbers what has become of them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/internal.h"

static const struct mp_peer_ops peer_ops;

struct channel *channel_create(struct port *port, uint32_t slot, uint32_t generation)
{
	struct channel *ch = calloc(1, sizeof(*ch));

	if (!ch)
		return NULL;
	ch->port = port;
	ch->peer.ops = &peer_ops;
	ch->slot = slot;
	ch->generation = generation;
	ch->out_final = OFFSET_NONE;
	ch->is_classic = port->device->life == LIFE_CLASSIC;
	list_init(&ch->owed);
	list_init(&ch->timer);
	list_init(&ch->drain);
	list_init(&ch->member);
	if (!ch->is_classic && port_insert(port, ch) < 0) {
		free(ch);
		return NULL;
	}
	port->device->stats.channels++;
	return ch;
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
	struct device *device = ch->port->device;

	if (ch->service)
		device->env.release(device->env.context, ch->service, ch->uid);
	ch->service = NULL;
	if (ch->is_counted)
		device->live--;
	ch->is_counted = false;
}

static void forget_owed(struct channel *ch)
{
	if (!list_is_linked(&ch->owed))
		return;
	list_del(&ch->owed);
	ch->port->device->stats.owed--;
}

void channel_free(struct channel *ch)
{
	channel_end_stream(ch, MP_END_ABORT);
	channel_release(ch);
	transfer_forget(ch);
	forget_owed(ch);
	list_del(&ch->timer);
	list_del(&ch->drain);
	list_del(&ch->member);
	if (!ch->is_classic)
		port_remove(ch->port, ch);
	ch->port->device->stats.channels--;
	free(ch);
}

/* --- A stream that outlives its channel ---------------------------------- */

static void place_left(const struct mp_place *place)
{
	struct device *device = place->context;

	device->env.release(device->env.context, place->service, place->uid);
	device->live--;
}

/* To the service of a channel that the guest has closed, and that has got all, it is the end. */
static enum mp_end end_of(const struct channel *ch)
{
	if (ch->phase == CHANNEL_CLOSING && ch->out_end)
		return MP_END_WHOLE;
	if (ch->phase == CHANNEL_CLOSING || ch->phase == CHANNEL_CONNECTED)
		return MP_END_CUT;
	return MP_END_ABORT;
}

void channel_leave(struct channel *ch, enum mp_end how)
{
	const struct mp_place place = {
		.leave = place_left, .context = ch->port->device, .service = ch->service,
		.uid = ch->uid, .channel = ch->slot, .generation = ch->generation,
	};
	struct mp_stream *stream = ch->stream;

	if (ch->phase == CHANNEL_CONNECTED || ch->phase == CHANNEL_CLOSING)
		channel_log_end(ch, CHANNEL_LINE_CUT, "cut");
	if (stream && how != MP_END_ABORT) {
		ch->stream = NULL;
		if (stream->ops->close(stream, end_of(ch), &place)) {
			/* They are the stream's now. */
			ch->service = NULL;
			ch->is_counted = false;
		}
	}
	channel_free(ch);
}

/* --- Level state --------------------------------------------------------- */

static uint16_t flag(bool is_set, enum mp_state_bits bits)
{
	return is_set ? bits : 0;
}

static uint16_t level_bits(const struct channel *ch)
{
	uint16_t out = flag(!ch->out_wait || ch->out_end, MP_ST_OUT) |
		       flag(ch->out_end, MP_ST_OUT_END);
	uint16_t in = flag(!ch->in_wait || ch->in_end, MP_ST_IN) |
		      flag(ch->in_end, MP_ST_IN_END);

	switch (ch->phase) {
	case CHANNEL_CONNECTING:
		return 0;
	case CHANNEL_REFUSED:
		return MP_ST_REFUSED;
	case CHANNEL_CONNECTED:
		return MP_ST_CONNECTED | in | out | flag(ch->in_hup, MP_ST_IN_HUP);
	case CHANNEL_FAILED:
		return MP_ST_CONNECTED | MP_ST_FAILED | MP_ST_IN | MP_ST_OUT | MP_ST_IN_END |
		       MP_ST_OUT_END;
	case CHANNEL_CLOSING:
		/* What is thrown away is no news for the driver. */
		return MP_ST_CONNECTED | (ch->bits & (MP_ST_IN | MP_ST_IN_END)) | out;
	case CHANNEL_CLOSED:
		return MP_ST_CLOSED;
	}
	return 0;
}

void channel_refresh(struct channel *ch)
{
	struct port *port = ch->port;
	uint16_t bits = level_bits(ch);
	uint16_t reason = bits & (MP_ST_REFUSED | MP_ST_FAILED | MP_ST_CLOSED) ? ch->cause : 0;

	/* A record's first state has number 1: a driver begins with 0. */
	if (ch->is_classic || (ch->seq && bits == ch->bits && reason == ch->reason))
		return;
	ch->bits = bits;
	ch->told_bits &= bits;		/* what was clear since is news again */
	ch->reason = reason;
	ch->seq++;
	if (!list_is_linked(&ch->owed)) {
		list_add_tail(&port->owed, &ch->owed);
		port->device->stats.owed++;
	}
	if (!list_is_linked(&port->owing))
		list_add_tail(&port->device->owing, &port->owing);
}

void channel_get_state(const struct channel *ch, struct mp_state *state)
{
	state->seq = htole32(ch->seq);
	state->bits = htole16(ch->bits);
	state->reason = htole16(ch->reason);
}

void channel_delivered(struct channel *ch)
{
	forget_owed(ch);
	ch->told_bits = ch->bits;
	if (ch->phase == CHANNEL_CLOSED)
		channel_free(ch);
}

/* That OUT or IN is clear may be learned late: who waits for it does so on that answer. */
void channel_delivered_lazily(struct channel *ch)
{
	if (!(ch->bits & ~ch->told_bits))
		channel_delivered(ch);
}

/* --- Time limits --------------------------------------------------------- */

void channel_start_timer(struct channel *ch, enum timer_kind kind, uint32_t ms)
{
	struct device *device = ch->port->device;
	struct timer_list *timers = device_timers(device, ms);
	bool is_first = list_is_empty(&timers->channels);

	list_del(&ch->timer);
	ch->timer_kind = kind;
	ch->deadline = device_now(device) + ms;
	list_add_tail(&timers->channels, &ch->timer);
	if (is_first)
		device->env.rearm(device->env.context);
}

/* --- Failing ------------------------------------------------------------- */

/* Why its stream failed, for a driver that knows the answer [protocol.md 4.8]. */
static enum mp_reason failure_of(const struct channel *ch)
{
	if (ch->port->device->version < 2 || ch->is_classic || !ch->stream ||
	    !ch->stream->ops->reason)
		return MP_REASON_RESET;
	return ch->stream->ops->reason(ch->stream);
}

void channel_fail(struct channel *ch)
{
	channel_log(ch, CHANNEL_LINE_FAILED, LOG_LEVEL_WARNING, "the service failed");
	if (ch->phase == CHANNEL_CLOSING) {
		close_finish(ch, MP_END_ABORT, MP_REASON_RESET);
		return;
	}
	ch->cause = failure_of(ch);
	channel_end_stream(ch, MP_END_ABORT);
	ch->phase = CHANNEL_FAILED;
	channel_refresh(ch);
	transfer_unpark(ch, MP_ENDED);
}

void channel_expired(struct channel *ch)
{
	switch (ch->timer_kind) {
	case TIMER_CONNECT:
		connect_refuse(ch, MP_REASON_TIMED_OUT);
		break;
	case TIMER_LINGER:
		close_expired(ch);
		break;
	case TIMER_RETRY:
		connect_fixed(ch);
		break;
	}
}

/* --- What a stream reports; each is an entry ----------------------------- */

static struct channel *peer_channel(struct mp_peer *peer)
{
	return container_of(peer, struct channel, peer);
}

static void peer_connected(struct mp_peer *peer)
{
	struct channel *ch = peer_channel(peer);
	struct device *device = ch->port->device;

	if (ch->phase == CHANNEL_CONNECTING && ch->stream)
		connect_reached(ch);
	device_settle(device);
}

static void peer_refused(struct mp_peer *peer, enum mp_reason reason)
{
	struct channel *ch = peer_channel(peer);
	struct device *device = ch->port->device;

	if (ch->phase == CHANNEL_CONNECTING && ch->stream)
		connect_not_reached(ch, reason);
	device_settle(device);
}

static void peer_readable(struct mp_peer *peer)
{
	struct channel *ch = peer_channel(peer);
	struct device *device = ch->port->device;

	ch->in_wait = false;	/* also before connected(): then IN is set from the start */
	if (ch->phase == CHANNEL_CLOSING)
		close_advance(ch);
	else if (ch->phase == CHANNEL_CONNECTED && ch->is_classic)
		classic_readable(ch);
	else if (ch->phase == CHANNEL_CONNECTED)
		transfer_readable(ch);
	device_settle(device);
}

static void peer_writable(struct mp_peer *peer)
{
	struct channel *ch = peer_channel(peer);
	struct device *device = ch->port->device;

	ch->out_wait = false;
	channel_refresh(ch);
	if (ch->is_classic)
		classic_writable(ch);
	device_settle(device);
}

/* Said before connected() it is said again by the first write. */
static void peer_hung_up(struct mp_peer *peer, uint16_t how)
{
	struct channel *ch = peer_channel(peer);
	struct device *device = ch->port->device;

	if (how & MP_SHUT_READ)
		ch->in_hup = true;
	if ((how & MP_SHUT_WRITE) &&
	    (ch->phase == CHANNEL_CONNECTED || ch->phase == CHANNEL_CLOSING))
		ch->out_end = true;
	channel_refresh(ch);
	close_advance(ch);
	if (ch->is_classic)
		classic_writable(ch);
	device_settle(device);
}

static const struct mp_peer_ops peer_ops = {
	.connected = peer_connected,
	.refused = peer_refused,
	.readable = peer_readable,
	.writable = peer_writable,
	.hung_up = peer_hung_up,
};

/* --- The log ------------------------------------------------------------- */

/* The name that a limit is kept for, or NULL. Never one that the guest made up. */
static const char *configured_name(const struct channel *ch, enum channel_line kind)
{
	/* The policy denies only what is there. */
	bool is_known = ch->service || kind == CHANNEL_LINE_REFUSED + MP_REASON_DENIED;

	return is_known ? ch->service_name : NULL;
}

static bool is_access(enum channel_line kind)
{
	return kind == CHANNEL_LINE_OPENED || kind == CHANNEL_LINE_CLOSED ||
	       kind == CHANNEL_LINE_CUT || kind >= CHANNEL_LINE_REFUSED;
}

void channel_log_end(struct channel *ch, enum channel_line kind, const char *how)
{
	channel_log(ch, kind, LOG_LEVEL_DEBUG, "%s: %llu bytes from the guest, %llu to it", how,
		    (unsigned long long)ch->out_offset, (unsigned long long)ch->in_offset);
}

void channel_log(struct channel *ch, enum channel_line kind, enum log_level level,
		 const char *format, ...)
{
	struct device *device = ch->port->device;
	const bool is_always = device->config.access_log && is_access(kind);
	char text[128], comm[4 * MP_COMM_LEN + 1], who[160] = "unknown opener", line[640];
	va_list args;

	if (is_always && level > LOG_LEVEL_INFO)
		level = LOG_LEVEL_INFO;
	if (!log_level_is_on(level))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* The guest kernel's claims, and under the stock driver not even those. */
	if (!ch->is_classic)
		snprintf(who, sizeof(who), "uid %u, pid %u, %s", ch->uid, ch->pid,
			 log_escape(comm, sizeof(comm), ch->comm, strlen(ch->comm)));
	snprintf(line, sizeof(line), "%s: port %s: channel %u.%u: %s (%s): %s",
		 device->config.guest, ch->port->config.name, ch->slot, ch->generation,
		 ch->service_name ? ch->service_name : "-", who, text);
	if (is_always)
		log_line(level, "%s", line);
	else
		log_limited(log_limits_get(&device->channel_lines, kind, configured_name(ch, kind)),
			    level, "%s", line);
}
