// SPDX-License-Identifier: MIT
/*
 * SO_RCVTIMEO and SO_SNDTIMEO of a channel. The driver has no such limits, so a call that has one
 * does not wait in the driver: it polls, and tries again. What is remembered is the number's: a
 * duplicate has no limit before it is given one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <time.h>

#include "preload.h"

#define LIMIT_MAX 65536

/* In milliseconds; 0: none. */
static _Atomic int limits[2][LIMIT_MAX];

bool limit_fits(int fd)
{
	return fd >= 0 && fd < LIMIT_MAX;
}

int limit_get(int fd, enum limit_way way)
{
	return limit_fits(fd) ? atomic_load_explicit(&limits[way][fd], memory_order_relaxed) : 0;
}

void limit_set(int fd, enum limit_way way, int ms)
{
	if (limit_get(fd, way) != ms && limit_fits(fd))
		atomic_store_explicit(&limits[way][fd], ms, memory_order_relaxed);
}

int limit_of_time(const struct timeval *time)
{
	/* The kernel's calls then do not wait at all. */
	if (time->tv_sec < 0)
		return 1;
	if (time->tv_sec >= INT_MAX / 1000)
		return INT_MAX;
	return time->tv_sec * 1000 + (time->tv_usec + 999) / 1000;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool limit_wait(int fd, enum limit_way way, int64_t *until)
{
	struct pollfd item = { .fd = fd, .events = way == LIMIT_IN ? POLLIN : POLLOUT };
	int flags = fcntl(fd, F_GETFL), ret = 0;
	int64_t now = now_ms();

	if (!*until)
		*until = now + limit_get(fd, way);
	if (flags >= 0 && !(flags & O_NONBLOCK) && now < *until)
		ret = poll(&item, 1, *until - now);
	if (!ret)
		errno = EAGAIN;
	return ret > 0;
}
