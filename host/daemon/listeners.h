/* SPDX-License-Identifier: MIT */
/* Sockets that listen, as the holder has them for the next process, with the clients that wait. */
#ifndef HOST_DAEMON_LISTENERS_H
#define HOST_DAEMON_LISTENERS_H

#include <stdint.h>

struct keep;

/* All zero but for keep: none. */
struct listeners {
	struct keep *keep;		/* NULL: nothing is held */
	uint32_t *numbers;
	unsigned int count;
};

/* Those of the process before this one: the next unix_listener_open() of its path finds each. */
void listeners_take_over(struct listeners *listeners);
/* One more: @fd, the caller's; -1: nothing. What cannot be held ends with this process. */
void listeners_hold(struct listeners *listeners, int fd);
/* None of them is held any more, unless others hold it too. */
void listeners_drop(struct listeners *listeners);

#endif
