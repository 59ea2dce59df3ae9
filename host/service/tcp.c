// SPDX-License-Identifier: MIT
/*
 * tcp:HOST:PORT connects each channel to a TCP server.
 *
 * A name is looked up in the background, from when the service is made on: at once after a failure,
 * and now and then. A channel that is opened before there is an address waits for the
 * look-up. The core has the time limit for the whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "service/leave.h"
#include "service/setup.h"
#include "service/resolver.h"
#include "service/socket_stream.h"
#include "service/tcp_connect.h"

/* How many a look-up's end sets going in a round of the loop: each is a dozen system calls. */
#define SERVED_PER_ROUND 8

struct tcp_service {
	struct mp_service service;
	struct loop *loop;
	const char *name;
	struct resolver *resolver;
	struct address good;		/* where the last connection went; len 0: there was none */
	struct list waiting;		/* struct tcp_stream, for the first addresses */
	struct list served;		/* struct tcp_stream whose look-up is over */
	struct loop_task serve;		/* queued while @served is not empty */
	struct log_limit limit;
};

struct tcp_stream {
	struct socket_stream socket;	/* first: what the core holds */
	struct tcp_service *owner;
	struct list link;		/* in owner->waiting or served */
	struct tcp_connect *connecting;	/* NULL: not yet, or not any more */
};

/* --- Connecting --------------------------------------------------------- */

static void refuse(struct tcp_stream *stream, int error)
{
	struct mp_peer *peer = stream->socket.peer;

	log_limited(&stream->owner->limit, LOG_LEVEL_WARNING, "service %s: connect: %s",
		    stream->owner->name, strerror(error));
	peer->ops->refused(peer, socket_reason(error));
}

static void end_connecting(struct tcp_stream *stream)
{
	tcp_connect_end(stream->connecting);
	stream->connecting = NULL;
}

static void connected(void *context, int fd, const struct address *address)
{
	struct tcp_stream *stream = context;
	int ret = socket_stream_attach(&stream->socket, stream->owner->loop, fd);

	if (!ret)
		stream->owner->good = *address;
	else
		close(fd);
	end_connecting(stream);
	if (ret)
		refuse(stream, -ret);
	else
		stream->socket.peer->ops->connected(stream->socket.peer);
}

static void failed(void *context, int error)
{
	struct tcp_stream *stream = context;

	end_connecting(stream);
	/* The server may have moved: the next channel gets the new address. */
	resolver_look(stream->owner->resolver);
	refuse(stream, -error);
}

static const struct tcp_connect_ops connect_ops = { .connected = connected, .failed = failed };

/* Moves the address that was good the last time to the front. */
static void prefer(struct addresses *addresses, const struct address *good)
{
	struct address *list = addresses->list;

	for (int i = 0; i < addresses->count; i++) {
		if (list[i].len != good->len || memcmp(&list[i].name, &good->name, good->len))
			continue;
		memmove(list + 1, list, i * sizeof(*list));
		list[0] = *good;
		return;
	}
}

/* Returns 0 or -errno. */
static int begin_connecting(struct tcp_stream *stream)
{
	struct tcp_service *owner = stream->owner;
	struct addresses addresses = *resolver_addresses(owner->resolver);

	prefer(&addresses, &owner->good);
	stream->connecting = tcp_connect_begin(owner->loop, &addresses, &connect_ops, stream);
	return stream->connecting ? 0 : -ENOMEM;
}

/* A peer may close any stream and open others: each turn takes the first of the list again. */
static void serve_some(struct loop_task *task)
{
	struct tcp_service *owner = container_of(task, struct tcp_service, serve);
	struct list *link;

	for (int i = 0; i < SERVED_PER_ROUND && (link = list_pop(&owner->served)); i++) {
		struct tcp_stream *stream = list_entry(link, struct tcp_stream, link);
		struct mp_peer *peer = stream->socket.peer;

		/* The resolver has logged why. */
		if (!resolver_addresses(owner->resolver)->count)
			peer->ops->refused(peer, MP_REASON_NOT_LISTENING);
		else if (begin_connecting(stream))
			refuse(stream, ENOMEM);
	}
	if (!list_is_empty(&owner->served))
		loop_task_queue(task);
}

/* A look-up is over. The streams that waited are served a few per round: others need not wait. */
static void looked_up(void *context)
{
	struct tcp_service *owner = context;

	list_splice_tail(&owner->waiting, &owner->served);
	loop_task_queue(&owner->serve);
}

/* --- Streams ------------------------------------------------------------ */

static void end_left(void *context, int fd, enum mp_end how)
{
	(void)context;
	socket_stream_end(fd, how, false);
}

static void save_left(void *context, int fd, struct record *record)
{
	(void)context;
	socket_stream_save_taken(fd, record);
}

/*
 * Keeps the socket until its other end has what is in the send queue: a reset, and a close() with
 * unread input, would drop it. Returns false when there is no need, or no memory.
 */
static bool tcp_leave(struct tcp_stream *stream, enum mp_end how, const struct mp_place *place)
{
	struct leave leave = {
		.loop = stream->owner->loop, .name = stream->owner->name, .how = how,
		.end = end_left, .kind = "tcp", .save = save_left,
	};

	/* After the end of input close() cannot be a reset: the kernel delivers the rest. */
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

	list_del(&stream->link);
	end_connecting(stream);
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
	.kind = "tcp",
	.save = socket_stream_save,
};

static struct tcp_stream *create_stream(struct tcp_service *owner, struct mp_peer *peer)
{
	struct tcp_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	socket_stream_init(&stream->socket, &tcp_stream_ops, peer, owner->name);
	stream->owner = owner;
	list_init(&stream->link);
	return stream;
}

/* Returns 0: under way, or -reason: then it is freed. */
static int begin(struct tcp_stream *stream)
{
	struct tcp_service *owner = stream->owner;
	int ret = 0;

	if (resolver_addresses(owner->resolver)->count)
		ret = begin_connecting(stream);
	else if (resolver_look(owner->resolver))
		list_add_tail(&owner->waiting, &stream->link);
	else
		ret = -ENOENT;
	if (!ret)
		return 0;
	free(stream);
	return -(int)socket_reason(-ret);
}

static int tcp_open(struct mp_service *service, struct mp_peer *peer,
		    const struct mp_opener *opener, struct mp_stream **result)
{
	struct tcp_service *owner = (struct tcp_service *)service;
	struct tcp_stream *stream = create_stream(owner, peer);
	int ret;

	(void)opener;
	if (!stream)
		return -MP_REASON_BUSY;
	ret = begin(stream);
	if (!ret)
		*result = &stream->socket.stream;
	return ret;
}

static int tcp_restore(struct mp_service *service, struct mp_peer *peer, struct record *record,
		       struct mp_stream **result)
{
	struct tcp_stream *stream = create_stream((struct tcp_service *)service, peer);
	int ret;

	if (!stream)
		return -MP_REASON_BUSY;
	ret = socket_stream_restore(&stream->socket, stream->owner->loop, record);
	if (ret < 0) {
		free(stream);
		return -MP_REASON_RESET;
	}
	if (!ret)
		ret = begin(stream);
	if (ret >= 0)
		*result = &stream->socket.stream;
	return ret;
}

static void tcp_destroy(struct mp_service *service)
{
	struct tcp_service *owner = (struct tcp_service *)service;

	resolver_destroy(owner->resolver);
	loop_task_cancel(&owner->serve);
	free(owner);
}

static const struct mp_service_ops tcp_ops = {
	.open = tcp_open,
	.restore = tcp_restore,
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

static bool make_resolver(struct service_setup *setup, struct tcp_service *owner, const char *host,
			  const char *port)
{
	const struct resolver_setup wanted = {
		.loop = setup->loop, .name = setup->name, .host = host, .port = port,
		.interval_ms = setup->resolve_ms, .done = looked_up, .context = owner,
	};
	int error;

	owner->resolver = resolver_create(&wanted, &error);
	if (owner->resolver && setup->check_only)
		error = resolver_wait(owner->resolver);
	if (!owner->resolver)
		service_fail(setup, "%s, port %s: %s", host, port, gai_strerror(error));
	else if (error)
		service_warn(setup, "cannot resolve %s: %s", host, gai_strerror(error));
	return owner->resolver;
}

struct mp_service *tcp_create(struct service_setup *setup, const char *rest)
{
	struct tcp_service *owner = calloc(1, sizeof(*owner));
	char *copy = strdup(rest), *host, *port;
	bool is_made = false;

	if (!owner || !copy)
		service_fail(setup, "out of memory");
	else if (split_address(copy, &host, &port))
		service_fail(setup, "'%s' is not HOST:PORT or [IPV6-ADDRESS]:PORT", rest);
	else
		is_made = make_resolver(setup, owner, host, port);
	free(copy);
	if (!is_made) {
		free(owner);
		return NULL;
	}
	owner->service.ops = &tcp_ops;
	owner->loop = setup->loop;
	owner->name = setup->name;
	list_init(&owner->waiting);
	list_init(&owner->served);
	loop_task_init(setup->loop, &owner->serve, serve_some);
	return &owner->service;
}
