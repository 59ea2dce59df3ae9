// SPDX-License-Identifier: MIT
#include "daemon/listeners.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/unix_address.h"
#include "keep/keep.h"

static void add(struct listeners *listeners, uint32_t number)
{
	uint32_t *all = reallocarray(listeners->numbers, listeners->count + 1, sizeof(*all));

	if (!all) {
		keep_drop(listeners->keep, number);
		return;
	}
	listeners->numbers = all;
	all[listeners->count++] = number;
}

void listeners_take_over(struct listeners *listeners)
{
	uint32_t number;
	int fd;

	while ((fd = keep_take_listener(listeners->keep, &number)) >= 0) {
		if (!unix_listeners_adopt(fd))
			close(fd);
		add(listeners, number);
	}
}

void listeners_hold(struct listeners *listeners, int fd)
{
	uint32_t number = listeners->keep && fd >= 0 ? keep_hold(listeners->keep, fd) : 0;

	if (number)
		add(listeners, number);
}

void listeners_drop(struct listeners *listeners)
{
	while (listeners->count)
		keep_drop(listeners->keep, listeners->numbers[--listeners->count]);
	free(listeners->numbers);
	listeners->numbers = NULL;
}
