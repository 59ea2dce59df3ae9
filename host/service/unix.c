// SPDX-License-Identifier: MIT
/*
 * unix:PATH connects each channel to a listening unix socket.
 *
 * A non-blocking connect() never waits: it succeeds, fails, or says EAGAIN
 * because the listener's backlog is full. No event tells when there is room
 * again, so a timer tries again, ever more slowly, until the core's connect
 * time limit closes the stream. One timer serves all waiting streams, in their order:
 * while the first finds no room, no other would.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/unix_address.h"
#include "service/setup.h"
#include "service/socket_stream.h"

#define RETRY_FIRST_MS	1
#define RETRY_MAX_MS	100

struct unix_service {
	struct mp_service service;
	struct loop *loop;
	const char *name;
	struct sockaddr_un address;
	socklen_t address_len;
	struct list waiting;		/* struct unix_stream, oldest first */
	struct loop_timer retry;	/* runs while one waits */
	uint64_t retry_ms;
	struct log_limit limit;
};

struct unix_stream {
	struct socket_stream socket;	/* first: what the core holds */
	struct unix_service *owner;
	struct list link;		/* in owner->waiting, until connected */
};

/* One try. Returns 0: connected, -EAGAIN or -errno. */
static int try_connect(struct unix_stream *stream)
{
	struct unix_service *owner = stream->owner;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), ret;

	if (fd < 0)
		return errno == EAGAIN ? -ENOBUFS : -errno;
	if (connect(fd, (struct sockaddr *)&owner->address, owner->address_len))
		ret = -errno;
	else
		ret = socket_stream_attach(&stream->socket, owner->loop, fd);
	if (ret)
		close(fd);
	return ret;
}

static void retry_later(struct unix_service *owner)
{
	loop_timer_start(&owner->retry, owner->retry_ms);
	owner->retry_ms *= 2;
	if (owner->retry_ms > RETRY_MAX_MS)
		owner->retry_ms = RETRY_MAX_MS;
}

static void log_refusal(struct unix_service *owner, int error)
{
	log_limited(&owner->limit, LOG_LEVEL_WARNING, "service %s: connect: %s", owner->name,
		    strerror(error));
}

/* A peer may close any stream: each turn takes the first of the list again. */
static void retry(struct loop_timer *timer)
{
	struct unix_service *owner = container_of(timer, struct unix_service, retry);
	struct unix_stream *stream;

	while ((stream = list_first(&owner->waiting, struct unix_stream, link))) {
		struct mp_peer *peer = stream->socket.peer;
		int ret = try_connect(stream);

		if (ret == -EAGAIN) {
			retry_later(owner);
			return;
		}
		list_del(&stream->link);
		owner->retry_ms = RETRY_FIRST_MS;
		if (!ret) {
			peer->ops->connected(peer);
			continue;
		}
		log_refusal(owner, -ret);
		peer->ops->refused(peer, socket_reason(-ret));
	}
}

/* What was taken is in the queue of the other end, and stays there. */
static bool unix_close(struct mp_stream *base, enum mp_end how, const struct mp_place *place)
{
	struct unix_stream *stream = (struct unix_stream *)base;

	(void)place;
	list_del(&stream->link);
	if (list_is_empty(&stream->owner->waiting))
		loop_timer_stop(&stream->owner->retry);
	socket_stream_detach(&stream->socket, how);
	free(stream);
	return false;
}

static const struct mp_stream_ops unix_stream_ops = {
	.readv = socket_stream_readv,
	.writev = socket_stream_writev,
	.shutdown = socket_stream_shutdown,
	.close = unix_close,
	.backlog = socket_stream_backlog,
	.kind = "unix",
	.save = socket_stream_save,
};

static struct unix_stream *create_stream(struct unix_service *owner, struct mp_peer *peer)
{
	struct unix_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	socket_stream_init(&stream->socket, &unix_stream_ops, peer, owner->name);
	list_init(&stream->link);
	stream->owner = owner;
	return stream;
}

/* Returns 1: connected, 0: it waits, or -reason: then it is freed. */
static int begin_connecting(struct unix_stream *stream)
{
	struct unix_service *owner = stream->owner;
	/* Streams that wait already go first. */
	int ret = list_is_empty(&owner->waiting) ? try_connect(stream) : -EAGAIN;

	if (ret == -EAGAIN) {
		if (list_is_empty(&owner->waiting)) {
			owner->retry_ms = RETRY_FIRST_MS;
			retry_later(owner);
		}
		list_add_tail(&owner->waiting, &stream->link);
	} else if (ret) {
		log_refusal(owner, -ret);
		unix_close(&stream->socket.stream, MP_END_ABORT, NULL);
		return -(int)socket_reason(-ret);
	}
	return !ret;
}

static int unix_open(struct mp_service *service, struct mp_peer *peer,
		     const struct mp_opener *opener, struct mp_stream **result)
{
	struct unix_service *owner = (struct unix_service *)service;
	struct unix_stream *stream = create_stream(owner, peer);
	int ret;

	(void)opener;
	if (!stream)
		return -MP_REASON_BUSY;
	ret = begin_connecting(stream);
	if (ret >= 0)
		*result = &stream->socket.stream;
	return ret;
}

static int unix_restore(struct mp_service *service, struct mp_peer *peer, struct record *record,
			struct mp_stream **result)
{
	struct unix_stream *stream = create_stream((struct unix_service *)service, peer);
	int ret;

	if (!stream)
		return -MP_REASON_BUSY;
	ret = socket_stream_restore(&stream->socket, stream->owner->loop, record);
	if (ret < 0) {
		unix_close(&stream->socket.stream, MP_END_ABORT, NULL);
		return -MP_REASON_RESET;
	}
	if (!ret)
		ret = begin_connecting(stream);
	if (ret >= 0)
		*result = &stream->socket.stream;
	return ret;
}

static void unix_destroy(struct mp_service *service)
{
	free(service);
}

static const struct mp_service_ops unix_ops = {
	.open = unix_open,
	.restore = unix_restore,
	.destroy = unix_destroy,
};

struct mp_service *unix_create(struct service_setup *setup, const char *rest)
{
	struct unix_service *owner = calloc(1, sizeof(*owner));
	int ret;

	if (!owner)
		return service_fail(setup, "out of memory");
	owner->service.ops = &unix_ops;
	owner->loop = setup->loop;
	owner->name = setup->name;
	list_init(&owner->waiting);
	loop_timer_init(setup->loop, &owner->retry, retry);
	ret = unix_address_set(&owner->address, &owner->address_len, rest);
	if (ret) {
		free(owner);
		return service_fail(setup, "'%s': %s", rest, unix_address_explain(ret));
	}
	if (rest[0] != '@' && access(rest, F_OK) && errno == ENOENT)
		service_warn(setup, "%s does not exist yet", rest);
	return &owner->service;
}
