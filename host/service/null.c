// SPDX-License-Identifier: MIT
/* null: takes anything, gives nothing, and ends when the other side has ended. */
#include <errno.h>
#include <stdlib.h>

#include "base/iov.h"
#include "base/record.h"
#include "service/local.h"
#include "service/setup.h"

static ssize_t null_readv(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct local_stream *local = (struct local_stream *)stream;

	(void)iov;
	(void)count;
	return local->shut_write || local->shut_read ? 0 : local_read_later(local);
}

static ssize_t null_writev(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct local_stream *local = (struct local_stream *)stream;

	return local->shut_write ? -EPIPE : (ssize_t)iov_size(iov, count);
}

static void null_shutdown(struct mp_stream *stream, uint16_t how)
{
	local_shutdown((struct local_stream *)stream, how);
}

static bool null_close(struct mp_stream *stream, enum mp_end how,
		       const struct mp_place *place)
{
	(void)how;
	(void)place;
	local_fini((struct local_stream *)stream);
	free(stream);
	return false;
}

static void null_hand_over(struct mp_stream *stream, struct record *record)
{
	local_hand_over((struct local_stream *)stream, record);
}

static const struct mp_stream_ops null_stream_ops = {
	.readv = null_readv,
	.writev = null_writev,
	.shutdown = null_shutdown,
	.close = null_close,
	.kind = "null",
	.save = null_hand_over,
};

static int null_open(struct mp_service *service, struct mp_peer *peer,
		     const struct mp_opener *opener, struct mp_stream **stream)
{
	struct local_service *owner = (struct local_service *)service;
	struct local_stream *local = calloc(1, sizeof(*local));

	(void)opener;
	if (!local)
		return -MP_REASON_BUSY;
	local_init(local, owner->loop, &null_stream_ops, peer);
	*stream = &local->stream;
	return 1;
}

static const struct mp_service_ops null_ops = {
	.open = null_open,
	.restore = local_restore,
	.destroy = local_service_destroy,
};

struct mp_service *null_create(struct service_setup *setup, const char *rest)
{
	if (*rest)
		return service_fail(setup, "null takes nothing behind it");
	return local_service_create(setup, &null_ops, 0);
}
