// SPDX-License-Identifier: MIT
/*
 * More opens than the transmit queue has room for are named while the host's daemon is stopped, and
 * then that ends (test-lost). Those whose CONNECT was in the queue end with ECONNRESET; those whose
 * CONNECT waits in the driver go on with the next daemon [protocol.md 3.7].
 *
 * usage: manyport-lost STOPPED	(a file that is there when the daemon is stopped)
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <manyport/client.h>

#define OPENS	400
#define ENTRIES	256		/* of the queue, at most */
#define LIMIT_S	300

static int fds[OPENS];
static unsigned int resets, served, others;

static bool ok(unsigned int number, bool is_true, const char *what)
{
	printf("%sok %u - %s\n", is_true ? "" : "not ", number, what);
	return is_true;
}

static bool await(const char *path)
{
	for (int i = 0; i < LIMIT_S * 10; i++) {
		if (!access(path, F_OK))
			return true;
		poll(NULL, 0, 100);
	}
	return false;
}

/* Returns whether each is on its way, and none has been answered. */
static bool name_all(const char *port)
{
	bool good = true;

	for (int i = 0; i < OPENS; i++) {
		fds[i] = open(port, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		good &= fds[i] >= 0 && write(fds[i], "echo", 4) < 0 && errno == EAGAIN;
	}
	return good;
}

/* What became of one. */
static void collect(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN | POLLOUT };
	char byte = 0;

	if (poll(&wait, 1, LIMIT_S * 1000) != 1) {
		others++;
	} else if (write(fd, "echo", 4) < 0) {
		if (errno == ECONNRESET)
			resets++;
		else
			others++;
	} else {
		wait.events = POLLIN;
		if (write(fd, "x", 1) == 1 && poll(&wait, 1, LIMIT_S * 1000) == 1 &&
		    read(fd, &byte, 1) == 1 && byte == 'x')
			served++;
		else
			others++;
	}
}

int main(int argc, char **argv)
{
	char port[256];
	bool good = true;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 2 || manyport_find("multi", port, sizeof(port)))
		return 2;
	printf("1..4\n");
	fd = manyport_open(port, "echo", O_CLOEXEC);
	good &= ok(1, fd >= 0, "the daemon answers");
	printf("# host: stop\n");
	good &= ok(2, await(argv[1]) && name_all(port), "opens are named, and no daemon answers");
	printf("# host: kill\n");
	for (int i = 0; i < OPENS; i++)
		collect(fds[i]);
	printf("# %u reset, %u served, %u others\n", resets, served, others);
	good &= ok(3, resets && resets <= ENTRIES, "those in the queue end with ECONNRESET");
	good &= ok(4, served && !others, "the others are served by the next daemon");
	return !good;
}
