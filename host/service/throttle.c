// SPDX-License-Identifier: MIT
/*
 * throttle:RATE: an echo that takes at most RATE bytes per second and gives
 * at most RATE bytes per second: a service that stops and goes.
 *
 * Each direction has a bucket that fills at RATE and holds a tenth of a
 * second. A direction that finds its bucket empty waits for the stream's
 * timer, one for both; one that finds the buffer full or empty waits for the
 * other direction.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/record.h"
#include "base/text.h"
#include "service/buffer.h"
#include "service/local.h"
#include "service/setup.h"

#define MS_PER_SEC	1000
#define BURST_MS	100
#define TICK_MS		10
#define MAX_RATE	(1ULL << 40)

struct bucket {
	uint64_t tokens;	/* thousandths of a byte */
	uint64_t filled_ms;
};

struct throttle_stream {
	struct local_stream local;
	struct buffer buffer;
	struct loop *loop;
	struct loop_timer timer;
	uint64_t rate;
	struct bucket in, out;
};

/* What @bucket allows now, in bytes. */
static size_t bucket_fill(struct throttle_stream *throttle, struct bucket *bucket)
{
	uint64_t now = loop_now(throttle->loop), elapsed = now - bucket->filled_ms;
	uint64_t most = throttle->rate * BURST_MS;

	/* However slow, one byte must fit. */
	if (most < MS_PER_SEC)
		most = MS_PER_SEC;
	bucket->filled_ms = now;
	if (elapsed > most / throttle->rate)
		bucket->tokens = most;
	else
		bucket->tokens += throttle->rate * elapsed;
	if (bucket->tokens > most)
		bucket->tokens = most;
	return bucket->tokens / MS_PER_SEC;
}

static void bucket_take(struct bucket *bucket, size_t len)
{
	bucket->tokens -= len * MS_PER_SEC;
}

/* The timer runs as long as a direction may be waiting for its bucket. */
static void expect_tokens(struct throttle_stream *throttle)
{
	uint64_t ms = MS_PER_SEC / throttle->rate;

	if (!loop_timer_is_armed(&throttle->timer))
		loop_timer_start(&throttle->timer, ms > TICK_MS ? ms : TICK_MS);
}

static void tick(struct loop_timer *timer)
{
	struct throttle_stream *throttle = container_of(timer, struct throttle_stream, timer);

	local_wake(&throttle->local);
}

static ssize_t throttle_readv(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct throttle_stream *throttle = (struct throttle_stream *)stream;
	size_t allowed = bucket_fill(throttle, &throttle->in);
	ssize_t len;

	if (!buffer_used(&throttle->buffer))
		return throttle->local.shut_write ? 0 : local_read_later(&throttle->local);
	if (!allowed) {
		expect_tokens(throttle);
		return local_read_later(&throttle->local);
	}
	len = buffer_take(&throttle->buffer, iov, count, allowed);
	bucket_take(&throttle->in, len);
	local_wake(&throttle->local);
	return len;
}

static ssize_t throttle_writev(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct throttle_stream *throttle = (struct throttle_stream *)stream;
	size_t allowed = bucket_fill(throttle, &throttle->out);
	ssize_t len;

	if (throttle->local.shut_write)
		return -EPIPE;
	if (!allowed) {
		expect_tokens(throttle);
		return local_write_later(&throttle->local);
	}
	len = buffer_put(&throttle->buffer, iov, count, allowed);
	if (len < 0)
		return len;
	if (!len)
		return local_write_later(&throttle->local);
	bucket_take(&throttle->out, len);
	if (throttle->local.shut_read)	/* the channel will not read it back */
		buffer_clear(&throttle->buffer);
	local_wake(&throttle->local);
	return len;
}

static void throttle_shutdown(struct mp_stream *stream, uint16_t how)
{
	struct throttle_stream *throttle = (struct throttle_stream *)stream;

	if (how & MP_SHUT_READ)
		buffer_clear(&throttle->buffer);
	local_shutdown(&throttle->local, how);
}

static bool throttle_close(struct mp_stream *stream, enum mp_end how,
			   const struct mp_place *place)
{
	struct throttle_stream *throttle = (struct throttle_stream *)stream;

	(void)how;
	(void)place;
	loop_timer_stop(&throttle->timer);
	local_fini(&throttle->local);
	buffer_clear(&throttle->buffer);
	free(throttle);
	return false;
}

/* Whoever waits for tokens looks again at once. */
static void throttle_hand_over(struct mp_stream *stream, struct record *record)
{
	struct throttle_stream *throttle = (struct throttle_stream *)stream;

	local_hand_over(&throttle->local, record);
	buffer_hand_over(&throttle->buffer, record);
	throttle->rate = record_number(record, throttle->rate, MAX_RATE);
	if (!throttle->rate) {
		throttle->rate = 1;
		record_spoil(record);
	}
	record_u64(record, &throttle->in.tokens);
	record_u64(record, &throttle->in.filled_ms);
	record_u64(record, &throttle->out.tokens);
	record_u64(record, &throttle->out.filled_ms);
	if (record_is_reading(record))
		local_wake(&throttle->local);
}

static const struct mp_stream_ops throttle_stream_ops = {
	.readv = throttle_readv,
	.writev = throttle_writev,
	.shutdown = throttle_shutdown,
	.close = throttle_close,
	.kind = "throttle",
	.save = throttle_hand_over,
};

static int throttle_open(struct mp_service *service, struct mp_peer *peer,
			 const struct mp_opener *opener, struct mp_stream **stream)
{
	struct local_service *owner = (struct local_service *)service;
	struct throttle_stream *throttle = calloc(1, sizeof(*throttle));

	(void)opener;
	if (!throttle)
		return -MP_REASON_BUSY;
	throttle->loop = owner->loop;
	throttle->rate = owner->number;
	throttle->in.filled_ms = throttle->out.filled_ms = loop_now(owner->loop);
	loop_timer_init(owner->loop, &throttle->timer, tick);
	local_init(&throttle->local, owner->loop, &throttle_stream_ops, peer);
	*stream = &throttle->local.stream;
	return 1;
}

static const struct mp_service_ops throttle_ops = {
	.open = throttle_open,
	.restore = local_restore,
	.destroy = local_service_destroy,
};

struct mp_service *throttle_create(struct service_setup *setup, const char *rest)
{
	uint64_t rate;

	if (text_size(rest, &rate) || !rate || rate > MAX_RATE)
		return service_fail(setup, "'%s' is not a rate in bytes per second, such as 64K",
				    rest);
	return local_service_create(setup, &throttle_ops, rate);
}
