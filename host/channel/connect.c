// SPDX-License-Identifier: MIT
/*
 * From a name to a stream: limits, policy, the service, what comes of it [protocol.md 4.4, 4.5,
 * 4.6], and what the stream reports from then on. A refusal leaves the channel, in phase REFUSED.
 */
#include <string.h>

#include <manyport/wire_check.h>

#include "base/record.h"
#include "channel/channel.h"

static const struct mp_peer_ops peer_ops;

/* --- Outcomes -------------------------------------------------------------- */

static const char *reason_text(enum mp_reason reason)
{
	static const char *const text[] = {
		[MP_REASON_NO_SERVICE] = "no such service",
		[MP_REASON_DENIED] = "denied",
		[MP_REASON_BUSY] = "a limit is reached",
		[MP_REASON_NOT_LISTENING] = "the service does not answer",
		[MP_REASON_TIMED_OUT] = "the service does not answer in time",
		[MP_REASON_NAME_TOO_LONG] = "the name is too long",
		[MP_REASON_NAME_INVALID] = "the name is not valid",
	};
	bool is_known = reason < sizeof(text) / sizeof(*text) && text[reason];

	return is_known ? text[reason] : "the service failed";
}

static void refuse(struct channel *ch, enum mp_reason reason)
{
	core_stop_timer(ch->core, &ch->timer);
	channel_end_stream(ch, MP_END_ABORT);
	channel_log(ch, CHANNEL_LINE_REFUSED + reason, LOG_LEVEL_WARNING, "refused: %s",
		    reason_text(reason));
	channel_release(ch);
	channel_become(ch, CHANNEL_REFUSED, reason);
	ch->core->stats.refused++;
}

static void connect_fixed(struct channel *ch);

/* From the work list, since to connect may take long: so limits that are due do not wait for it. */
static void try_again(struct work *work)
{
	struct channel *ch = container_of(work, struct channel, work);

	connect_fixed(ch);
	ch->changed(ch);
}

static void retry(struct timer *timer)
{
	struct channel *ch = container_of(timer, struct channel, timer);

	ch->work.run = try_again;
	core_defer(ch->core, &ch->work);
}

static void give_up(struct timer *timer)
{
	struct channel *ch = container_of(timer, struct channel, timer);

	refuse(ch, MP_REASON_TIMED_OUT);
	ch->changed(ch);
}

void connect_later(struct channel *ch)
{
	channel_end_stream(ch, MP_END_ABORT);
	channel_become(ch, CHANNEL_CONNECTING, MP_REASON_NONE);
	core_start_timer(ch->core, &ch->timer, CORE_RETRY_MS, retry);
}

/* The service is not there. A fixed gate waits for it [protocol.md 4.6]. */
static void not_reached(struct channel *ch, int reason)
{
	if (reason <= MP_REASON_NONE || reason > MP_REASON_MAX)
		reason = MP_REASON_NOT_LISTENING;
	if (!ch->gate->is_fixed) {
		refuse(ch, reason);
		return;
	}
	if (!ch->is_retrying)
		channel_log(ch, CHANNEL_LINE_WAITS, LOG_LEVEL_INFO, "waits: %s",
			    reason_text(reason));
	ch->is_retrying = true;
	connect_later(ch);
}

static void reached(struct channel *ch)
{
	core_stop_timer(ch->core, &ch->timer);
	channel_become(ch, CHANNEL_CONNECTED, MP_REASON_NONE);
	channel_log(ch, CHANNEL_LINE_OPENED, LOG_LEVEL_DEBUG, "opened");
}

/* What open() of a service has returned; @when: how long what is under way may take. */
static void note_outcome(struct channel *ch, int ret, uint64_t when)
{
	if (ret < 0)
		not_reached(ch, -ret);
	else if (ret > 0)
		reached(ch);
	else if (!ch->gate->is_fixed)
		core_start_timer_at(ch->core, &ch->timer, when, give_up);
}

/* --- Towards the service ---------------------------------------------------- */

static void open_stream(struct channel *ch, struct mp_service *service,
			const struct mp_opener *opener)
{
	int ret;

	stream_begin(&ch->in, &ch->out);
	ch->peer.ops = &peer_ops;
	core_expect_delay(ch->core);
	ret = service->ops->open(service, &ch->peer, opener, &ch->stream);
	if (ret < 0)
		ch->stream = NULL;
	else if (!ch->stream)
		ret = -MP_REASON_NOT_LISTENING;	/* a plugin's mistake */
	note_outcome(ch, ret, core_now(ch->core) + ch->core->config.connect_ms);
}

/* Asks the policy, unless it has said yes before: a fixed gate tries more than once. */
static enum mp_reason admit(struct channel *ch, const struct mp_opener *opener)
{
	struct core *core = ch->core;
	enum mp_reason reason;

	if (ch->service)
		return MP_REASON_NONE;
	if (core->live >= core->config.max_channels)
		return MP_REASON_BUSY;
	reason = core->env.admit(core->env.context, opener, &ch->service, &ch->service_name);
	if (reason == MP_REASON_NONE)
		core->live++;
	return reason;
}

static void connect_service(struct channel *ch, const char *name, const char *argument)
{
	struct mp_opener opener = ch->opener;	/* with strings that are valid for the call */
	enum mp_reason reason;

	opener.guest = ch->core->config.guest;
	opener.port = ch->gate->name;
	opener.service = name;
	opener.argument = argument;
	reason = admit(ch, &opener);
	if (reason == MP_REASON_NONE) {
		open_stream(ch, ch->service, &opener);
		return;
	}
	ch->service_name = name;	/* for the log line */
	if (ch->is_patient && ch->gate->is_fixed)
		not_reached(ch, reason);
	else
		refuse(ch, reason);
	ch->service_name = NULL;
}

static void connect_fixed(struct channel *ch)
{
	const char *name = ch->gate->service_name;

	connect_service(ch, name ? name : "", "");
}

/* @name is the guest's text: valid, so printable, and cut in two here. */
static void connect_named(struct channel *ch, const char *name, size_t len)
{
	char text[MP_NAME_MAX + 1];
	char *plus;

	memcpy(text, name, len);
	text[len] = '\0';
	plus = strchr(text, '+');
	if (plus)
		*plus++ = '\0';
	connect_service(ch, text, plus ? plus : "");
}

/* The line in the log shows what came, so that a wrong end of line can be seen. */
static void refuse_invalid(struct channel *ch, const char *name, size_t len)
{
	char text[64];

	ch->service_name = log_escape(text, sizeof(text), name, len);
	refuse(ch, MP_REASON_NAME_INVALID);
	ch->service_name = NULL;
}

/* --- What a stream reports; each is an entry ------------------------------ */

static struct channel *peer_channel(struct mp_peer *peer)
{
	return container_of(peer, struct channel, peer);
}

/* What came of the report is the binding's; then the entry ends. */
static void report(struct channel *ch)
{
	struct core *core = ch->core;

	ch->changed(ch);
	core->settle(core);
}

static void peer_connected(struct mp_peer *peer)
{
	struct channel *ch = peer_channel(peer);

	if (ch->phase == CHANNEL_CONNECTING && ch->stream)
		reached(ch);
	report(ch);
}

static void peer_refused(struct mp_peer *peer, enum mp_reason reason)
{
	struct channel *ch = peer_channel(peer);

	if (ch->phase == CHANNEL_CONNECTING && ch->stream)
		not_reached(ch, reason);
	report(ch);
}

static void peer_readable(struct mp_peer *peer)
{
	struct channel *ch = peer_channel(peer);

	stream_ready(&ch->in);	/* also before connected(): then IN is set from the start */
	close_advance(ch);
	report(ch);
}

static void peer_writable(struct mp_peer *peer)
{
	struct channel *ch = peer_channel(peer);

	stream_ready(&ch->out);
	report(ch);
}

static void peer_hung_up(struct mp_peer *peer, uint16_t how)
{
	struct channel *ch = peer_channel(peer);

	if (ch->phase == CHANNEL_CONNECTING)
		how &= ~MP_SHUT_WRITE;	/* the first write says so again */
	stream_hung_up(&ch->in, &ch->out, how);
	close_advance(ch);
	report(ch);
}

static const struct mp_peer_ops peer_ops = {
	.connected = peer_connected,
	.refused = peer_refused,
	.readable = peer_readable,
	.writable = peer_writable,
	.hung_up = peer_hung_up,
};

/* --- A channel that was handed over ------------------------------------------ */

static enum mp_reason readmit(struct channel *ch, const char *name)
{
	struct core *core = ch->core;
	struct mp_opener opener = ch->opener;
	enum mp_reason reason;

	opener.guest = core->config.guest;
	opener.port = ch->gate->name;
	opener.service = name;
	opener.argument = "";
	reason = core->env.readmit(core->env.context, &opener, &ch->service, &ch->service_name);
	if (reason == MP_REASON_NONE)
		core->live++;
	return reason;
}

/* Returns as open(). */
static int restore_stream(struct channel *ch, struct record *record)
{
	struct core *core = ch->core;
	int ret = -MP_REASON_RESET;

	ch->peer.ops = &peer_ops;
	if (record_begin(record, CHANNEL_STREAM)) {
		ret = core->env.restore(core->env.context, ch->service, &ch->peer, record,
					&ch->stream);
		record_end(record);
	}
	if (ret < 0)
		ch->stream = NULL;
	return ret;
}

/* Its stream cannot go on. */
static void lose(struct channel *ch)
{
	bool is_closing = ch->phase == CHANNEL_CLOSING;

	channel_log(ch, CHANNEL_LINE_FAILED, LOG_LEVEL_WARNING,
		    "the service does not go on after the restart");
	channel_end_stream(ch, MP_END_ABORT);
	if (is_closing)
		channel_release(ch);
	channel_become(ch, is_closing ? CHANNEL_CLOSED : CHANNEL_FAILED, MP_REASON_RESET);
}

void connect_resume(struct channel *ch, const char *name, bool has_stream, uint64_t when,
		    struct record *record)
{
	enum mp_reason reason = *name ? readmit(ch, name) : MP_REASON_NONE;
	int ret;

	if (channel_is_over(ch))
		return;
	if (ch->phase == CHANNEL_CONNECTING && ch->gate->is_fixed && !has_stream) {
		core_start_timer_at(ch->core, &ch->timer, when, retry);
		return;
	}
	ret = has_stream ? restore_stream(ch, record) : -MP_REASON_RESET;
	if (!ch->service && ret >= 0) {
		channel_end_stream(ch, MP_END_ABORT);
		ret = reason ? -(int)reason : -MP_REASON_RESET;
	}
	if (ch->phase == CHANNEL_CONNECTING)
		note_outcome(ch, ret, when);
	else if (ret <= 0)
		lose(ch);
	else if (ch->phase == CHANNEL_CLOSING)
		close_resume(ch, when);
}

/* --- What the binding asks for --------------------------------------------- */

void connect_begin(struct channel *ch, const char *name, size_t len)
{
	channel_become(ch, CHANNEL_CONNECTING, MP_REASON_NONE);
	ch->service_name = NULL;
	if (ch->gate->is_fixed)
		connect_fixed(ch);
	else if (mp_name_is_valid(name, len))
		connect_named(ch, name, len);
	else
		refuse_invalid(ch, name, len);
}
