// SPDX-License-Identifier: MIT
#include "service/tcp_connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/list.h"
#include "loop/loop.h"

#define NEXT_MS 250	/* the "connection attempt delay" of RFC 8305 */

struct attempt {
	struct tcp_connect *connecting;
	struct loop_watch watch;	/* of its socket; fd -1: none */
};

struct tcp_connect {
	struct loop *loop;
	const struct tcp_connect_ops *ops;
	void *context;
	struct loop_timer next_due;
	struct loop_task over;		/* reports an outcome that was known at once, later */
	int next;			/* index of the next address to try */
	int under_way;
	int error;
	int won, fd;			/* the address that answered, and its socket, or -1 */
	struct addresses addresses;
	struct attempt attempts[ADDRESSES_MAX];
};

static void drop_attempt(struct attempt *attempt)
{
	int fd = attempt->watch.fd;

	if (fd < 0)
		return;
	loop_watch_remove(&attempt->watch);
	close(fd);
	attempt->connecting->under_way--;
}

static void drop_all(struct tcp_connect *connecting)
{
	loop_timer_stop(&connecting->next_due);
	for (int i = 0; i < connecting->next; i++)
		drop_attempt(&connecting->attempts[i]);
}

/* --- The end ------------------------------------------------------------ */

static void tell(struct loop_task *task)
{
	struct tcp_connect *connecting = container_of(task, struct tcp_connect, over);
	int fd = connecting->fd;

	drop_all(connecting);
	connecting->fd = -1;
	if (fd >= 0)
		connecting->ops->connected(connecting->context, fd,
					   &connecting->addresses.list[connecting->won]);
	else
		connecting->ops->failed(connecting->context, connecting->error);
}

/* --- Attempts ----------------------------------------------------------- */

static void set_options(int fd)
{
	const int on = 1;

	/* No delay to join small writes: the guest has decided what goes into one write. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* A server that vanished without a reset is noticed in the end. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static void attempt_ready(struct loop_watch *watch, uint32_t events);

/* Begins with address @index. Returns 1: connected, 0: under way, -errno. */
static int attempt(struct tcp_connect *connecting, int index)
{
	const struct address *address = &connecting->addresses.list[index];
	int fd = socket(address->name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			IPPROTO_TCP), ret;

	if (fd < 0)
		return -errno;
	set_options(fd);
	if (!connect(fd, (const struct sockaddr *)&address->name, address->len)) {
		connecting->won = index;
		connecting->fd = fd;
		return 1;
	}
	ret = errno != EINPROGRESS ? -errno :
	      loop_watch_add(connecting->loop, &connecting->attempts[index].watch, fd, EPOLLOUT,
			     attempt_ready);
	if (ret)
		close(fd);
	else
		connecting->under_way++;
	return ret;
}

/* Continues with the next address that does not fail at once. Returns false when all is over. */
static bool try_next(struct tcp_connect *connecting)
{
	while (connecting->next < connecting->addresses.count) {
		int ret = attempt(connecting, connecting->next++);

		if (ret > 0)
			return false;
		if (!ret) {
			if (connecting->next < connecting->addresses.count)
				loop_timer_start(&connecting->next_due, NEXT_MS);
			return true;
		}
		connecting->error = ret;
	}
	return connecting->under_way;
}

static void attempt_ready(struct loop_watch *watch, uint32_t events)
{
	struct attempt *ready = container_of(watch, struct attempt, watch);
	struct tcp_connect *connecting = ready->connecting;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)events;
	if (getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (!error) {
		connecting->won = ready - connecting->attempts;
		connecting->fd = watch->fd;
		loop_watch_remove(watch);
		connecting->under_way--;
		tell(&connecting->over);
		return;
	}
	connecting->error = -error;
	drop_attempt(ready);
	if (!try_next(connecting))
		tell(&connecting->over);
}

static void next_is_due(struct loop_timer *timer)
{
	struct tcp_connect *connecting = container_of(timer, struct tcp_connect, next_due);

	if (!try_next(connecting))
		tell(&connecting->over);
}

struct tcp_connect *tcp_connect_begin(struct loop *loop, const struct addresses *addresses,
				      const struct tcp_connect_ops *ops, void *context)
{
	struct tcp_connect *connecting = calloc(1, sizeof(*connecting));

	if (!connecting)
		return NULL;
	connecting->loop = loop;
	connecting->ops = ops;
	connecting->context = context;
	connecting->addresses = *addresses;
	connecting->error = -EHOSTUNREACH;
	connecting->fd = -1;
	for (int i = 0; i < ADDRESSES_MAX; i++) {
		connecting->attempts[i].connecting = connecting;
		connecting->attempts[i].watch.fd = -1;
	}
	loop_timer_init(loop, &connecting->next_due, next_is_due);
	loop_task_init(loop, &connecting->over, tell);
	if (!try_next(connecting))
		loop_task_queue(&connecting->over);
	return connecting;
}

void tcp_connect_end(struct tcp_connect *connecting)
{
	if (!connecting)
		return;
	loop_task_cancel(&connecting->over);
	drop_all(connecting);
	if (connecting->fd >= 0)
		close(connecting->fd);
	free(connecting);
}
