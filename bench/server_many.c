// SPDX-License-Identifier: MIT
/*
 * One loop that answers any number of connections: ECHO and MARK, which is all that
 * the measurements of many connections ask for.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve.h"

#define EVENTS 64

/*
 * REQUEST -> MESSAGE -> ANSWER -> MESSAGE ... -> REQUEST. A MARK goes from REQUEST to
 * ANSWER. done counts the bytes of what the state is called after.
 */
struct connection {
	int fd;
	bool is_listener;
	enum { REQUEST, MESSAGE, ANSWER } state;
	bool waits_for_room;
	size_t done, len;
	uint64_t left;			/* of the ECHO's total */
	struct bench_request request;
	char *buf;
};

static int loop;

static int watch_for(struct connection *c, int op, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = c };

	return epoll_ctl(loop, op, c->fd, &event);
}

static struct connection *add_connection(int fd, bool is_listener)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->fd = fd;
	c->is_listener = is_listener;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (watch_for(c, EPOLL_CTL_ADD, EPOLLIN))
		abort();
	return c;
}

static void end_connection(struct connection *c)
{
	close(c->fd);
	free(c->buf);
	free(c);
}

static void accept_all(struct connection *listener)
{
	int fd, one = 1;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		add_connection(fd, false);
	}
}

/* Reads on; returns 1 when len bytes are there, 0 when not yet, -1 at the end. */
static int read_on(struct connection *c, void *buf, size_t len)
{
	ssize_t n = read(c->fd, (char *)buf + c->done, len - c->done);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (!n)
		return -1;
	c->done += n;
	return c->done == len;
}

static void become(struct connection *c, int state)
{
	c->state = state;
	c->done = 0;
}

static int begin(struct connection *c)
{
	const struct bench_request *request = &c->request;

	if (!request_is_valid(request) || (request->op == BENCH_ECHO && !request->size))
		return -1;
	free(c->buf);
	c->len = request->op == BENCH_MARK ? BENCH_MARK_SIZE : request->size;
	c->buf = malloc(c->len);
	c->left = request->total ? request->total : UINT64_MAX;
	if (!c->buf)
		return -1;
	if (request->op == BENCH_MARK) {
		watch_text(c->buf);
		c->left = c->len;
		become(c, ANSWER);
		return 0;
	}
	become(c, MESSAGE);
	return request->op == BENCH_ECHO ? 0 : -1;
}

/* Returns as read_on(). */
static int write_on(struct connection *c)
{
	ssize_t n = write(c->fd, c->buf + c->done, c->len - c->done);
	bool wants_room;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -1;
	c->done += n > 0 ? n : 0;
	wants_room = c->done < c->len;
	if (wants_room != c->waits_for_room) {
		c->waits_for_room = wants_room;
		watch_for(c, EPOLL_CTL_MOD, wants_room ? EPOLLOUT : EPOLLIN);
	}
	if (wants_room)
		return 0;
	c->left -= c->len < c->left ? c->len : c->left;
	become(c, c->left ? MESSAGE : REQUEST);
	return 1;
}

/* One step of the state machine; returns 1 when the next may follow at once. */
static int step(struct connection *c)
{
	int ret;

	switch (c->state) {
	case REQUEST:
		ret = read_on(c, &c->request, sizeof(c->request));
		return ret > 0 ? begin(c) < 0 ? -1 : 1 : ret;
	case MESSAGE:
		ret = read_on(c, c->buf, c->len);
		if (ret > 0)
			become(c, ANSWER);
		return ret;
	case ANSWER:
		/* What follows has its own event: no read that finds nothing. */
		return write_on(c) < 0 ? -1 : 0;
	}
	return -1;
}

static void handle(struct connection *c)
{
	int ret = 1;

	if (c->is_listener) {
		accept_all(c);
		return;
	}
	while (ret > 0)
		ret = step(c);
	if (ret < 0)
		end_connection(c);
}

void serve_many(const int *listeners, int count)
{
	struct epoll_event events[EVENTS];
	struct rlimit limit;
	int n;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	loop = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < count; i++)
		add_connection(listeners[i], true);
	for (;;) {
		n = epoll_wait(loop, events, EVENTS, -1);
		for (int i = 0; i < n; i++)
			handle(events[i].data.ptr);
	}
}
