// SPDX-License-Identifier: MIT
/*
 * The last of a TCP client of manyport forward: what was sent to it reaches it before its
 * socket is reset.
 *
 * A reset throws away what the kernel has not delivered yet. The kernel sends one on a close
 * that asks for it, on every close with unread bytes of the client, and for bytes of the client
 * that come after the close. So a socket that would be reset is kept until the client's kernel has
 * acknowledged all bytes, as long as acknowledgements come. No event tells that: a timer looks at
 * the sockets, at intervals that grow while nothing happens.
 *
 * A unix socket needs none of this: what was sent stays there for the client.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "forwarder.h"

#define DRAIN_LIMIT_MS	30000	/* without an acknowledgement */
#define LOOK_MIN_MS	1
#define LOOK_MAX_MS	100

struct drain {
	struct list link;		/* in forward->drains */
	int fd;
	bool reset;
	int unsent;			/* bytes, when the socket was last looked at */
	int64_t since;			/* when @unsent became less */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void close_now(int fd, bool reset)
{
	static const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/* Bytes that the client's kernel has not acknowledged; 0 when no more will be. */
static int bytes_unsent(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int bytes;

	/* A connection that the client has reset keeps its last count for ever. */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) || info.tcpi_state == TCP_CLOSE ||
	    ioctl(fd, SIOCOUTQ, &bytes))
		return 0;
	return bytes;
}

/*
 * Starts with the shortest interval again. If the timer finds no memory (only when it was not
 * armed before), the sockets stay open until the process ends.
 */
static void look_soon(struct forward *forward)
{
	forward->drain_ms = LOOK_MIN_MS;
	loop_timer_start(&forward->drain_look, LOOK_MIN_MS);
}

void drain_close(struct forward *forward, int fd, bool reset, bool has_ended)
{
	struct drain *drain;
	int unsent = bytes_unsent(fd);

	if (!unsent || (!reset && has_ended)) {
		close_now(fd, reset);
		return;
	}
	drain = calloc(1, sizeof(*drain));
	if (!drain) {
		/* A plain close lets the kernel deliver the rest; only the reset is lost. */
		close(fd);
		return;
	}
	drain->fd = fd;
	drain->reset = reset;
	drain->unsent = unsent;
	drain->since = now_ms();
	list_add_tail(&forward->drains, &drain->link);
	look_soon(forward);
}

/* Is it over: all acknowledged, or nothing for too long? */
static bool is_over(struct forward *forward, struct drain *drain, int64_t now)
{
	int unsent = bytes_unsent(drain->fd);

	if (unsent < drain->unsent) {
		drain->since = now;
		forward->drain_ms = LOOK_MIN_MS;
	}
	drain->unsent = unsent;
	return !unsent || now - drain->since > DRAIN_LIMIT_MS;
}

static void drain_free(struct forward *forward, struct drain *drain)
{
	list_del(&drain->link);
	close_now(drain->fd, drain->reset);
	free(drain);
	loop_task_queue(&forward->accept_again);
}

static void look(struct forward *forward)
{
	struct list *link, *save;
	int64_t now = now_ms();

	forward->drain_ms *= 2;
	if (forward->drain_ms > LOOK_MAX_MS)
		forward->drain_ms = LOOK_MAX_MS;
	list_for_each_safe(link, save, &forward->drains) {
		struct drain *drain = list_entry(link, struct drain, link);

		if (is_over(forward, drain, now))
			drain_free(forward, drain);
	}
}

static void look_again(struct loop_timer *timer)
{
	struct forward *forward = container_of(timer, struct forward, drain_look);

	look(forward);
	if (!list_is_empty(&forward->drains))
		loop_timer_start(timer, forward->drain_ms);
}

void drain_init(struct forward *forward)
{
	loop_timer_init(forward->loop, &forward->drain_look, look_again);
}

void drain_end_all(struct forward *forward, int limit_ms)
{
	int64_t end = now_ms() + limit_ms;
	struct drain *drain;

	while (!list_is_empty(&forward->drains) && now_ms() < end) {
		poll(NULL, 0, forward->drain_ms);
		look(forward);
	}
	while ((drain = list_first(&forward->drains, struct drain, link)))
		drain_free(forward, drain);
}
