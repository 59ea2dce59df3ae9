// SPDX-License-Identifier: MIT
/*
 * echo: gives back what was written, and holds at most BUFFER_MAX bytes of it. An
 * idle stream has no buffer.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/iov.h"
#include "base/record.h"
#include "service/buffer.h"
#include "service/local.h"
#include "service/setup.h"

struct echo_stream {
	struct local_stream local;
	struct buffer buffer;
};

static ssize_t echo_readv(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct echo_stream *echo = (struct echo_stream *)stream;
	ssize_t len = buffer_take(&echo->buffer, iov, count, SIZE_MAX);

	if (len) {
		local_wake(&echo->local);
		return len;
	}
	return echo->local.shut_write ? 0 : local_read_later(&echo->local);
}

static ssize_t echo_writev(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct echo_stream *echo = (struct echo_stream *)stream;
	ssize_t len;

	if (echo->local.shut_write)
		return -EPIPE;
	if (echo->local.shut_read)	/* the channel will not read it back */
		return iov_size(iov, count);
	len = buffer_put(&echo->buffer, iov, count, SIZE_MAX);
	if (len > 0)
		local_wake(&echo->local);
	return len ? len : local_write_later(&echo->local);
}

static void echo_shutdown(struct mp_stream *stream, uint16_t how)
{
	struct echo_stream *echo = (struct echo_stream *)stream;

	if (how & MP_SHUT_READ)
		buffer_clear(&echo->buffer);
	local_shutdown(&echo->local, how);
}

static bool echo_close(struct mp_stream *stream, enum mp_end how,
		       const struct mp_place *place)
{
	struct echo_stream *echo = (struct echo_stream *)stream;

	(void)how;
	(void)place;
	local_fini(&echo->local);
	buffer_clear(&echo->buffer);
	free(echo);
	return false;
}

static void echo_hand_over(struct mp_stream *stream, struct record *record)
{
	struct echo_stream *echo = (struct echo_stream *)stream;

	local_hand_over(&echo->local, record);
	buffer_hand_over(&echo->buffer, record);
}

static const struct mp_stream_ops echo_stream_ops = {
	.readv = echo_readv,
	.writev = echo_writev,
	.shutdown = echo_shutdown,
	.close = echo_close,
	.kind = "echo",
	.save = echo_hand_over,
};

static int echo_open(struct mp_service *service, struct mp_peer *peer,
		     const struct mp_opener *opener, struct mp_stream **stream)
{
	struct local_service *owner = (struct local_service *)service;
	struct echo_stream *echo = calloc(1, sizeof(*echo));

	(void)opener;
	if (!echo)
		return -MP_REASON_BUSY;
	local_init(&echo->local, owner->loop, &echo_stream_ops, peer);
	*stream = &echo->local.stream;
	return 1;
}

static const struct mp_service_ops echo_ops = {
	.open = echo_open,
	.restore = local_restore,
	.destroy = local_service_destroy,
};

struct mp_service *echo_create(struct service_setup *setup, const char *rest)
{
	if (*rest)
		return service_fail(setup, "echo takes nothing behind it");
	return local_service_create(setup, &echo_ops, 0);
}
