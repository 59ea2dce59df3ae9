// SPDX-License-Identifier: MIT
/*
 * zero: gives zeros and takes anything. zero:SIZE ends after SIZE bytes;
 * without a size it ends when the other side has ended, as a source that
 * never ends could only be aborted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/iov.h"
#include "base/record.h"
#include "base/text.h"
#include "service/local.h"
#include "service/setup.h"

#define ENDLESS UINT64_MAX

struct zero_stream {
	struct local_stream local;
	uint64_t left;		/* bytes until the end, or ENDLESS */
};

static ssize_t zero_readv(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct zero_stream *zero = (struct zero_stream *)stream;
	size_t total = 0;

	if (zero->local.shut_read || (zero->left == ENDLESS && zero->local.shut_write))
		return 0;
	for (int i = 0; i < count; i++) {
		size_t len = iov[i].iov_len;

		if (zero->left != ENDLESS && len > zero->left - total)
			len = zero->left - total;
		memset(iov[i].iov_base, 0, len);
		total += len;
	}
	if (zero->left != ENDLESS)
		zero->left -= total;
	return total;
}

static ssize_t zero_writev(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct zero_stream *zero = (struct zero_stream *)stream;

	return zero->local.shut_write ? -EPIPE : (ssize_t)iov_size(iov, count);
}

static void zero_shutdown(struct mp_stream *stream, uint16_t how)
{
	local_shutdown((struct local_stream *)stream, how);
}

static bool zero_close(struct mp_stream *stream, enum mp_end how,
		       const struct mp_place *place)
{
	(void)how;
	(void)place;
	local_fini((struct local_stream *)stream);
	free(stream);
	return false;
}

static void zero_hand_over(struct mp_stream *stream, struct record *record)
{
	struct zero_stream *zero = (struct zero_stream *)stream;

	local_hand_over(&zero->local, record);
	record_u64(record, &zero->left);
}

static const struct mp_stream_ops zero_stream_ops = {
	.readv = zero_readv,
	.writev = zero_writev,
	.shutdown = zero_shutdown,
	.close = zero_close,
	.kind = "zero",
	.save = zero_hand_over,
};

static int zero_open(struct mp_service *service, struct mp_peer *peer,
		     const struct mp_opener *opener, struct mp_stream **stream)
{
	struct local_service *owner = (struct local_service *)service;
	struct zero_stream *zero = calloc(1, sizeof(*zero));

	(void)opener;
	if (!zero)
		return -MP_REASON_BUSY;
	local_init(&zero->local, owner->loop, &zero_stream_ops, peer);
	local_wake(&zero->local);
	zero->left = owner->number;
	*stream = &zero->local.stream;
	return 1;
}

static const struct mp_service_ops zero_ops = {
	.open = zero_open,
	.restore = local_restore,
	.destroy = local_service_destroy,
};

struct mp_service *zero_create(struct service_setup *setup, const char *rest)
{
	uint64_t size = ENDLESS;

	if (*rest && (text_size(rest, &size) || size == ENDLESS))
		return service_fail(setup, "'%s' is not a size such as 64K or 10M", rest);
	return local_service_create(setup, &zero_ops, size);
}
