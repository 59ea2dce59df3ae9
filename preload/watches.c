// SPDX-License-Identifier: MIT
/*
 * epoll sets. A set holds a file and not a descriptor, so a socket that a program has added
 * before it calls connect() would be lost for it when a channel takes the descriptor. (nginx,
 * Boost.Asio and Netty add their sockets first.) So the last addition of each descriptor is
 * remembered, and made again for the channel.
 *
 * What is remembered may be of a file that was closed since, or of another set. EPOLL_CTL_DEL
 * finds out: it takes out what is there, or fails.
 */
#include "preload.h"

#define WATCH_MAX 65536

/* @set is one more, so that 0 is none. */
static struct {
	int set;
	uint32_t events;
	uint64_t data;
} noted[WATCH_MAX];

void watch_note(int set, int fd, const struct epoll_event *event)
{
	if (fd < 0 || fd >= WATCH_MAX)
		return;
	noted[fd].events = event->events;
	noted[fd].data = event->data.u64;
	noted[fd].set = set + 1;
}

struct watch watch_take(int fd)
{
	struct watch watch = { .set = -1 };

	if (fd < 0 || fd >= WATCH_MAX || !noted[fd].set)
		return watch;
	watch.event.events = noted[fd].events;
	watch.event.data.u64 = noted[fd].data;
	if (!NEXT(epoll_ctl)(noted[fd].set - 1, EPOLL_CTL_DEL, fd, &watch.event))
		watch.set = noted[fd].set - 1;
	return watch;
}

void watch_put(const struct watch *watch, int fd)
{
	struct epoll_event event = watch->event;

	if (watch->set >= 0)
		NEXT(epoll_ctl)(watch->set, EPOLL_CTL_ADD, fd, &event);
}
