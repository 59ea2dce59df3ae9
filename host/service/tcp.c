// SPDX-License-Identifier: MIT
/*
 * tcp:HOST:PORT connects each channel to a TCP server.
 *
 * The name is resolved once, when the configuration is read: a look-up blocks
 * and must not happen later. Each address is tried in turn; one that does not
 * answer gets ADDRESS_MS while another is left. The core has the time limit
 * for the whole.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "service/leave.h"
#include "service/registry.h"
#include "service/socket_stream.h"

#define ADDRESS_MS 2000

struct tcp_service {
	struct mp_service service;
	struct loop *loop;
	const char *name;
	struct addrinfo *addresses;
	struct log_limit limit;
};

struct tcp_stream {
	struct socket_stream socket;	/* first: what the core holds */
	struct tcp_service *owner;
	const struct addrinfo *next;	/* the address to try after this one */
	struct loop_watch connecting;	/* of fd, until connected */
	struct loop_timer patience;
	int fd;				/* while connecting, else -1 */
	int error;			/* of the last address */
};

static void drop_attempt(struct tcp_stream *stream)
{
	loop_timer_stop(&stream->patience);
	loop_watch_remove(&stream->connecting);
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
}

static void set_options(int fd)
{
	const int on = 1;

	/* The guest decides what goes into one write. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* A server that is gone without a word is noticed at last. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* The attempt has succeeded. */
static int adopt(struct tcp_stream *stream)
{
	int ret;

	loop_timer_stop(&stream->patience);
	loop_watch_remove(&stream->connecting);
	ret = socket_stream_attach(&stream->socket, stream->owner->loop, stream->fd);
	if (!ret)
		stream->fd = -1;
	return ret;
}

static void attempt_ready(struct loop_watch *watch, uint32_t events);

/* Begins one attempt. Returns 1: connected, 0: under way, -errno. */
static int begin_attempt(struct tcp_stream *stream, const struct addrinfo *address)
{
	int ret;

	stream->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			    IPPROTO_TCP);
	if (stream->fd < 0)
		return -errno;
	set_options(stream->fd);
	if (!connect(stream->fd, address->ai_addr, address->ai_addrlen)) {
		ret = adopt(stream);
		return ret ? ret : 1;
	}
	if (errno != EINPROGRESS)
		return -errno;
	if (stream->next)
		loop_timer_start(&stream->patience, ADDRESS_MS);
	return loop_watch_add(stream->owner->loop, &stream->connecting, stream->fd, EPOLLOUT,
			      attempt_ready);
}

/* Begins with the next address that does not fail at once. As begin_attempt(). */
static int try_next(struct tcp_stream *stream)
{
	while (stream->next) {
		const struct addrinfo *address = stream->next;
		int ret;

		stream->next = address->ai_next;
		ret = begin_attempt(stream, address);
		if (ret >= 0)
			return ret;
		stream->error = -ret;
		drop_attempt(stream);
	}
	log_limited(&stream->owner->limit, LOG_LEVEL_WARNING, "service %s: connect: %s",
		    stream->owner->name, strerror(stream->error));
	return -stream->error;
}

/* Goes on after an attempt that failed, and tells the core how it ends. */
static void go_on(struct tcp_stream *stream)
{
	struct mp_peer *peer = stream->socket.peer;
	int ret;

	drop_attempt(stream);
	ret = try_next(stream);
	if (ret > 0)
		peer->ops->connected(peer);
	else if (ret < 0)
		peer->ops->refused(peer, socket_reason(-ret));
}

static void patience_ends(struct loop_timer *timer)
{
	struct tcp_stream *stream = container_of(timer, struct tcp_stream, patience);

	stream->error = ETIMEDOUT;
	go_on(stream);
}

static void attempt_ready(struct loop_watch *watch, uint32_t events)
{
	struct tcp_stream *stream = container_of(watch, struct tcp_stream, connecting);
	int error = 0;
	socklen_t len = sizeof(error);

	(void)events;
	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (!error)
		error = -adopt(stream);
	if (!error) {
		stream->socket.peer->ops->connected(stream->socket.peer);
		return;
	}
	stream->error = error;
	go_on(stream);
}

static void end_left(void *context, int fd, enum mp_end how)
{
	(void)context;
	socket_stream_end(fd, how, false);
}

/*
 * Keeps the socket until its other end has what is in the send queue: a reset, and a close() with
 * unread input, would drop it. Returns false when there is no need, or no memory.
 */
static bool tcp_leave(struct tcp_stream *stream, enum mp_end how, const struct mp_place *place)
{
	struct leave leave = {
		.loop = stream->owner->loop, .name = stream->owner->name, .how = how,
		.end = end_left,
	};

	/* Behind the end of what comes in the kernel delivers on its own. */
	if (how == MP_END_ABORT || stream->socket.fd < 0 || !leave_queued(stream->socket.fd) ||
	    (how == MP_END_WHOLE && stream->socket.has_ended))
		return false;
	leave.fd = stream->socket.fd;
	if (!leave_begin(&leave, place))
		return false;
	socket_stream_take(&stream->socket);
	return true;
}

static bool tcp_close(struct mp_stream *base, enum mp_end how, const struct mp_place *place)
{
	struct tcp_stream *stream = (struct tcp_stream *)base;
	bool is_kept = place && tcp_leave(stream, how, place);

	drop_attempt(stream);
	if (!is_kept)
		socket_stream_detach(&stream->socket, how);
	free(stream);
	return is_kept;
}

static const struct mp_stream_ops tcp_stream_ops = {
	.readv = socket_stream_readv,
	.writev = socket_stream_writev,
	.shutdown = socket_stream_shutdown,
	.close = tcp_close,
	.backlog = socket_stream_backlog,
};

static int tcp_open(struct mp_service *service, struct mp_peer *peer,
		    const struct mp_opener *opener, struct mp_stream **result)
{
	struct tcp_service *owner = (struct tcp_service *)service;
	struct tcp_stream *stream = calloc(1, sizeof(*stream));
	int ret;

	(void)opener;
	if (!stream)
		return -MP_REASON_BUSY;
	socket_stream_init(&stream->socket, &tcp_stream_ops, peer, owner->name);
	loop_timer_init(owner->loop, &stream->patience, patience_ends);
	stream->owner = owner;
	stream->next = owner->addresses;
	stream->connecting.fd = stream->fd = -1;
	ret = try_next(stream);
	if (ret < 0) {
		tcp_close(&stream->socket.stream, MP_END_ABORT, NULL);
		return -(int)socket_reason(-ret);
	}
	*result = &stream->socket.stream;
	return ret;
}

static void tcp_destroy(struct mp_service *service)
{
	struct tcp_service *owner = (struct tcp_service *)service;

	if (owner->addresses)
		freeaddrinfo(owner->addresses);
	free(owner);
}

static const struct mp_service_ops tcp_ops = {
	.open = tcp_open,
	.destroy = tcp_destroy,
};

/* Cuts "HOST:PORT" or "[ADDRESS]:PORT" in two, in place. Returns 0 or -EINVAL. */
static int split_address(char *text, char **host, char **port)
{
	char *colon = strrchr(text, ':');

	if (!colon || colon == text || !colon[1])
		return -EINVAL;
	*colon = 0;
	*port = colon + 1;
	*host = text;
	if (*text == '[') {
		if (colon[-1] != ']' || colon - text < 3)
			return -EINVAL;
		colon[-1] = 0;
		*host = text + 1;
	} else if (strchr(text, ':')) {
		return -EINVAL;
	}
	return 0;
}

struct mp_service *tcp_create(struct service_setup *setup, const char *rest)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP };
	struct tcp_service *owner = calloc(1, sizeof(*owner));
	char *copy = strdup(rest), *host, *port;
	int ret;

	if (!owner || !copy) {
		service_fail(setup, "out of memory");
		goto fail;
	}
	if (split_address(copy, &host, &port)) {
		service_fail(setup, "'%s' is not HOST:PORT or [IPV6-ADDRESS]:PORT", rest);
		goto fail;
	}
	ret = getaddrinfo(host, port, &hints, &owner->addresses);
	if (ret) {
		service_fail(setup, "cannot resolve %s, port %s: %s", host, port,
			     ret == EAI_SYSTEM ? strerror(errno) : gai_strerror(ret));
		goto fail;
	}
	owner->service.ops = &tcp_ops;
	owner->loop = setup->loop;
	owner->name = setup->name;
	free(copy);
	return &owner->service;
fail:
	free(copy);
	free(owner);
	return NULL;
}
