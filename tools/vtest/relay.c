// SPDX-License-Identifier: MIT
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "commands.h"

#define BUF_SIZE (256 * 1024)

/*
 * How long the request for a window's picture waits for the next command. Mesa sends that at once
 * when it shows a picture, and never when it reads one; a guest that lost its processor for longer
 * shows one picture wrong.
 */
#define WAIT_MS 100

struct way {
	int from, to;
	size_t begin, ready, end;	/* to send: up to ready; what is behind waits for more */
	bool has_ended;			/* nothing more comes from @from */
	bool is_ending;			/* the end is behind bytes that were not received yet */
	bool is_broken;			/* nothing more goes to @to */
	bool saw_descriptor;
	uint8_t buf[BUF_SIZE];
};

static struct way to_renderer, to_client;
static struct commands commands;

static bool would_wait(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static bool holds(const struct way *way)
{
	return way->begin < way->ready;
}

static bool may_receive(const struct way *way)
{
	return !way->has_ended && !holds(way);
}

/*
 * Behind what waits for more. Without room for control messages the kernel closes a descriptor that
 * comes along, and says so by MSG_CTRUNC. A side that is gone, by a reset too, has ended. Returns 0
 * or -1 with errno.
 */
static int receive(struct way *way)
{
	size_t waiting = way->end - way->begin;
	struct iovec iov = { way->buf + waiting, sizeof(way->buf) - waiting };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t ret;

	memmove(way->buf, way->buf + way->begin, waiting);
	way->begin = way->ready = 0;
	way->end = waiting;
	ret = recvmsg(way->from, &message, MSG_DONTWAIT);
	if (ret < 0 && would_wait())
		return 0;
	if (ret < 0 && errno != ECONNRESET)
		return -1;
	way->end += ret > 0 ? ret : 0;
	way->has_ended = ret <= 0;
	way->saw_descriptor = message.msg_flags & MSG_CTRUNC;
	return 0;
}

static int deliver(struct way *way)
{
	ssize_t ret;

	while (holds(way) && !way->is_broken) {
		ret = send(way->to, way->buf + way->begin, way->ready - way->begin,
			   MSG_DONTWAIT | MSG_NOSIGNAL);
		if (ret < 0 && would_wait())
			return 0;
		if (ret < 0 && errno != EPIPE && errno != ECONNRESET)
			return -1;
		way->is_broken = ret < 0;
		way->begin += ret > 0 ? ret : 0;
	}
	way->begin = way->ready;
	return 0;
}

/* A command waits for the next one. What is to be sent was looked at, and goes first. */
static bool command_waits(void)
{
	return commands.waits && !holds(&to_renderer) && !to_renderer.has_ended;
}

static int limit_ms(void)
{
	if (command_waits())
		return WAIT_MS;
	/* What the client does not take is no fault of the renderer. */
	if ((to_renderer.has_ended || to_renderer.is_ending) && !holds(&to_client))
		return RELAY_SILENT_MS;
	return -1;
}

/*
 * Waits for what the two ways can do; a socket of which nothing is wanted is left out. The client's
 * end is wanted also while the renderer does not take what came before. Returns as poll() does.
 */
static int wait_for_either(struct pollfd *fds)
{
	int ret;

	fds[0] = (struct pollfd){ .fd = to_renderer.from };
	fds[1] = (struct pollfd){ .fd = to_client.from };
	if (may_receive(&to_renderer))
		fds[0].events |= POLLIN;
	else if (!to_renderer.has_ended && !to_renderer.is_ending)
		fds[0].events |= POLLRDHUP;
	if (holds(&to_renderer))
		fds[1].events |= POLLOUT;
	if (may_receive(&to_client))
		fds[1].events |= POLLIN;
	if (holds(&to_client))
		fds[0].events |= POLLOUT;
	for (int i = 0; i < 2; i++)
		if (!fds[i].events)
			fds[i].fd = -1;
	do {
		ret = poll(fds, 2, limit_ms());
	} while (ret < 0 && errno == EINTR);
	to_renderer.is_ending |= fds[0].revents & POLLRDHUP;
	return ret;
}

/* What the client sent, as far as it may pass. An end lets all pass. */
static bool take(bool is_late)
{
	ssize_t ret = commands_take(&commands, to_renderer.buf + to_renderer.begin,
				    to_renderer.end - to_renderer.begin,
				    is_late || to_renderer.has_ended);

	if (ret < 0)
		return false;
	to_renderer.ready = to_renderer.has_ended ? to_renderer.end : to_renderer.begin + ret;
	return true;
}

/* Returns true when the relay is over, with *end. */
static bool move_to_renderer(bool is_ready, bool is_late, enum relay_end *end)
{
	bool is_new = is_ready && may_receive(&to_renderer);

	*end = RELAY_ERROR;
	if (is_new && receive(&to_renderer))
		return true;
	*end = RELAY_BAD_CLIENT;
	if ((is_new || is_late) && !take(is_late))
		return true;
	*end = RELAY_ERROR;
	if (deliver(&to_renderer))
		return true;
	if (to_renderer.has_ended && !holds(&to_renderer))
		shutdown(to_renderer.to, SHUT_WR);
	return false;
}

static bool move_to_client(bool is_ready, enum relay_end *end)
{
	*end = RELAY_ERROR;
	if (is_ready && may_receive(&to_client) && receive(&to_client))
		return true;
	*end = RELAY_DESCRIPTOR;
	if (to_client.saw_descriptor)
		return true;
	to_client.ready = to_client.end;
	if (holds(&to_client))
		commands.is_answered = true;
	*end = RELAY_ERROR;
	if (deliver(&to_client))
		return true;
	*end = to_renderer.has_ended ? RELAY_WHOLE : RELAY_RENDERER_ENDED;
	return to_client.has_ended && !holds(&to_client);
}

static void init_way(struct way *way, int from, int to)
{
	way->from = from;
	way->to = to;
	way->begin = way->ready = way->end = 0;
	way->has_ended = way->is_ending = way->is_broken = way->saw_descriptor = false;
}

enum relay_end relay(int client, int renderer, const char **why)
{
	enum relay_end end = RELAY_ERROR;
	struct pollfd fds[2];
	int ret;

	init_way(&to_renderer, client, renderer);
	init_way(&to_client, renderer, client);
	commands = (struct commands){ .error = NULL };
	do {
		ret = wait_for_either(fds);
		if (!ret && !command_waits())
			return RELAY_WHOLE;
	} while (ret >= 0 && !move_to_renderer(fds[0].revents, !ret, &end) &&
		 !move_to_client(fds[1].revents, &end));
	*why = end == RELAY_ERROR ? strerror(errno) : commands.error;
	return end;
}
