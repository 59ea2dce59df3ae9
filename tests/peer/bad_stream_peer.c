// SPDX-License-Identifier: MIT
/* See bad_stream_peer.h. */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "bad_stream_peer.h"

void stream_init(struct stream *s, int fd, bool is_device)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->is_device = is_device;
	s->window = MP_WINDOW_MAX;
	s->max_channels = is_device ? STREAM_SLOTS : 0;
}

/* --- Sending -------------------------------------------------------------- */

bool stream_send(struct stream *s, const void *buf, size_t len)
{
	ssize_t n;

	for (size_t at = 0; at < len; at += n) {
		n = send(s->fd, (const char *)buf + at, len - at, MSG_NOSIGNAL);
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return false;
		if (n < 0)
			FAIL("the stream takes nothing: %s", strerror(errno));
	}
	return true;
}

bool stream_send_zeros(struct stream *s, size_t len)
{
	static const char zeros[1 << 16];
	size_t n = 0;
	bool ok = true;

	for (size_t at = 0; ok && at < len; at += n) {
		n = len - at < sizeof(zeros) ? len - at : sizeof(zeros);
		ok = stream_send(s, zeros, n);
	}
	return ok;
}

bool stream_send_sync(struct stream *s, bool hunts)
{
	struct sync sync = {
		.version = MP_STREAM_VERSION, .window = s->window,
		.max_channels = s->max_channels, .hunts = hunts,
	};
	char buf[sizeof(struct mp_sync)];

	memcpy(sync.mine, s->mine, MP_NONCE_SIZE);
	memcpy(sync.yours, s->heard, MP_NONCE_SIZE);
	sync_put(buf, &sync);
	return stream_send(s, buf, sizeof(buf));
}

size_t stream_make(struct stream *s, struct frame frame, const void *body, void *buf)
{
	frame.session = s->number;
	frame.seq = s->out_seq++;
	memset((char *)buf + sizeof(struct mp_frame), 0, frame.length);
	if (body)
		memcpy((char *)buf + sizeof(struct mp_frame), body, frame.length);
	frame_put(buf, &frame);
	return FRAME_EXTRA + frame.length;
}

bool stream_put(struct stream *s, struct frame frame, const void *body)
{
	char buf[FRAME_MAX];

	return stream_send(s, buf, stream_make(s, frame, body, buf));
}

bool stream_say(struct stream *s, uint16_t type, uint16_t flags, uint32_t slot, uint64_t offset)
{
	const struct frame frame = {
		.type = type, .flags = flags, .slot = slot,
		.generation = s->ends[slot].generation, .offset = offset,
	};

	return stream_put(s, frame, NULL);
}

bool stream_connect(struct stream *s, uint32_t slot, uint32_t generation, const char *name)
{
	struct frame frame = { .type = MP_FRAME_CONNECT, .slot = slot, .generation = generation };
	const struct frame_connect connect = {
		.uid = 1000, .gid = 1000, .pid = 1, .comm = "bad", .name = name,
		.name_len = strlen(name),
	};
	char body[FRAME_CONNECT_MAX];

	frame.length = frame_put_connect(body, &connect);
	s->ends[slot] = (struct stream_end){
		.generation = generation, .in_granted = s->window, .out_granted = s->peer_window,
	};
	return stream_put(s, frame, body);
}

bool stream_data(struct stream *s, uint32_t slot, const void *bytes, uint32_t len)
{
	struct stream_end *end = &s->ends[slot];
	const struct frame frame = {
		.type = MP_FRAME_DATA, .slot = slot, .generation = end->generation,
		.offset = end->out, .length = len,
	};

	end->out += len;
	return stream_put(s, frame, bytes);
}

bool stream_grant(struct stream *s, uint32_t slot, uint64_t offset)
{
	if (offset > s->ends[slot].in_granted)
		s->ends[slot].in_granted = offset;
	return stream_say(s, MP_FRAME_GRANT, 0, slot, offset);
}

/* --- What comes ----------------------------------------------------------- */

static void note_data(struct stream *s, struct stream_end *end, const struct frame *frame)
{
	CHECK(s->is_lax || (frame->offset == end->in &&
			    frame->offset + frame->length <= end->in_granted &&
			    (s->is_device || (end->state & MP_ST_CONNECTED)) &&
			    !(end->state & MP_ST_IN_END) && !end->has_closed));
	end->in += frame->length;
}

static void note_connect(struct stream *s, const struct frame *frame, const char *body)
{
	struct stream_end *end = &s->ends[frame->slot];
	struct frame_connect connect;

	CHECK(s->is_lax || !end->generation);
	CHECK(frame_get_connect(&connect, body, frame->length));
	*end = (struct stream_end){
		.generation = frame->generation, .in_granted = s->window,
		.out_granted = s->peer_window,
	};
	s->newest = frame->slot;
	s->connects++;
}

static void note_close(struct stream *s, struct stream_end *end, const struct frame *frame)
{
	CHECK(s->is_lax || !end->has_aborted);
	if (frame->flags & MP_CLOSE_ABORT) {
		end->has_closed = end->has_aborted = true;
	} else if (frame->offset == MP_CLOSE_LATER) {
		CHECK(s->is_lax || (!end->leaves && !end->has_closed));
		end->leaves = true;
	} else {
		CHECK(s->is_lax || (!end->has_closed && frame->offset == end->in));
		end->has_closed = true;
	}
}

/* What each frame means for the channel that it names. */
static void note(struct stream *s, const struct frame *frame, const char *body)
{
	struct stream_end *end;

	s->pongs += frame->type == MP_FRAME_PONG;
	CHECK(frame->slot < STREAM_SLOTS);
	end = &s->ends[frame->slot];
	if (frame->type == MP_FRAME_CONNECT) {
		note_connect(s, frame, body);
	} else if (!end->generation || frame->generation != end->generation) {
		return;			/* the lie was about that channel */
	} else if (frame->type == MP_FRAME_DATA) {
		note_data(s, end, frame);
	} else if (frame->type == MP_FRAME_GRANT) {
		if (frame->offset > end->out_granted)
			end->out_granted = frame->offset;
	} else if (frame->type == MP_FRAME_SHUTDOWN) {
		CHECK(s->is_lax || !(frame->flags & MP_SHUT_WRITE) || frame->offset == end->in);
		end->shut |= frame->flags;
	} else if (frame->type == MP_FRAME_CLOSE) {
		note_close(s, end, frame);
	} else if (frame->type == MP_FRAME_STATE) {
		end->state = frame->flags;
		end->reason = frame->offset;
		if (end->state & MP_ST_CLOSED)
			end->generation = 0;
	}
}

static void drop(struct stream *s, size_t len)
{
	s->len -= len;
	memmove(s->in, s->in + len, s->len);
}

/* More bytes. CAME_FRAME: there are some. */
static enum came receive(struct stream *s, int ms)
{
	struct pollfd wait = { .fd = s->fd, .events = POLLIN };
	ssize_t n;

	if (poll(&wait, 1, ms) <= 0)
		return CAME_NOTHING;
	n = recv(s->fd, s->in + s->len, sizeof(s->in) - s->len, 0);
	if (n <= 0)
		return CAME_END;
	s->len += n;
	return CAME_FRAME;
}

/* What is there is no frame: a lie may have ended the session in the middle of one. */
static enum came is_nothing(struct stream *s)
{
	CHECK(s->is_lax);
	drop(s, s->len);
	return CAME_NOTHING;
}

static enum came take_sync(struct stream *s)
{
	struct sync sync;

	if (s->len < sizeof(struct mp_sync))
		return CAME_NOTHING;
	if (!sync_get(&sync, s->in, s->is_device))
		return is_nothing(s);
	s->done = sizeof(struct mp_sync);
	s->has_restarted |= memcmp(sync.mine, s->heard, MP_NONCE_SIZE) != 0;
	return CAME_SYNC;
}

/* What is there already. */
static enum came take(struct stream *s, struct frame *frame, const char **body)
{
	size_t zeros = 0;

	drop(s, s->done);
	s->done = 0;
	while (zeros < s->len && !s->in[zeros])
		zeros++;
	drop(s, zeros);
	if (!s->len)
		return CAME_NOTHING;
	if (sync_begins(s->in, s->len))
		return take_sync(s);
	if (s->len < sizeof(struct mp_frame))
		return CAME_NOTHING;
	frame_get_head(frame, s->in);
	if (frame->session != s->number || frame->seq != s->in_seq ||
	    !frame_is_valid(frame, s->is_device))
		return is_nothing(s);
	if (s->len < FRAME_EXTRA + frame->length)
		return CAME_NOTHING;
	if (!frame_has_end(frame, s->in))
		return is_nothing(s);
	s->in_seq++;
	*body = s->in + sizeof(struct mp_frame);
	note(s, frame, *body);
	s->done = FRAME_EXTRA + frame->length;
	return CAME_FRAME;
}

enum came stream_take(struct stream *s, struct frame *frame, const char **body, int ms)
{
	uint64_t limit = peer_now_ms() + ms;
	enum came came, more;

	do {
		uint64_t now = peer_now_ms();

		came = take(s, frame, body);
		if (came != CAME_NOTHING)
			return came;
		more = receive(s, limit > now ? limit - now : 0);
	} while (more == CAME_FRAME);
	return more;
}

void stream_look(struct stream *s, int ms)
{
	struct frame frame;
	const char *body;

	stream_take(s, &frame, &body, ms);
}

bool stream_has_pong(struct stream *s, uint32_t pongs)
{
	enum came came = CAME_FRAME;
	struct frame frame;
	const char *body;

	while (s->pongs == pongs && (came == CAME_FRAME || came == CAME_SYNC))
		came = stream_take(s, &frame, &body, 0);
	return s->pongs != pongs;
}

void stream_wait_state(struct stream *s, uint32_t slot, uint16_t bits)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;

	while (!(s->ends[slot].state & bits)) {
		if (peer_now_ms() >= limit)
			FAIL("slot %u has state %#x, not %#x", slot, s->ends[slot].state, bits);
		stream_look(s, 100);
	}
}

/* --- Sessions ------------------------------------------------------------- */

static void begin(struct stream *s, const struct sync *sync)
{
	uint32_t a, b;

	memcpy(&a, s->mine, sizeof(a));
	memcpy(&b, s->heard, sizeof(b));
	s->number = (le32toh(a) ^ le32toh(b)) | 1;
	s->in_seq = s->out_seq = 0;
	s->peer_window = sync->window;
	s->peer_channels = sync->max_channels;
	s->has_restarted = false;
	memset(s->ends, 0, sizeof(s->ends));
}

/* The next SYNC that is there. */
static bool find_sync(struct stream *s, struct sync *sync)
{
	for (;;) {
		drop(s, sync_skip(s->in, s->len));
		if (s->len < sizeof(struct mp_sync))
			return false;
		if (sync_get(sync, s->in, s->is_device)) {
			drop(s, sizeof(struct mp_sync));
			return true;
		}
		drop(s, 1);
	}
}

bool stream_hunt(struct stream *s, int ms)
{
	uint64_t limit = peer_now_ms() + ms, now;
	struct sync sync;
	bool ok;

	drop(s, s->done);
	s->done = 0;
	memset(s->heard, 0, sizeof(s->heard));
	CHECK(getrandom(s->mine, MP_NONCE_SIZE, 0) == MP_NONCE_SIZE);
	ok = stream_send_zeros(s, MP_STREAM_PAD) && stream_send_sync(s, true);
	while (ok) {
		while (ok && find_sync(s, &sync)) {
			bool is_mine = !memcmp(sync.yours, s->mine, MP_NONCE_SIZE);

			memcpy(s->heard, sync.mine, MP_NONCE_SIZE);
			if (sync.hunts)
				ok = stream_send_sync(s, !is_mine);
			if (is_mine)
				begin(s, &sync);
			if (is_mine)
				return ok;
		}
		now = peer_now_ms();
		ok = ok && now < limit && receive(s, limit - now) == CAME_FRAME;
	}
	return false;
}
