// SPDX-License-Identifier: MIT
/*
 * unix-listen:PATH waits for host tools on a unix socket, for fixed ports.
 *
 * Channels wait in the order in which they were opened; each gets the next
 * client. Without a waiting channel nothing is accepted, and clients wait in
 * the socket's backlog. The client of a channel that was closed before a byte moved is the
 * next client again: it stands before those in the backlog.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/record.h"
#include "base/unix_address.h"
#include "service/setup.h"
#include "service/socket_stream.h"

#define DEFAULT_MODE	0660
#define PAUSE_MS	100	/* after accept() failed for want of descriptors */

struct listen_service {
	struct mp_service service;
	struct loop *loop;
	const char *name;
	struct unix_listener listener;
	struct loop_watch watch;	/* of the listener, while a channel waits */
	struct loop_timer pause;
	struct list waiting;		/* struct listen_stream, oldest first */
	uint64_t last_place;		/* in @waiting, that a channel got */
	struct list returned;		/* struct client, oldest first: at most one a channel */
	struct loop_task serve_returned;
	struct log_limit limit;
};

struct listen_stream {
	struct socket_stream socket;	/* first: what the core holds */
	struct listen_service *owner;
	struct list link;		/* in owner->waiting, until connected */
	uint64_t place;			/* in there; lower ones come first */
};

struct client {
	int fd;
	struct list link;		/* in listen_service.returned */
};

static void accept_clients(struct listen_service *owner);

static void client_waits(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	accept_clients(container_of(watch, struct listen_service, watch));
}

static void pause_ends(struct loop_timer *timer)
{
	accept_clients(container_of(timer, struct listen_service, pause));
}

static void client_is_back(struct loop_task *task)
{
	accept_clients(container_of(task, struct listen_service, serve_returned));
}

/* Watches the listener exactly while a channel waits and accepting is not paused. */
static void update_watch(struct listen_service *owner)
{
	bool wanted = !list_is_empty(&owner->waiting) && !loop_timer_is_armed(&owner->pause);

	if (!wanted) {
		loop_watch_remove(&owner->watch);
	} else if (owner->watch.fd < 0 &&
		   loop_watch_add(owner->loop, &owner->watch, owner->listener.fd, EPOLLIN,
				  client_waits)) {
		loop_timer_start(&owner->pause, PAUSE_MS);
	}
}

static int take_returned(struct listen_service *owner)
{
	struct client *client = list_first(&owner->returned, struct client, link);
	int fd;

	if (!client)
		return -1;
	fd = client->fd;
	list_del(&client->link);
	free(client);
	return fd;
}

/* The next client's socket; -EAGAIN: none, or none can be had now. */
static int accept_client(struct listen_service *owner)
{
	int fd = take_returned(owner);

	if (fd >= 0)
		return fd;
	do {
		fd = accept4(owner->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd >= 0)
		return fd;
	if (errno != EAGAIN) {
		log_limited(&owner->limit, LOG_LEVEL_WARNING, "service %s: accept: %s", owner->name,
			    strerror(errno));
		loop_timer_start(&owner->pause, PAUSE_MS);
	}
	return -EAGAIN;
}

/* Gives the next client to @stream. Returns 0 or -errno; a client may be lost to -ENOMEM. */
static int serve(struct listen_service *owner, struct listen_stream *stream)
{
	int fd = accept_client(owner), ret;

	if (fd < 0)
		return fd;
	ret = socket_stream_attach(&stream->socket, owner->loop, fd);
	if (ret) {
		close(fd);
		return ret;
	}
	list_del(&stream->link);
	return 0;
}

/* connected() may close any stream and open others: each turn takes the first again. */
static void accept_clients(struct listen_service *owner)
{
	struct listen_stream *stream;

	while ((stream = list_first(&owner->waiting, struct listen_stream, link)) &&
	       !serve(owner, stream))
		stream->socket.peer->ops->connected(stream->socket.peer);
	update_watch(owner);
}

static bool return_client(struct listen_service *owner, int fd)
{
	struct client *client = malloc(sizeof(*client));

	if (!client)
		return false;
	client->fd = fd;
	list_add_tail(&owner->returned, &client->link);
	loop_task_queue(&owner->serve_returned);
	return true;
}

/* The stream's client goes to the next channel that waits, but not from within this call. */
static void listen_unused(struct mp_stream *base)
{
	struct listen_stream *stream = (struct listen_stream *)base;

	if (!return_client(stream->owner, stream->socket.fd))
		return;
	loop_watch_remove(&stream->socket.watch);
	stream->socket.fd = -1;
}

static bool listen_close(struct mp_stream *base, enum mp_end how, const struct mp_place *place)
{
	struct listen_stream *stream = (struct listen_stream *)base;

	(void)place;		/* what was taken is in the queue of the client */
	list_del(&stream->link);
	socket_stream_detach(&stream->socket, how);
	update_watch(stream->owner);
	free(stream);
	return false;
}

static void listen_save(struct mp_stream *base, struct record *record)
{
	struct listen_stream *stream = (struct listen_stream *)base;

	record_u64(record, &stream->place);
	socket_stream_save(base, record);
}

static const struct mp_stream_ops listen_stream_ops = {
	.readv = socket_stream_readv,
	.writev = socket_stream_writev,
	.shutdown = socket_stream_shutdown,
	.unused = listen_unused,
	.close = listen_close,
	.backlog = socket_stream_backlog,
	.kind = "unix-listen",
	.save = listen_save,
};

static struct listen_stream *create_stream(struct listen_service *owner, struct mp_peer *peer)
{
	struct listen_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	socket_stream_init(&stream->socket, &listen_stream_ops, peer, owner->name);
	stream->owner = owner;
	list_init(&stream->link);
	return stream;
}

static int listen_open(struct mp_service *service, struct mp_peer *peer,
		       const struct mp_opener *opener, struct mp_stream **result)
{
	struct listen_service *owner = (struct listen_service *)service;
	struct listen_stream *stream = create_stream(owner, peer);
	bool first = list_is_empty(&owner->waiting);

	(void)opener;
	if (!stream)
		return -MP_REASON_BUSY;
	stream->place = ++owner->last_place;
	list_add_tail(&owner->waiting, &stream->link);
	*result = &stream->socket.stream;
	/* Channels that wait already go first. */
	if (first && !serve(owner, stream))
		return 1;
	update_watch(owner);
	return 0;
}

/* Streams are restored in another order than that in which they wait. */
static void wait_in_place(struct listen_service *owner, struct listen_stream *stream)
{
	struct list *before = owner->waiting.prev;

	while (before != &owner->waiting &&
	       list_entry(before, struct listen_stream, link)->place > stream->place)
		before = before->prev;
	list_add_after(before, &stream->link);
	if (stream->place > owner->last_place)
		owner->last_place = stream->place;
	update_watch(owner);
	loop_task_queue(&owner->serve_returned);
}

static int listen_restore(struct mp_service *service, struct mp_peer *peer, struct record *record,
			  struct mp_stream **result)
{
	struct listen_service *owner = (struct listen_service *)service;
	struct listen_stream *stream = create_stream(owner, peer);
	int ret;

	if (!stream)
		return -MP_REASON_BUSY;
	record_u64(record, &stream->place);
	ret = socket_stream_restore(&stream->socket, owner->loop, record);
	if (ret < 0) {
		free(stream);
		return -MP_REASON_RESET;
	}
	if (!ret)
		wait_in_place(owner, stream);
	*result = &stream->socket.stream;
	return ret;
}

/* The clients that channels gave back. The listening socket is handed over by its path. */
static void listen_hand_over(struct mp_service *service, struct record *record)
{
	struct listen_service *owner = (struct listen_service *)service;
	struct list *link;
	int fd;

	if (!record_is_reading(record)) {
		list_for_each(link, &owner->returned)
			record_fd(record, list_entry(link, struct client, link)->fd);
		return;
	}
	while ((fd = record_fd(record, -1)) >= 0)
		/* Without a listener channels do not wait here either. */
		if (owner->listener.fd < 0 || !return_client(owner, fd))
			close(fd);
}

static void listen_destroy(struct mp_service *service)
{
	struct listen_service *owner = (struct listen_service *)service;
	int fd;

	while ((fd = take_returned(owner)) >= 0)
		close(fd);
	loop_task_cancel(&owner->serve_returned);
	loop_timer_stop(&owner->pause);
	loop_watch_remove(&owner->watch);
	unix_listener_close(&owner->listener);
	free(owner);
}

static const struct mp_service_ops listen_ops = {
	.open = listen_open,
	.restore = listen_restore,
	.hand_over = listen_hand_over,
	.destroy = listen_destroy,
};

static struct mp_service *listen_start(struct service_setup *setup, const char *path,
				       const struct unix_access *access)
{
	struct listen_service *owner = calloc(1, sizeof(*owner));
	int ret = 0;

	if (!owner)
		return service_fail(setup, "out of memory");
	owner->service.ops = &listen_ops;
	owner->loop = setup->loop;
	owner->name = setup->name;
	owner->watch.fd = owner->listener.fd = -1;
	list_init(&owner->waiting);
	list_init(&owner->returned);
	loop_task_init(setup->loop, &owner->serve_returned, client_is_back);
	loop_timer_init(setup->loop, &owner->pause, pause_ends);
	if (!setup->check_only)
		ret = unix_listener_open(&owner->listener, path, access);
	if (ret) {
		free(owner);
		return service_fail(setup, "cannot listen on %s: %s", path,
				    unix_address_explain(ret));
	}
	return &owner->service;
}

struct mp_service *unix_listen_create(struct service_setup *setup, const char *rest)
{
	struct unix_access access = UNIX_ACCESS(DEFAULT_MODE);
	struct sockaddr_un address;
	struct mp_service *service;
	const char *bad = NULL;
	socklen_t len;
	char *path = strdup(rest);
	int ret;

	if (!path)
		return service_fail(setup, "out of memory");
	ret = unix_access_cut(&access, path, &bad);
	if (ret)
		service = service_fail(setup, ret == -ENOENT ? "'%s': there is no such name" :
				       "'%s': not mode=OCTAL (to 0777), owner= or group=NAME", bad);
	else if ((ret = unix_address_set(&address, &len, path)))
		service = service_fail(setup, "'%s': %s", path, unix_address_explain(ret));
	else if (bad && *path == '@')
		service = service_fail(setup, "'%s': whoever sees an abstract name may connect: it "
				       "has no mode, owner or group", path);
	else
		service = listen_start(setup, path, &access);
	free(path);
	return service;
}
