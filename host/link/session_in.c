// SPDX-License-Identifier: MIT
/* What comes from the stream: a hunter looks for SYNCs, a session for frames. See session.h. */
#include "link/session.h"

#include <string.h>

#include "link/frame.h"

#define SYNC_SIZE sizeof(struct mp_sync)

size_t link_session_room(struct link_session *s, void **buf)
{
	*buf = s->in + s->in_len;
	return SESSION_IN_SIZE - s->in_len;
}

static bool is_ours(const struct link_session *s, const uint8_t *nonce)
{
	return !memcmp(nonce, s->mine, MP_NONCE_SIZE);
}

/* These return how many bytes are done with; 0: more must come first. */

static size_t hunt(struct link_session *s, const char *buf, size_t len, uint64_t now)
{
	size_t skip = sync_skip(buf, len);
	struct sync sync;

	if (skip)
		return skip;
	if (len < SYNC_SIZE)
		return 0;
	if (!sync_get(&sync, buf, s->config.is_device))
		return 1;
	link_session_hear(s, &sync, is_ours(s, sync.yours), now);
	return SYNC_SIZE;
}

/* The session ends; what is wrong begins at the byte that is done with, and may hide a SYNC. */
static size_t give_up(struct link_session *s, enum link_session_why why, uint64_t now)
{
	link_session_end(s, why, now);
	return 1;
}

static size_t take_sync(struct link_session *s, const char *buf, size_t len, uint64_t now)
{
	struct sync sync;

	if (len < SYNC_SIZE)
		return 0;
	if (!sync_get(&sync, buf, s->config.is_device))
		return give_up(s, SESSION_LOST, now);
	if (!memcmp(sync.mine, s->heard, MP_NONCE_SIZE)) {
		link_session_hear(s, &sync, true, now);
		return SYNC_SIZE;
	}
	link_session_end(s, SESSION_RESTARTED, now);
	link_session_hear(s, &sync, false, now);
	return SYNC_SIZE;
}

/*
 * Acts on a frame of this session whose head and end fit. Only such a frame shows that the peer is
 * there: a frame that lost bytes would take in, bit by bit, each PING behind it.
 */
static bool act(struct link_session *s, const struct frame *frame, const void *body, uint64_t now)
{
	s->quiet_since = now;
	s->pings = 0;
	s->in_seq++;
	if (frame->type == MP_FRAME_PONG)
		return true;
	if (frame->type != MP_FRAME_PING)
		return s->ops->frame(s->context, frame, body);
	s->owes_pong = true;
	return true;
}

static size_t take_frame(struct link_session *s, const char *buf, size_t len, uint64_t now)
{
	struct frame frame;

	if (len < sizeof(struct mp_frame))
		return 0;
	frame_get_head(&frame, buf);
	if (frame.session != s->number || frame.seq != s->in_seq)
		return give_up(s, SESSION_LOST, now);
	if (!frame_is_valid(&frame, s->config.is_device))
		return give_up(s, SESSION_BROKEN, now);
	if (len < FRAME_EXTRA + frame.length)
		return 0;
	if (!frame_has_end(&frame, buf))
		return give_up(s, SESSION_LOST, now);
	if (!act(s, &frame, buf + sizeof(struct mp_frame), now))
		return give_up(s, SESSION_BROKEN, now);
	return FRAME_EXTRA + frame.length;
}

static size_t take(struct link_session *s, const char *buf, size_t len, uint64_t now)
{
	size_t zeros = 0;

	if (s->phase == SESSION_OFF)
		return len;
	if (s->phase == SESSION_HUNTS)
		return hunt(s, buf, len, now);
	while (zeros < len && !buf[zeros])
		zeros++;
	if (zeros)
		return zeros;
	return sync_begins(buf, len) ? take_sync(s, buf, len, now) : take_frame(s, buf, len, now);
}

void link_session_came(struct link_session *s, size_t len, uint64_t now)
{
	size_t at = 0, done = 1;

	/* With channels only a whole frame counts: see act(). */
	if (!s->in_len && !s->channels)
		s->quiet_since = now;
	s->in_len += len;
	s->is_busy = true;
	while (done && at < s->in_len) {
		done = take(s, s->in + at, s->in_len - at, now);
		at += done;
	}
	s->is_busy = false;
	s->in_len -= at;
	if (at)
		memmove(s->in, s->in + at, s->in_len);
}
