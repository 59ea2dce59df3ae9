// SPDX-License-Identifier: MIT
/* Phases, time, and what is sent. See session.h; what comes in is session_in.c. */
#include "link/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "link/le.h"

struct link_session *link_session_create(const struct link_session_config *config,
					 const struct link_session_ops *ops, void *context)
{
	struct link_session *s = calloc(1, sizeof(*s));

	/* So a SYNC says its role, and an echo of one's own is none. */
	assert(config->is_device == !!config->max_channels);
	if (!s)
		return NULL;
	s->config = *config;
	s->ops = ops;
	s->context = context;
	s->start_at = SESSION_NEVER;
	s->again_at = SESSION_NEVER;
	return s;
}

void link_session_destroy(struct link_session *s)
{
	free(s);
}

/* --- Phases --------------------------------------------------------------- */

static void link_session_become(struct link_session *s, enum link_session_phase phase)
{
	assert(phase != SESSION_HAS || s->phase == SESSION_HUNTS);
	s->phase = phase;
	s->owes_ping = false;
	s->owes_pong = false;
	s->again_at = SESSION_NEVER;
	s->start_at = SESSION_NEVER;
}

static void send_start(struct link_session *s)
{
	s->out.zeros = MP_STREAM_PAD;
	s->owes_sync = true;
	s->again_at = SESSION_NEVER;
}

static void start_now(struct link_session *s, uint64_t now)
{
	s->ops->nonce(s->context, s->mine);
	s->started_ms = now;
	s->start_at = SESSION_NEVER;
	s->again_ms = SESSION_GAP_MS;
	send_start(s);
}

void link_session_start(struct link_session *s, uint64_t now)
{
	assert(!s->is_busy);
	link_session_stop(s);
	link_session_become(s, SESSION_HUNTS);
	memset(s->heard, 0, sizeof(s->heard));
	s->in_len = 0;
	start_now(s, now);
}

void link_session_stop(struct link_session *s)
{
	bool had = s->phase == SESSION_HAS;

	assert(!s->is_busy);
	link_session_become(s, SESSION_OFF);
	outbox_clear(&s->out);
	s->owes_sync = false;
	if (had)
		s->ops->end(s->context, SESSION_STOPPED);
}

/* When the next start is due: starts are apart, whatever the peer does [protocol.md 15.3]. */
static uint64_t next_start(const struct link_session *s, uint64_t now)
{
	uint64_t at = s->started_ms + SESSION_GAP_MS;

	return at > now ? at : now;
}

void link_session_end(struct link_session *s, enum link_session_why why, uint64_t now)
{
	uint64_t at = next_start(s, now);

	assert(s->phase == SESSION_HAS);
	link_session_become(s, SESSION_HUNTS);
	outbox_clear(&s->out);
	s->owes_sync = false;
	memset(s->heard, 0, sizeof(s->heard));
	if (at <= now)
		start_now(s, now);
	else
		s->start_at = at;
	s->ops->end(s->context, why);
}

static uint32_t number_of(const uint8_t *mine, const uint8_t *theirs)
{
	__le32 a, b;

	memcpy(&a, mine, sizeof(a));
	memcpy(&b, theirs, sizeof(b));
	return (le32_get(a) ^ le32_get(b)) | 1;
}

static void begin(struct link_session *s, const struct sync *sync, uint64_t now)
{
	const struct link_session_peer peer = {
		.version = sync->version < s->config.version ? sync->version : s->config.version,
		.window = sync->window,
		.max_channels = sync->max_channels,
	};

	link_session_become(s, SESSION_HAS);
	s->number = number_of(s->mine, sync->mine);
	s->in_seq = 0;
	s->out_seq = 0;
	s->quiet_since = now;
	s->pings = 0;
	s->out.zeros = 0;	/* of a start that was sent again: the peer is in no frame */
	s->ops->begin(s->context, &peer);
}

void link_session_hear(struct link_session *s, const struct sync *sync, bool has_ours, uint64_t now)
{
	bool is_put_off = s->start_at != SESSION_NEVER;

	memcpy(s->heard, sync->mine, MP_NONCE_SIZE);
	if (is_put_off)
		return;
	/* What is put before begin() returns stands behind the SYNC: see link_session_body(). */
	s->owes_sync = s->owes_sync || sync->hunts;
	if (s->phase != SESSION_HUNTS || !has_ours)
		return;
	s->owes_sync = sync->hunts;
	begin(s, sync, now);
}

/* --- Time ----------------------------------------------------------------- */

/* When silence has lasted @quarters of the answer time. */
static uint64_t quiet_at(const struct link_session *s, unsigned int quarters)
{
	return s->quiet_since + (uint64_t)s->config.answer_ms * quarters / 4;
}

uint64_t link_session_deadline(const struct link_session *s)
{
	if (s->phase == SESSION_HUNTS)
		return s->start_at < s->again_at ? s->start_at : s->again_at;
	if (s->phase == SESSION_OFF || !s->config.answer_ms || !(s->channels || s->in_len))
		return SESSION_NEVER;
	return quiet_at(s, s->channels && s->pings < 3 ? s->pings + 1 : 4);
}

static void tick_hunter(struct link_session *s, uint64_t now)
{
	if (now >= s->start_at) {
		start_now(s, now);
	} else if (now >= s->again_at) {
		send_start(s);
		s->again_ms = s->again_ms * 2 < SESSION_AGAIN_MAX_MS ? s->again_ms * 2 :
								     SESSION_AGAIN_MAX_MS;
	}
}

void link_session_tick(struct link_session *s, uint64_t now)
{
	if (now < link_session_deadline(s))
		return;
	if (s->phase == SESSION_HUNTS) {
		tick_hunter(s, now);
		return;
	}
	if (now >= quiet_at(s, 4)) {
		link_session_end(s, SESSION_SILENT, now);
		return;
	}
	s->owes_ping = true;
	while (s->pings < 3 && now >= quiet_at(s, s->pings + 1))
		s->pings++;
}

void link_session_hold(struct link_session *s, uint64_t now)
{
	if (s->channels++)
		return;
	s->quiet_since = now;
	s->pings = 0;
}

void link_session_release(struct link_session *s)
{
	assert(s->channels);
	s->channels--;
}

/* --- Sending -------------------------------------------------------------- */

static void put_sync(struct link_session *s)
{
	struct sync sync = {
		.version = s->config.version,
		.window = s->config.window,
		.max_channels = s->config.max_channels,
		.hunts = s->phase == SESSION_HUNTS,
	};
	void *buf = outbox_room(&s->out, sizeof(struct mp_sync));

	if (!buf)
		return;
	memcpy(sync.mine, s->mine, MP_NONCE_SIZE);
	memcpy(sync.yours, s->heard, MP_NONCE_SIZE);
	sync_put(buf, &sync);
	outbox_add(&s->out, sizeof(struct mp_sync));
	s->owes_sync = false;
}

static bool put_small(struct link_session *s, uint16_t type)
{
	struct frame frame = { .type = type };

	if (!outbox_room(&s->out, FRAME_EXTRA))
		return false;
	link_session_put(s, &frame);
	return true;
}

/* What the session itself owes. It is state, so it waits for room without a queue. */
static void put_owed(struct link_session *s)
{
	if (s->owes_sync)
		put_sync(s);
	if (s->owes_sync || s->phase != SESSION_HAS)
		return;
	if (s->owes_ping)
		s->owes_ping = !put_small(s, MP_FRAME_PING);
	if (s->owes_pong)
		s->owes_pong = !put_small(s, MP_FRAME_PONG);
}

int link_session_iov(struct link_session *s, struct iovec *iov)
{
	put_owed(s);
	return outbox_iov(&s->out, iov);
}

void link_session_sent(struct link_session *s, size_t len, uint64_t now)
{
	outbox_sent(&s->out, len);
	if (s->phase == SESSION_HUNTS && s->start_at == SESSION_NEVER && !s->owes_sync &&
	    outbox_is_empty(&s->out) && s->again_at == SESSION_NEVER)
		s->again_at = now + s->again_ms;
}

void *link_session_body(struct link_session *s)
{
	char *buf;

	if (s->phase != SESSION_HAS)
		return NULL;
	put_owed(s);
	buf = s->owes_sync ? NULL : outbox_room(&s->out, FRAME_MAX + OUTBOX_SMALL);
	return buf ? buf + sizeof(struct mp_frame) : NULL;
}

void link_session_put(struct link_session *s, struct frame *frame)
{
	assert(s->phase == SESSION_HAS);
	frame->session = s->number;
	frame->seq = s->out_seq++;
	frame_put(s->out.buf + s->out.tail, frame);
	outbox_add(&s->out, FRAME_EXTRA + frame->length);
}
