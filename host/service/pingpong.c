// SPDX-License-Identifier: MIT
/*
 * pingpong: answers each SIZE bytes with SIZE bytes; byte n of an answer is n
 * modulo 256. What was asked is only counted, so any number of questions may
 * be on their way without a buffer.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/iov.h"
#include "base/record.h"
#include "base/text.h"
#include "service/local.h"
#include "service/setup.h"

#define DEFAULT_SIZE 64

struct pingpong_stream {
	struct local_stream local;
	uint64_t size;
	uint64_t asked;		/* bytes of the question that is not complete */
	uint64_t owed;		/* bytes of answers not yet given */
	uint64_t place;		/* in the answer being given */
};

static ssize_t pingpong_readv(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct pingpong_stream *pong = (struct pingpong_stream *)stream;
	size_t total = 0;

	if (pong->local.shut_read)
		return 0;
	for (int i = 0; i < count; i++) {
		uint8_t *bytes = iov[i].iov_base;

		for (size_t j = 0; j < iov[i].iov_len && total < pong->owed; j++, total++) {
			bytes[j] = (uint8_t)pong->place;
			pong->place = pong->place + 1 == pong->size ? 0 : pong->place + 1;
		}
	}
	pong->owed -= total;
	if (total)
		return total;
	return pong->local.shut_write ? 0 : local_read_later(&pong->local);
}

static ssize_t pingpong_writev(struct mp_stream *stream, const struct iovec *iov, int count)
{
	struct pingpong_stream *pong = (struct pingpong_stream *)stream;
	size_t len = iov_size(iov, count);

	if (pong->local.shut_write)
		return -EPIPE;
	pong->asked += len;
	pong->owed += pong->asked - pong->asked % pong->size;
	pong->asked %= pong->size;
	local_wake(&pong->local);
	return len;
}

static void pingpong_shutdown(struct mp_stream *stream, uint16_t how)
{
	local_shutdown((struct local_stream *)stream, how);
}

static bool pingpong_close(struct mp_stream *stream, enum mp_end how,
			   const struct mp_place *place)
{
	(void)how;
	(void)place;
	local_fini((struct local_stream *)stream);
	free(stream);
	return false;
}

static void pingpong_hand_over(struct mp_stream *stream, struct record *record)
{
	struct pingpong_stream *pong = (struct pingpong_stream *)stream;

	local_hand_over(&pong->local, record);
	record_u64(record, &pong->size);
	record_u64(record, &pong->asked);
	record_u64(record, &pong->owed);
	record_u64(record, &pong->place);
	if (!pong->size) {
		pong->size = 1;
		record_spoil(record);
	}
}

static const struct mp_stream_ops pingpong_stream_ops = {
	.readv = pingpong_readv,
	.writev = pingpong_writev,
	.shutdown = pingpong_shutdown,
	.close = pingpong_close,
	.kind = "pingpong",
	.save = pingpong_hand_over,
};

static int pingpong_open(struct mp_service *service, struct mp_peer *peer,
			 const struct mp_opener *opener, struct mp_stream **stream)
{
	struct local_service *owner = (struct local_service *)service;
	struct pingpong_stream *pong = calloc(1, sizeof(*pong));

	(void)opener;
	if (!pong)
		return -MP_REASON_BUSY;
	local_init(&pong->local, owner->loop, &pingpong_stream_ops, peer);
	pong->size = owner->number;
	*stream = &pong->local.stream;
	return 1;
}

static const struct mp_service_ops pingpong_ops = {
	.open = pingpong_open,
	.restore = local_restore,
	.destroy = local_service_destroy,
};

struct mp_service *pingpong_create(struct service_setup *setup, const char *rest)
{
	uint64_t size = DEFAULT_SIZE;

	if (*rest && (text_size(rest, &size) || !size || size > 1ULL << 30))
		return service_fail(setup, "'%s' is not a size from 1 to 1G", rest);
	return local_service_create(setup, &pingpong_ops, size);
}
