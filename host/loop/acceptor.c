// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd_limit.h"
#include "base/list.h"
#include "base/log.h"
#include "loop/acceptor.h"

#define PAUSE_MS 100

static int take(const struct acceptor *acceptor)
{
	int fd;

	if (acceptor->has_reserve)
		fd_limit_open_reserve();
	fd = accept4(acceptor->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (acceptor->has_reserve)
		fd_limit_close_reserve();
	return fd;
}

static void somebody_waits(struct loop_watch *watch, uint32_t events)
{
	struct acceptor *acceptor = container_of(watch, struct acceptor, watch);
	int fd = take(acceptor);

	(void)events;
	if (fd >= 0) {
		acceptor->come_in(acceptor, fd);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		log_limited_here(LOG_LEVEL_WARNING, "%s: accept: %s", acceptor->name,
				 strerror(errno));
		/* The connection stays in the backlog. Without a pause the loop would spin. */
		loop_watch_remove(&acceptor->watch);
		loop_timer_start(&acceptor->pause, PAUSE_MS);
	}
}

static int watch_socket(struct acceptor *acceptor)
{
	return loop_watch_add(acceptor->loop, &acceptor->watch, acceptor->fd, EPOLLIN,
			      somebody_waits);
}

static void pause_ends(struct loop_timer *timer)
{
	struct acceptor *acceptor = container_of(timer, struct acceptor, pause);

	if (watch_socket(acceptor))
		loop_timer_start(&acceptor->pause, PAUSE_MS);
}

void acceptor_init(struct acceptor *acceptor, struct loop *loop, const char *name,
		   void (*come_in)(struct acceptor *acceptor, int fd))
{
	*acceptor = (struct acceptor){ .name = name, .come_in = come_in, .fd = -1, .loop = loop };
	acceptor->watch.fd = -1;
	loop_timer_init(loop, &acceptor->pause, pause_ends);
}

int acceptor_start(struct acceptor *acceptor, int fd)
{
	acceptor->fd = fd;
	return watch_socket(acceptor);
}

void acceptor_stop(struct acceptor *acceptor)
{
	loop_timer_stop(&acceptor->pause);
	loop_watch_remove(&acceptor->watch);
}
