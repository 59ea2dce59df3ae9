/* SPDX-License-Identifier: MIT */
/*
 * A service whose every move the test decides: what it has to say, when it is
 * full, how it ends. It checks the core's side of service.h: nothing is asked
 * while a call is owed, nothing after close().
 */
#ifndef TESTS_UNIT_FAKE_SERVICE_H
#define TESTS_UNIT_FAKE_SERVICE_H

#include <stdio.h>

#include "base/iov.h"
#include "base/record.h"
#include "fake_driver.h"

#define FAKE_STREAMS 32768

struct fake_stream {
	struct mp_stream stream;	/* first */
	struct fake_service *service;
	struct mp_peer *peer;
	struct mp_opener opener;
	char name[64], argument[64], comm[32];
	uint8_t *in;			/* what the guest has not read */
	size_t in_len, in_size;
	bool in_end;
	bool is_endless;		/* it always has more to say: zeros */
	int fd;				/* not 0: a socket; the kernel moves the bytes */
	int in_error, out_error;	/* negative errno, once the bytes are gone */
	enum mp_reason reason;		/* why; NONE: RESET */
	size_t out_room;
	uint8_t *out;			/* what the guest wrote */
	size_t out_len, out_size;
	size_t bite;			/* bytes moved in one call at most; 0: no bound */
	bool owes_readable, owes_writable;
	bool shut_read, shut_write;
	bool echo;			/* out goes to in */
	uint64_t backlog;		/* with fake_slow_ops */
	bool is_backlog_kept;
	unsigned int reads, writes;
};

struct fake_service {
	struct mp_service service;	/* first */
	struct fake_driver *driver;
	int answer;			/* what open() returns */
	unsigned int open_us, read_us;	/* how long the calls take */
	size_t out_room;		/* of a new stream */
	bool is_slow;			/* new streams have a backlog */
	bool has_clients;		/* they can be given to another stream */
	unsigned int returned;		/* clients that were */
	bool echo;
	unsigned int opened, closed, cut, aborted;
	bool keeps;			/* a stream that may keep its place does */
	struct mp_place kept[64];	/* and until fake_arrive() it is here */
	unsigned int kept_count;
	unsigned int admitted, released;
	enum mp_reason admission;
	struct fake_stream *last;	/* opened; NULL once closed */
	void (*on_open)(struct fake_stream *stream);	/* may be NULL */
	void (*on_close)(struct fake_stream *stream, enum mp_end how);
	bool is_leaving;		/* the program ends, and its streams go on in another */
};

static inline ssize_t fake_kernel(struct fake_stream *s, const struct iovec *iov, int count,
				  bool *owes, ssize_t (*move)(int, const struct iovec *, int))
{
	ssize_t n = move(s->fd, iov, count);

	*owes = n < 0 && errno == EAGAIN;
	return n < 0 ? -errno : n;
}

static inline ssize_t fake_readv(struct mp_stream *base, const struct iovec *iov, int count)
{
	struct fake_stream *s = (struct fake_stream *)base;
	size_t len = iov_size(iov, count);

	assert_true(count > 0 && count <= 1024 && len > 0);
	assert_false(s->owes_readable);
	s->reads++;
	s->service->driver->spent_us += s->service->read_us;
	if (s->is_endless)
		return len;
	if (s->fd)
		return fake_kernel(s, iov, count, &s->owes_readable, readv);
	if (s->bite && len > s->bite)
		len = s->bite;
	if (len > s->in_len)
		len = s->in_len;
	if (len) {
		assert_int_equal(iov_copy_in(iov, count, 0, s->in, len), len);
		memmove(s->in, s->in + len, s->in_len - len);
		s->in_len -= len;
		return len;
	}
	if (s->in_error)
		return s->in_error;
	if (s->in_end || s->shut_read)
		return 0;
	s->owes_readable = true;
	return -EAGAIN;
}

static inline void fake_append(uint8_t **buf, size_t *len, size_t *size, const void *bytes,
			       size_t count)
{
	if (!count)
		return;
	while (*len + count > *size) {
		*size = *size ? *size * 2 : 256;
		*buf = realloc(*buf, *size);
		assert_non_null(*buf);
	}
	memcpy(*buf + *len, bytes, count);
	*len += count;
}

static inline ssize_t fake_writev(struct mp_stream *base, const struct iovec *iov, int count)
{
	struct fake_stream *s = (struct fake_stream *)base;
	size_t len = iov_size(iov, count), taken = 0;

	assert_true(count > 0 && count <= 1024 && len > 0);
	assert_false(s->owes_writable || s->shut_write);
	s->writes++;
	if (s->fd)
		return fake_kernel(s, iov, count, &s->owes_writable, writev);
	if (s->bite && len > s->bite)
		len = s->bite;
	if (len > s->out_room)
		len = s->out_room;
	if (!len && s->out_error)
		return s->out_error;
	if (!len) {
		s->owes_writable = true;
		return -EAGAIN;
	}
	for (int i = 0; i < count && taken < len; i++) {
		size_t part = iov[i].iov_len < len - taken ? iov[i].iov_len : len - taken;

		fake_append(&s->out, &s->out_len, &s->out_size, iov[i].iov_base, part);
		if (s->echo)
			fake_append(&s->in, &s->in_len, &s->in_size, iov[i].iov_base, part);
		taken += part;
	}
	s->out_room -= len;
	return len;
}

static inline void fake_shutdown(struct mp_stream *base, uint16_t how)
{
	struct fake_stream *s = (struct fake_stream *)base;

	if (how & MP_SHUT_READ) {
		assert_false(s->shut_read);
		s->shut_read = true;
	}
	if (how & MP_SHUT_WRITE) {
		assert_false(s->shut_write);
		s->shut_write = true;
	}
}

static inline bool fake_close(struct mp_stream *base, enum mp_end how,
			      const struct mp_place *place)
{
	struct fake_stream *s = (struct fake_stream *)base;
	struct fake_service *service = s->service;
	bool is_kept = place && service->keeps && how != MP_END_ABORT;

	if (service->is_leaving)
		return false;
	service->closed++;
	service->cut += how == MP_END_CUT;
	service->aborted += how == MP_END_ABORT;
	if (service->on_close)
		service->on_close(s, how);
	if (service->last == s)
		service->last = NULL;
	if (is_kept)
		service->kept[service->kept_count++] = *place;
	free(s->in);
	free(s->out);
	free(s);
	return is_kept;
}

static inline uint64_t fake_backlog(struct mp_stream *base, bool *is_kept)
{
	struct fake_stream *s = (struct fake_stream *)base;

	*is_kept = s->is_backlog_kept;
	return s->backlog;
}

static inline enum mp_reason fake_reason(struct mp_stream *base)
{
	return ((struct fake_stream *)base)->reason ?: MP_REASON_RESET;
}

/* The next program is this one: the stream itself. */
static inline void fake_save(struct mp_stream *base, struct record *record)
{
	record_number(record, (uintptr_t)base, UINTPTR_MAX);
}

static const struct mp_stream_ops fake_stream_ops = {
	.readv = fake_readv, .writev = fake_writev, .shutdown = fake_shutdown, .close = fake_close,
	.reason = fake_reason, .kind = "fake", .save = fake_save,
};

/* The same for streams with a backlog. */
static const struct mp_stream_ops fake_slow_ops = {
	.readv = fake_readv, .writev = fake_writev, .shutdown = fake_shutdown, .close = fake_close,
	.backlog = fake_backlog, .kind = "fake", .save = fake_save,
};

static inline void fake_unused(struct mp_stream *base)
{
	((struct fake_stream *)base)->service->returned++;
}

/* The same for streams that are clients of the host. */
static const struct mp_stream_ops fake_client_ops = {
	.readv = fake_readv, .writev = fake_writev, .shutdown = fake_shutdown, .close = fake_close,
	.unused = fake_unused, .kind = "fake", .save = fake_save,
};

static inline int fake_open(struct mp_service *base, struct mp_peer *peer,
			    const struct mp_opener *opener, struct mp_stream **stream)
{
	struct fake_service *service = (struct fake_service *)base;
	struct fake_stream *s;

	service->driver->spent_us += service->open_us;
	if (service->answer < 0) {
		service->opened++;
		service->closed++;
		return service->answer;
	}
	s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->stream.ops = service->is_slow ? &fake_slow_ops : service->has_clients ?
			&fake_client_ops : &fake_stream_ops;
	s->service = service;
	s->peer = peer;
	s->opener = *opener;
	snprintf(s->name, sizeof(s->name), "%s", opener->service);
	snprintf(s->argument, sizeof(s->argument), "%s", opener->argument);
	snprintf(s->comm, sizeof(s->comm), "%s", opener->comm);
	s->out_room = service->out_room;
	s->echo = service->echo;
	s->owes_readable = true;	/* connecting arms IN */
	service->opened++;
	service->last = s;
	*stream = &s->stream;
	if (service->on_open)
		service->on_open(s);
	return service->answer;
}

/* service->answer is what becomes of it. */
static inline int fake_restore(struct mp_service *base, struct mp_peer *peer,
			       struct record *record, struct mp_stream **stream)
{
	struct fake_service *service = (struct fake_service *)base;
	uint64_t pointer = record_number(record, 0, UINTPTR_MAX);
	struct fake_stream *s = (struct fake_stream *)(uintptr_t)pointer;

	if (service->answer < 0) {
		fake_close(&s->stream, MP_END_ABORT, NULL);
		return service->answer;
	}
	s->peer = peer;
	*stream = &s->stream;
	return service->answer;
}

static const struct mp_service_ops fake_service_ops = {
	.open = fake_open, .restore = fake_restore,
};

/* --- What the test makes the service do ----------------------------------- */

static inline void fake_notify(struct fake_stream *s)
{
	struct fake_driver *d = s->service->driver;
	bool readable = s->owes_readable && (s->in_len || s->in_end || s->in_error || s->shut_read);
	bool writable = s->owes_writable && (s->out_room || s->out_error);
	struct fake_service *service = s->service;

	if (readable)
		s->owes_readable = false;
	if (writable)
		s->owes_writable = false;
	if (readable)
		s->peer->ops->readable(s->peer);
	if (writable && service->last == s)
		s->peer->ops->writable(s->peer);
	fake_run(d);
}

/* What the streams kept that outlive their channels has arrived. */
static inline void fake_arrive(struct fake_service *service)
{
	while (service->kept_count) {
		const struct mp_place *place = &service->kept[--service->kept_count];

		place->leave(place);
	}
}

static inline void fake_say(struct fake_stream *s, const void *bytes, size_t len)
{
	fake_append(&s->in, &s->in_len, &s->in_size, bytes, len);
	fake_notify(s);
}

static inline void fake_end(struct fake_stream *s)
{
	s->in_end = true;
	fake_notify(s);
}

static inline void fake_take(struct fake_stream *s, size_t room)
{
	s->out_room += room;
	fake_notify(s);
}

#endif
