// SPDX-License-Identifier: MIT
/*
 * The listening sockets of manyport forward. See forward.h.
 *
 * The file of a unix socket may go while the forwarder runs: a script cleans the folder, or
 * another file system is mounted over it. No event tells all of that, so a timer looks whether
 * the files are there, and makes one that is gone again. Another file at that path is left alone.
 */
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "forwarder.h"
#include "tool.h"

#define LOOK_MS 2000
#define STARVED_MS 1000
/* A listener accepts so many before the others have their turn: clients may come without end. */
#define TURN_CLIENTS 64

struct listener {
	struct list link;		/* in forward->listeners */
	struct forward *forward;
	struct spec spec;
	struct unix_listener file;	/* its descriptor is in use for TCP, too */
	struct loop_watch watch;
	struct loop_task again;
	bool is_starved;		/* descriptors or memory ran out: accept again */
	bool is_lost;			/* the file cannot be made again, and that was logged */
};

static void accept_some(struct listener *listener, int max);

static void clients_wait(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	accept_some(container_of(watch, struct listener, watch), TURN_CLIENTS);
}

static void accept_again(struct loop_task *task)
{
	accept_some(container_of(task, struct listener, again), TURN_CLIENTS);
}

int listener_add(struct forward *forward, const char *text, const char **why)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	*why = "out of memory";
	if (!listener)
		return -ENOMEM;
	listener->forward = forward;
	listener->file.fd = -1;
	list_add_tail(&forward->listeners, &listener->link);
	return spec_parse(&listener->spec, text, why);
}

static void accept_some(struct listener *listener, int max)
{
	bool was_starved = listener->is_starved;
	int fd, error, one = 1;

	listener->is_starved = false;
	for (;;) {
		if (!max--) {
			loop_task_queue(&listener->again);
			return;
		}
		fd = accept4(listener->file.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			break;
		if (!listener->spec.is_unix)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		relay_create(listener->forward, &listener->spec, fd);
	}
	error = errno;
	if (error == EAGAIN)
		return;
	/*
	 * No edge will come for clients in the backlog: accept again when a descriptor was closed.
	 * Another process may have to close it, as with ENFILE, so a timer accepts again, too.
	 */
	listener->is_starved = true;
	loop_timer_start(&listener->forward->starved, STARVED_MS);
	if (!was_starved)
		log_limited(&listener->forward->refused, LOG_LEVEL_WARNING,
			    "%s: cannot accept now: %s", listener->spec.address, strerror(error));
}

/* A descriptor was closed: clients that could not be accepted for want of one may be now. */
static void accept_starved(struct loop_task *task)
{
	struct forward *forward = container_of(task, struct forward, accept_again);
	struct list *link;

	list_for_each(link, &forward->listeners) {
		struct listener *listener = list_entry(link, struct listener, link);

		if (listener->is_starved)
			loop_task_queue(&listener->again);
	}
}

static void starved_again(struct loop_timer *timer)
{
	accept_starved(&container_of(timer, struct forward, starved)->accept_again);
}

/* ---- starting ---- */

static int open_tcp(struct listener *listener)
{
	const struct spec *spec = &listener->spec;
	int one = 1, fd = socket(spec->tcp.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				 0);

	if (fd < 0)
		return -errno;
	listener->file.fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&spec->tcp, spec->tcp_len) || listen(fd, SOMAXCONN))
		return -errno;
	return 0;
}

/* Which port the kernel chose for port 0. */
static unsigned int tcp_port(int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);

	getsockname(fd, (struct sockaddr *)&address, &len);
	return ntohs(address.ss_family == AF_INET6 ?
		     ((struct sockaddr_in6 *)&address)->sin6_port :
		     ((struct sockaddr_in *)&address)->sin_port);
}

static int watch(struct listener *listener)
{
	return loop_watch_add(listener->forward->loop, &listener->watch, listener->file.fd,
			      EPOLLIN | EPOLLET, clients_wait);
}

/* Can --as-client be kept here? Says why not. */
static bool tells_clients_apart(const struct spec *spec)
{
	if (!spec->is_unix)
		log_error("%s: TCP does not tell who connects: no --as-client", spec->address);
	else if (!*spec->service)
		log_error("%s: a fixed service has no name to ask for: no --as-client",
			  spec->address);
	return spec->is_unix && *spec->service;
}

static int start(struct listener *listener)
{
	const struct spec *spec = &listener->spec;
	int ret;

	if (listener->forward->as_client && !tells_clients_apart(spec))
		return -EINVAL;
	ret = spec->is_unix ? unix_listener_open(&listener->file, spec->address, &spec->access) :
			      open_tcp(listener);
	loop_task_init(listener->forward->loop, &listener->again, accept_again);
	if (!ret)
		ret = watch(listener);
	if (ret) {
		log_error("cannot listen on %s: %s", spec->address,
			  spec->is_unix ? unix_address_explain(ret) : strerror(-ret));
		return ret;
	}
	if (spec->is_unix)
		log_info("forwarding %s to '%s'", spec->address, spec->service);
	else
		log_info("forwarding %s (TCP port %u) to '%s'", spec->address,
			 tcp_port(listener->file.fd), spec->service);
	return 0;
}

/* ---- files that go ---- */

/* Serves the clients that connected to the socket that is gone, then listens on @fresh. */
static int replace(struct listener *listener, const struct unix_listener *fresh)
{
	accept_some(listener, INT_MAX);
	loop_watch_remove(&listener->watch);
	unix_listener_close(&listener->file);
	listener->file = *fresh;
	return watch(listener);
}

static void open_anew(struct listener *listener)
{
	const struct spec *spec = &listener->spec;
	struct unix_listener fresh;
	struct stat status;
	int ret;

	/* Another program's file is tested once, not each time: that costs a connection. */
	if (listener->is_lost && !lstat(spec->address, &status))
		return;
	ret = unix_listener_open_now(&fresh, spec->address, &spec->access);
	if (!ret)
		ret = replace(listener, &fresh);
	if (!ret)
		log_warning("%s was removed: listening there anew", spec->address);
	else if (!listener->is_lost)
		log_warning("%s is not this forwarder's any more (%s): nobody can connect until "
			    "it can be made anew", spec->address, unix_address_explain(ret));
	listener->is_lost = ret;
}

static void look_at_files(struct loop_timer *timer)
{
	struct forward *forward = container_of(timer, struct forward, look);
	struct list *link;

	list_for_each(link, &forward->listeners) {
		struct listener *listener = list_entry(link, struct listener, link);

		if (!unix_listener_is_there(&listener->file))
			open_anew(listener);
		else
			listener->is_lost = false;
	}
	loop_timer_start(timer, LOOK_MS);
}

/* ---- all ---- */

int listener_start_all(struct forward *forward)
{
	bool has_file = false;
	struct list *link;
	int ret = 0;

	loop_task_init(forward->loop, &forward->accept_again, accept_starved);
	loop_timer_init(forward->loop, &forward->starved, starved_again);
	list_for_each(link, &forward->listeners) {
		struct listener *listener = list_entry(link, struct listener, link);

		ret = start(listener);
		if (ret)
			return ret;
		has_file |= listener->file.ino;
	}
	loop_timer_init(forward->loop, &forward->look, look_at_files);
	if (has_file)
		loop_timer_start(&forward->look, LOOK_MS);
	return 0;
}

void listener_free_all(struct forward *forward)
{
	struct list *link;

	while ((link = list_pop(&forward->listeners))) {
		struct listener *listener = list_entry(link, struct listener, link);

		loop_task_cancel(&listener->again);
		loop_watch_remove(&listener->watch);
		unix_listener_close(&listener->file);
		free(listener->spec.address);
		free(listener);
	}
}
