/* SPDX-License-Identifier: MIT */
/*
 * A service whose every move is taken from the input. What was opened and what was let in is
 * counted.
 */
#ifndef TESTS_FUZZ_SERVICE_H
#define TESTS_FUZZ_SERVICE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <manyport/service.h>

#include "base/iov.h"
#include "base/list.h"
#include "fuzz_input.h"

#define STREAMS 64

/* --- Service ------------------------------------------------------------------ */

struct stream {
	struct mp_stream stream;
	struct mp_peer *peer;
	struct list link;
	bool owes_readable, owes_writable, connecting;
};

static bool is_calm;			/* each open succeeds */
static struct list streams;
static unsigned int opened, closed, admitted, released;
static struct mp_service the_service;
static struct mp_place kept[64];	/* of streams that outlive their channels */
static unsigned int kept_count;

/* A move of the stream: bytes, full or empty, the end, an error. */
static ssize_t move(const struct iovec *iov, int count, bool in, bool *owes)
{
	uint8_t choice = next();
	size_t size = iov_size(iov, count);

	CHECK(count > 0 && size > 0);
	for (int i = 0; in && i < count; i++)
		memset(iov[i].iov_base, choice, iov[i].iov_len);
	switch (choice & 7) {
	case 0:
	case 1:
		*owes = true;
		return -EAGAIN;
	case 2:
		return in ? 0 : -EPIPE;
	case 3:
		return choice & 0x80 ? -ECONNRESET : choice & 0x40 ? -EFAULT : 1;
	case 4:
		return size > 1 ? size / 2 : 1;
	default:
		return size;
	}
}

static ssize_t stream_readv(struct mp_stream *base, const struct iovec *iov, int count)
{
	return move(iov, count, true, &((struct stream *)base)->owes_readable);
}

static ssize_t stream_writev(struct mp_stream *base, const struct iovec *iov, int count)
{
	return move(iov, count, false, &((struct stream *)base)->owes_writable);
}

static void stream_shutdown(struct mp_stream *base, uint16_t how)
{
	(void)base;
	CHECK(how == MP_SHUT_READ || how == MP_SHUT_WRITE);
}

static bool stream_close(struct mp_stream *base, enum mp_end how, const struct mp_place *place)
{
	struct stream *s = (struct stream *)base;
	bool is_kept = place && kept_count < 64 && next() & 1;

	CHECK(!place || how != MP_END_ABORT || place->service == &the_service);
	list_del(&s->link);
	closed++;
	free(s);
	if (is_kept)
		kept[kept_count++] = *place;
	return is_kept;
}

static void let_go(void)
{
	while (kept_count) {
		kept_count--;
		kept[kept_count].leave(&kept[kept_count]);
	}
}

static uint64_t stream_backlog(struct mp_stream *base, bool *is_kept)
{
	(void)base;
	*is_kept = next() & 1;
	return next() & 3;
}

static const struct mp_stream_ops stream_ops = {
	.readv = stream_readv, .writev = stream_writev, .shutdown = stream_shutdown,
	.close = stream_close, .backlog = stream_backlog,
};

static int service_open(struct mp_service *service, struct mp_peer *peer,
			const struct mp_opener *opener, struct mp_stream **stream)
{
	uint8_t choice = is_calm ? 1 : next() % 8;
	struct stream *s;

	(void)service;
	CHECK(opener->service && opener->argument && strlen(opener->comm) <= MP_COMM_LEN);
	if (choice == 7)
		return -(int)next();
	s = calloc(1, sizeof(*s));
	s->stream.ops = &stream_ops;
	s->peer = peer;
	s->connecting = choice == 0;
	s->owes_readable = true;
	list_init(&s->link);
	list_add_tail(&streams, &s->link);
	opened++;
	*stream = &s->stream;
	return !s->connecting;
}

static const struct mp_service_ops service_ops = { .open = service_open };

/* One that is owed, or an end that is seen without a call. */
static void call(struct stream *s, uint8_t choice)
{
	if ((choice & 7) == 7) {
		s->peer->ops->hung_up(s->peer, 1 + (choice >> 3) % 3);
	} else if (choice & 1 && s->owes_readable) {
		s->owes_readable = false;
		s->peer->ops->readable(s->peer);
	} else if (s->owes_writable) {
		s->owes_writable = false;
		s->peer->ops->writable(s->peer);
	}
}

/* What becomes of a connection, or a call. */
static void service_step(void)
{
	unsigned int n = next() % STREAMS;
	struct list *link;
	struct stream *s = NULL;

	list_for_each(link, &streams) {
		s = list_entry(link, struct stream, link);
		if (!n--)
			break;
	}
	if (!s)
		return;
	if (s->connecting) {
		s->connecting = false;
		if (next() & 1)
			s->peer->ops->connected(s->peer);
		else
			s->peer->ops->refused(s->peer, next());
		return;
	}
	call(s, next());
}

#endif
