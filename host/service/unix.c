// SPDX-License-Identifier: MIT
/*
 * unix:PATH connects each channel to a listening unix socket.
 *
 * A non-blocking connect() never waits: it succeeds, fails, or says EAGAIN
 * because the listener's backlog is full. No event tells when there is room
 * again, so a timer tries anew, ever more slowly, until the core's connect
 * time limit closes the stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/unix_address.h"
#include "service/registry.h"
#include "service/socket_stream.h"

#define RETRY_FIRST_MS	1
#define RETRY_MAX_MS	100

struct unix_service {
	struct mp_service service;
	struct loop *loop;
	const char *name;
	struct sockaddr_un address;
	socklen_t address_len;
	struct log_limit limit;
};

struct unix_stream {
	struct socket_stream socket;	/* first: what the core holds */
	struct unix_service *owner;
	struct loop_timer retry;
	uint64_t retry_ms;
	int fd;				/* while connecting, else -1 */
};

/* One try. Returns 0: connected, -EAGAIN or -errno. */
static int try_connect(struct unix_stream *stream)
{
	struct unix_service *owner = stream->owner;
	int ret;

	if (connect(stream->fd, (struct sockaddr *)&owner->address, owner->address_len))
		return -errno;
	ret = socket_stream_attach(&stream->socket, owner->loop, stream->fd);
	if (!ret)
		stream->fd = -1;
	return ret;
}

static void retry_later(struct unix_stream *stream)
{
	loop_timer_start(&stream->retry, stream->retry_ms);
	stream->retry_ms *= 2;
	if (stream->retry_ms > RETRY_MAX_MS)
		stream->retry_ms = RETRY_MAX_MS;
}

static void log_refusal(struct unix_service *owner, int error)
{
	log_limited(&owner->limit, LOG_LEVEL_WARNING, "service %s: connect: %s", owner->name,
		    strerror(error));
}

static void retry(struct loop_timer *timer)
{
	struct unix_stream *stream = container_of(timer, struct unix_stream, retry);
	struct mp_peer *peer = stream->socket.peer;
	int ret = try_connect(stream);

	if (ret == -EAGAIN) {
		retry_later(stream);
	} else if (ret) {
		log_refusal(stream->owner, -ret);
		peer->ops->refused(peer, socket_reason(-ret));
	} else {
		peer->ops->connected(peer);
	}
}

/* What was taken is in the queue of the other end, and stays there. */
static bool unix_close(struct mp_stream *base, enum mp_end how, const struct mp_place *place)
{
	struct unix_stream *stream = (struct unix_stream *)base;

	(void)place;
	loop_timer_stop(&stream->retry);
	socket_stream_detach(&stream->socket, how);
	if (stream->fd >= 0)
		close(stream->fd);
	free(stream);
	return false;
}

static const struct mp_stream_ops unix_stream_ops = {
	.readv = socket_stream_readv,
	.writev = socket_stream_writev,
	.shutdown = socket_stream_shutdown,
	.close = unix_close,
	.backlog = socket_stream_backlog,
};

static int unix_open(struct mp_service *service, struct mp_peer *peer,
		     const struct mp_opener *opener, struct mp_stream **result)
{
	struct unix_service *owner = (struct unix_service *)service;
	struct unix_stream *stream = calloc(1, sizeof(*stream));
	int ret;

	(void)opener;
	if (!stream)
		return -MP_REASON_BUSY;
	socket_stream_init(&stream->socket, &unix_stream_ops, peer);
	loop_timer_init(owner->loop, &stream->retry, retry);
	stream->owner = owner;
	stream->retry_ms = RETRY_FIRST_MS;
	stream->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ret = stream->fd < 0 ? -errno : try_connect(stream);
	if (ret == -EAGAIN && stream->fd >= 0) {
		retry_later(stream);
	} else if (ret) {
		log_refusal(owner, -ret);
		unix_close(&stream->socket.stream, MP_END_ABORT, NULL);
		return -(int)socket_reason(-ret);
	}
	*result = &stream->socket.stream;
	return !ret;
}

static void unix_destroy(struct mp_service *service)
{
	free(service);
}

static const struct mp_service_ops unix_ops = {
	.open = unix_open,
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
	ret = unix_address_set(&owner->address, &owner->address_len, rest);
	if (ret) {
		free(owner);
		return service_fail(setup, "'%s': %s", rest, unix_address_explain(ret));
	}
	if (rest[0] != '@' && access(rest, F_OK) && errno == ENOENT)
		service_warn(setup, "%s does not exist yet", rest);
	return &owner->service;
}
