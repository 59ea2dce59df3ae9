// SPDX-License-Identifier: MIT
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "greeting.h"

#define BUF_SIZE (256 * 1024)

struct way {
	int from, to;
	size_t begin, end;	/* what has been received and not sent */
	bool has_ended;		/* nothing more comes from @from */
	bool is_broken;		/* nothing more goes to @to */
	bool saw_descriptor;
	uint8_t buf[BUF_SIZE];
};

static struct way to_renderer, to_client;

static bool would_wait(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/*
 * Without room for control messages the kernel closes a descriptor that comes along, and says so
 * by MSG_CTRUNC. A side that is gone, by a reset too, has ended. Returns 0 or -1 with errno.
 */
static int receive(struct way *way)
{
	struct iovec iov = { way->buf, sizeof(way->buf) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t ret = recvmsg(way->from, &message, MSG_DONTWAIT);

	way->begin = way->end = 0;
	if (ret < 0 && would_wait())
		return 0;
	if (ret < 0 && errno != ECONNRESET)
		return -1;
	if (ret <= 0)
		way->has_ended = true;
	else
		way->end = ret;
	way->saw_descriptor = message.msg_flags & MSG_CTRUNC;
	return 0;
}

static int deliver(struct way *way)
{
	ssize_t ret;

	while (way->begin < way->end && !way->is_broken) {
		ret = send(way->to, way->buf + way->begin, way->end - way->begin,
			   MSG_DONTWAIT | MSG_NOSIGNAL);
		if (ret < 0 && would_wait())
			return 0;
		if (ret < 0 && errno != EPIPE && errno != ECONNRESET)
			return -1;
		way->is_broken = ret < 0;
		way->begin += ret > 0 ? ret : 0;
	}
	way->begin = way->end;
	return 0;
}

static bool holds(const struct way *way)
{
	return way->begin < way->end;
}

static bool may_receive(const struct way *way)
{
	return !way->has_ended && !holds(way);
}

/* Waits for what @one and @other can do; a socket of which nothing is wanted is left out. */
static int wait_for(const struct way *one, const struct way *other, struct pollfd *fds)
{
	fds[0] = (struct pollfd){ .fd = one->from };
	fds[1] = (struct pollfd){ .fd = one->to };
	if (may_receive(one))
		fds[0].events |= POLLIN;
	if (holds(one))
		fds[1].events |= POLLOUT;
	if (may_receive(other))
		fds[1].events |= POLLIN;
	if (holds(other))
		fds[0].events |= POLLOUT;
	for (int i = 0; i < 2; i++)
		if (!fds[i].events)
			fds[i].fd = -1;
	return poll(fds, 2, -1) < 0 && errno != EINTR ? -1 : 0;
}

/* Returns true when the relay is over, with *end. */
static bool move_to_renderer(struct greeting *greeting, bool is_ready, enum relay_end *end)
{
	*end = RELAY_ERROR;
	if (is_ready && may_receive(&to_renderer)) {
		if (receive(&to_renderer))
			return true;
		*end = RELAY_BAD_CLIENT;
		if (!greeting_take(greeting, to_renderer.buf, to_renderer.end))
			return true;
		*end = RELAY_ERROR;
		if (to_renderer.has_ended)
			shutdown(to_renderer.to, SHUT_WR);
	}
	return deliver(&to_renderer);
}

static bool move_to_client(bool is_ready, enum relay_end *end)
{
	*end = RELAY_ERROR;
	if (is_ready && may_receive(&to_client) && receive(&to_client))
		return true;
	*end = RELAY_DESCRIPTOR;
	if (to_client.saw_descriptor)
		return true;
	*end = RELAY_ERROR;
	if (deliver(&to_client))
		return true;
	*end = to_renderer.has_ended ? RELAY_WHOLE : RELAY_RENDERER_ENDED;
	return to_client.has_ended && !holds(&to_client);
}

enum relay_end relay(int client, int renderer, const char **why)
{
	struct greeting greeting = { .error = NULL };
	enum relay_end end = RELAY_ERROR;
	struct pollfd fds[2];

	to_renderer.from = to_client.to = client;
	to_renderer.to = to_client.from = renderer;
	while (!wait_for(&to_renderer, &to_client, fds))
		if (move_to_renderer(&greeting, fds[0].revents, &end) ||
		    move_to_client(fds[1].revents, &end))
			break;
	*why = greeting.error;
	return end;
}
