// SPDX-License-Identifier: MIT
/*
 * From a name to a stream: limits, policy, the service, and what comes of it
 * [protocol.md 4.4, 4.5, 4.6]. Whoever is told no keeps its channel, in state refused.
 */
#include <string.h>

#include "device/internal.h"

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

void connect_refuse(struct channel *ch, enum mp_reason reason)
{
	list_del(&ch->timer);
	channel_end_stream(ch, MP_END_ABORT);
	channel_log(ch, CHANNEL_LINE_REFUSED + reason, LOG_LEVEL_WARNING, "refused: %s",
		    reason_text(reason));
	channel_release(ch);
	ch->phase = CHANNEL_REFUSED;
	ch->cause = reason;
	ch->port->device->stats.refused++;
	channel_refresh(ch);
	if (ch->is_classic)
		classic_gone(ch);
}

void connect_later(struct channel *ch)
{
	channel_end_stream(ch, MP_END_ABORT);
	ch->phase = CHANNEL_CONNECTING;
	channel_start_timer(ch, TIMER_RETRY, RETRY_MS);
	channel_refresh(ch);
}

/* The service is not there. A fixed port waits for it [protocol.md 4.6]. */
void connect_not_reached(struct channel *ch, int reason)
{
	if (reason <= MP_REASON_NONE || reason > MP_REASON_MAX)
		reason = MP_REASON_NOT_LISTENING;
	if (ch->port->config.kind != MP_PORT_FIXED) {
		connect_refuse(ch, reason);
		return;
	}
	if (!ch->is_retrying)
		channel_log(ch, CHANNEL_LINE_WAITS, LOG_LEVEL_INFO, "waits: %s",
			    reason_text(reason));
	ch->is_retrying = true;
	connect_later(ch);
}

void connect_reached(struct channel *ch)
{
	list_del(&ch->timer);
	ch->phase = CHANNEL_CONNECTED;
	ch->port->device->stats.opened++;
	channel_log(ch, CHANNEL_LINE_OPENED, LOG_LEVEL_DEBUG, "opened");
	channel_refresh(ch);
	if (ch->is_classic)
		classic_connected(ch);
}

static void open_stream(struct channel *ch, struct mp_service *service,
			const struct mp_opener *opener)
{
	int ret;

	/* Connecting arms IN, and the stream knows it; OUT starts set [protocol.md 7.2]. */
	ch->in_wait = true;
	ch->out_wait = false;
	turn_expect_delay(ch->port->device);
	ret = service->ops->open(service, &ch->peer, opener, &ch->stream);
	if (ret < 0)
		ch->stream = NULL;
	else if (!ch->stream)
		ret = -MP_REASON_NOT_LISTENING;	/* a plugin's mistake */
	if (ret < 0)
		connect_not_reached(ch, -ret);
	else if (ret > 0)
		connect_reached(ch);
	else if (ch->port->config.kind != MP_PORT_FIXED)
		channel_start_timer(ch, TIMER_CONNECT, ch->port->device->config.connect_ms);
}

static void fill_opener(const struct channel *ch, struct mp_opener *opener)
{
	memset(opener, 0, sizeof(*opener));
	opener->uid = ch->uid;
	opener->gid = ch->gid;
	opener->pid = ch->pid;
	log_escape(opener->comm, sizeof(opener->comm), ch->comm, strlen(ch->comm));
	opener->guest = ch->port->device->config.guest;
	opener->port = ch->port->config.name;
	opener->argument = "";
	opener->channel = ch->slot;
	opener->generation = ch->generation;
}

/* Counts the channel, or says that there are too many. */
static bool count_live(struct channel *ch)
{
	struct device *device = ch->port->device;

	if (!ch->is_counted && device->live >= device->config.max_channels)
		return false;
	if (!ch->is_counted)
		device->live++;
	ch->is_counted = true;
	return true;
}

/* Asks the policy, unless it has said yes before: a fixed port tries more than once. */
static enum mp_reason admit(struct channel *ch, const struct mp_opener *opener)
{
	struct device *device = ch->port->device;
	const struct device_env *env = &device->env;
	enum mp_reason reason;

	if (!count_live(ch))
		return MP_REASON_BUSY;
	if (ch->service)
		return MP_REASON_NONE;
	reason = env->admit(env->context, opener, &ch->service, &ch->service_name);
	if (reason != MP_REASON_NONE) {
		ch->service = NULL;
		return reason;
	}
	if (!ch->service)
		return MP_REASON_NO_SERVICE;
	return close_make_timers(device, ch->service) ? MP_REASON_NONE : MP_REASON_BUSY;
}

static void connect_service(struct channel *ch, const char *name, const char *argument)
{
	struct mp_opener opener;
	enum mp_reason reason;

	fill_opener(ch, &opener);
	opener.service = name;
	opener.argument = argument;
	reason = admit(ch, &opener);
	if (reason == MP_REASON_NONE) {
		open_stream(ch, ch->service, &opener);
		return;
	}
	ch->service_name = name;	/* for the log line */
	/* A classic fixed port has nobody to tell. */
	if (ch->is_classic && ch->port->config.kind == MP_PORT_FIXED)
		connect_not_reached(ch, reason);
	else
		connect_refuse(ch, reason);
	ch->service_name = NULL;
}

void connect_fixed(struct channel *ch)
{
	const char *name = ch->port->config.service_name;

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
	connect_refuse(ch, MP_REASON_NAME_INVALID);
	ch->service_name = NULL;
}

void connect_begin(struct channel *ch, const char *name, size_t len)
{
	ch->phase = CHANNEL_CONNECTING;
	ch->cause = MP_REASON_NONE;
	ch->service_name = NULL;
	if (ch->port->config.kind == MP_PORT_FIXED)
		connect_fixed(ch);
	else if (mp_name_is_valid(name, len))
		connect_named(ch, name, len);
	else
		refuse_invalid(ch, name, len);
	channel_refresh(ch);
}
