// SPDX-License-Identifier: MIT
#include "keep/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "keep/closer.h"

static int find(const struct store *store, const char *name)
{
	for (int i = 0; i < store->count; i++) {
		if (!strcmp(store->held[i].name, name))
			return i;
	}
	return -1;
}

/*
 * As keep.c makes them, in the one way in which it writes a number: the next process takes them
 * over, or drops them. They go into an environment, with a colon between two. Returns the number,
 * or 0: it is no such name.
 */
static uint32_t number_of(const char *name)
{
	size_t digits = strncmp(name, "mp", 2) ? 0 : strspn(name + 2, "0123456789");
	const char *end = name + 2 + digits;
	unsigned long long number;

	if (!digits || digits > 10 || name[2] == '0' || (*end && strcmp(end, "-state")))
		return 0;
	number = strtoull(name + 2, NULL, 10);
	return number <= UINT32_MAX ? number : 0;
}

/* A successor knows one of a number. */
static bool has_number(const struct store *store, uint32_t number)
{
	for (int i = 0; i < store->count; i++) {
		if (number_of(store->held[i].name) == number)
			return true;
	}
	return false;
}

int store_add(struct store *store, const char *name, int fd)
{
	uint32_t number = number_of(name);
	int ret = 0;

	if (!number)
		ret = -EINVAL;
	else if (has_number(store, number))
		ret = -EEXIST;
	else if (store->count == STORE_MAX)
		ret = -ENOSPC;
	if (ret) {
		closer_close(fd);
		return ret;
	}
	strcpy(store->held[store->count].name, name);
	store->held[store->count++].fd = fd;
	return 0;
}

void store_remove(struct store *store, const char *name)
{
	int i = find(store, name);

	if (i < 0)
		return;
	closer_close(store->held[i].fd);
	store->held[i] = store->held[--store->count];
}

void store_clear(struct store *store)
{
	while (store->count)
		closer_close(store->held[--store->count].fd);
}

/* --- For the next process -------------------------------------------------------- */

/* Moves *fd to a number of @first or more. Returns 0 or -errno. */
static int move_up(int *fd, int first)
{
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, first);

	if (up < 0)
		return -errno;
	close(*fd);
	*fd = up;
	return 0;
}

static int set_variables(const struct store *store)
{
	char names[STORE_MAX * (STORE_NAME_SIZE + 1) + 1], number[16];
	size_t len = 0;
	int ret;

	*names = '\0';
	for (int i = 0; i < store->count; i++)
		len += snprintf(names + len, sizeof(names) - len, "%s%s", i ? ":" : "",
				store->held[i].name);
	snprintf(number, sizeof(number), "%d", getpid());
	ret = setenv("LISTEN_PID", number, true);
	snprintf(number, sizeof(number), "%d", store->count);
	ret |= setenv("LISTEN_FDS", number, true) | setenv("LISTEN_FDNAMES", names, true);
	return ret ? -ENOMEM : 0;
}

int store_lay_out(struct store *store, int *more)
{
	const int first = SD_LISTEN_FDS_START, end = first + store->count;
	int ret = 0;

	/* No descriptor of ours lies where another one goes. */
	for (int i = 0; i < store->count && !ret; i++) {
		if (store->held[i].fd < end)
			ret = move_up(&store->held[i].fd, end);
	}
	if (!ret && *more >= 0 && *more < end)
		ret = move_up(more, end);
	if (!ret && *more >= 0 && fcntl(*more, F_SETFD, 0))
		ret = -errno;
	for (int i = 0; i < store->count && !ret; i++) {
		if (dup2(store->held[i].fd, first + i) < 0)
			ret = -errno;
	}
	return ret ? ret : set_variables(store);
}
