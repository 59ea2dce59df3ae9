// SPDX-License-Identifier: MIT
/*
 * The host's end of the counted work.
 *
 *	server SOCKET FILE
 *
 * The client begins with two numbers, how many bytes it gives and how many it wants for
 * them; and again, until the connection ends. Nothing is ever under way on two
 * connections, so one process serves them in turn, and waits in the middle of each.
 *
 * What MARK_SIZE bytes are given for is a mark, which strace finds in the daemon's log. It is
 * answered with the number of allocations that the daemon has counted in FILE (allocations.c).
 */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "work.h"

#define MAX_CONNECTIONS 256

static struct pollfd polls[1 + MAX_CONNECTIONS];	/* the listener is the first */
static struct work works[1 + MAX_CONNECTIONS];
static int count = 1;
static char buf[WORK_MAX];
static const volatile uint64_t *allocations;

static void __attribute__((noreturn)) fail(const char *what)
{
	perror(what);
	exit(1);
}

static void begin(void)
{
	int fd = accept4(polls[0].fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 || count > MAX_CONNECTIONS)
		fail("accept");
	polls[count] = (struct pollfd){ .fd = fd, .events = POLLIN };
	works[count++] = (struct work){ 0 };
}

static void end(int index)
{
	close(polls[index].fd);
	count--;
	polls[index] = polls[count];
	works[index] = works[count];
}

/* Serves one exchange. Returns false at the end of the connection. */
static bool serve(int fd, struct work *work)
{
	if (!work->gives)
		return read_all(fd, work, sizeof(*work)) && work->gives &&
		       work->gives <= WORK_MAX && work->wants <= WORK_MAX;
	if (!read_all(fd, buf, work->gives))
		return false;
	if (work->gives == MARK_SIZE)
		snprintf(buf, MARK_SIZE, "%llu", (unsigned long long)*allocations);
	return write_all(fd, buf, work->wants);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 128))
		fail(path);
	return fd;
}

static void map_allocations(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(*allocations)))
		fail(path);
	allocations = mmap(NULL, sizeof(*allocations), PROT_READ, MAP_SHARED, fd, 0);
	if (allocations == MAP_FAILED)
		fail(path);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: server SOCKET FILE\n");
		return 2;
	}
	map_allocations(argv[2]);
	polls[0] = (struct pollfd){ .fd = listen_at(argv[1]), .events = POLLIN };
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(polls, count, -1) < 0)
			fail("poll");
		/* From the last on: what takes the place of an ended one was looked at before. */
		for (int i = count - 1; i > 0; i--)
			if (polls[i].revents && !serve(polls[i].fd, &works[i]))
				end(i);
		if (polls[0].revents)
			begin();
	}
}
