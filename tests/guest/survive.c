// SPDX-License-Identifier: MIT
/*
 * Channels that are busy while the host's daemon is replaced under them.
 *
 * Each process has some channels to services that give back what they get. On each a number of
 * bytes goes there and back, then the channel is closed and another one opened. Faults are: a byte
 * that is not the one that was sent, an end in place of bytes, and an error that no crash of the
 * daemon explains. With --lossless every error is one. When the host says so (service "over") each
 * channel brings its last bytes to an end, and the port must have no channel left.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <manyport/client.h>

#define AHEAD	  32768		/* bytes that are on their way at most */
#define BYTES_MAX 200000	/* on one channel, each way */
#define PER_CHILD 50

static struct {
	unsigned int channels, programs, limit;
	bool lossless;
} options = { .channels = 1000, .programs = 20, .limit = 600 };

static struct shared {
	bool is_over;
	uint64_t lives, resets, bytes;
} *shared;

static char port_path[256];

struct line {
	int fd;
	const char *service;
	uint32_t seed;
	uint32_t sent, got, quota;
};

static void fail(const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("# %d: %s\n", getpid(), text);
	fflush(stdout);
	_exit(1);
}

static uint8_t byte_at(uint32_t seed, uint32_t offset)
{
	return (seed + offset * 2654435761U) >> 13;
}

/* What a crash of the daemon does. ENODEV, ENOENT: the port of an older driver comes back. */
static bool is_explained(int error)
{
	return !options.lossless &&
	       (error == ECONNRESET || error == EPIPE || error == ENODEV || error == ENOENT);
}

static void count(uint64_t *counter, uint64_t by)
{
	__atomic_add_fetch(counter, by, __ATOMIC_RELAXED);
}

static void cut(struct line *line, const char *what, int error)
{
	if (!is_explained(error))
		fail("%s: %s: %s, %u of %u bytes back", line->service, what, strerror(error),
		     line->got, line->quota);
	count(&shared->resets, 1);
	close(line->fd);
	line->fd = -1;
}

static void begin(struct line *line, unsigned int *dice)
{
	for (;;) {
		line->seed = rand_r(dice);
		line->sent = line->got = 0;
		line->quota = 1 + rand_r(dice) % BYTES_MAX;
		line->fd = manyport_open(port_path, line->service, O_CLOEXEC);
		if (line->fd >= 0)
			break;
		if (!is_explained(-line->fd))
			fail("%s: open: %s", line->service, strerror(-line->fd));
		count(&shared->resets, 1);
		poll(NULL, 0, 10);
	}
	fcntl(line->fd, F_SETFL, O_NONBLOCK);
}

static void send_some(struct line *line, unsigned int *dice)
{
	uint8_t block[8192];
	uint32_t room = AHEAD - (line->sent - line->got), len = 1 + rand_r(dice) % sizeof(block);
	ssize_t ret;

	if (len > room)
		len = room;
	if (len > line->quota - line->sent)
		len = line->quota - line->sent;
	if (!len)
		return;
	for (uint32_t i = 0; i < len; i++)
		block[i] = byte_at(line->seed, line->sent + i);
	ret = write(line->fd, block, len);
	if (ret >= 0)
		line->sent += ret;
	else if (errno != EAGAIN)
		cut(line, "write", errno);
}

static void take_some(struct line *line)
{
	uint8_t block[16384];
	ssize_t ret = read(line->fd, block, sizeof(block));

	if (ret < 0) {
		if (errno != EAGAIN)
			cut(line, "read", errno);
		return;
	}
	if (!ret)
		fail("%s: an end after %u of %u bytes", line->service, line->got, line->quota);
	for (ssize_t i = 0; i < ret; i++)
		if (block[i] != byte_at(line->seed, line->got + i))
			fail("%s: byte %u is another one", line->service, line->got + (uint32_t)i);
	line->got += ret;
	count(&shared->bytes, ret);
	if (line->got > line->sent)
		fail("%s: %u bytes back of %u", line->service, line->got, line->sent);
}

/* Returns false when the channel has done its last. */
static bool go_on(struct line *line, short events, unsigned int *dice)
{
	if (events & (POLLIN | POLLERR | POLLHUP))
		take_some(line);
	if (line->fd >= 0 && events & POLLOUT)
		send_some(line, dice);
	if (line->fd >= 0 && line->got == line->quota) {
		close(line->fd);
		line->fd = -1;
		count(&shared->lives, 1);
		if (__atomic_load_n(&shared->is_over, __ATOMIC_RELAXED))
			return false;
	}
	if (line->fd < 0)
		begin(line, dice);
	return true;
}

static void work(const char *service, unsigned int lines_count, unsigned int dice)
{
	struct line lines[PER_CHILD] = { 0 };
	struct pollfd polled[PER_CHILD];
	unsigned int left = lines_count;

	for (unsigned int i = 0; i < lines_count; i++) {
		lines[i].service = service;
		begin(&lines[i], &dice);
	}
	while (left) {
		for (unsigned int i = 0; i < lines_count; i++) {
			struct line *line = &lines[i];
			bool may_send = line->sent < line->quota && line->sent - line->got < AHEAD;

			polled[i].fd = line->fd;
			polled[i].events = POLLIN | (may_send ? POLLOUT : 0);
			polled[i].revents = 0;
		}
		poll(polled, lines_count, -1);
		for (unsigned int i = 0; i < lines_count; i++)
			if (polled[i].revents && !go_on(&lines[i], polled[i].revents, &dice))
				left--;
	}
	_exit(0);
}

static unsigned int start(const char *service, unsigned int channels, unsigned int seed)
{
	unsigned int children = 0;

	for (unsigned int first = 0; first < channels; first += PER_CHILD, children++) {
		unsigned int some = channels - first < PER_CHILD ? channels - first : PER_CHILD;
		pid_t pid = fork();

		if (pid < 0)
			fail("fork: %s", strerror(errno));
		if (!pid)
			work(service, some, seed + first);
	}
	return children;
}

/* Has the host replaced its daemon for the last time? */
static bool host_is_done(void)
{
	char word[16] = "";
	int fd = manyport_open(port_path, "over", O_CLOEXEC);
	ssize_t ret;

	if (fd < 0)
		return false;
	ret = read(fd, word, sizeof(word) - 1);
	close(fd);
	return ret > 0 && !strncmp(word, "over", 4);
}

/* The port's own count of channels, or -1. */
static int port_channels(void)
{
	char path[PATH_MAX + 64], node[PATH_MAX];
	int count = -1;
	FILE *file;

	if (!realpath(port_path, node))
		return -1;
	snprintf(path, sizeof(path), "/sys/class/manyport/%s/channels", strrchr(node, '/') + 1);
	file = fopen(path, "r");
	if (!file)
		return -1;
	if (fscanf(file, "%d", &count) != 1)
		count = -1;
	fclose(file);
	return count;
}

static bool wait_for(unsigned int children)
{
	time_t end = time(NULL) + options.limit;
	bool good = true;
	int status;

	while (children) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid > 0) {
			children--;
			good &= WIFEXITED(status) && !WEXITSTATUS(status);
			continue;
		}
		if (time(NULL) > end) {
			printf("# stuck: %u processes\n", children);
			return false;
		}
		poll(NULL, 0, 200);
		if (!shared->is_over && host_is_done())
			__atomic_store_n(&shared->is_over, true, __ATOMIC_RELAXED);
	}
	return good;
}

static bool port_is_empty(void)
{
	time_t end = time(NULL) + 60;

	while (port_channels() > 0 && time(NULL) < end)
		poll(NULL, 0, 50);
	return port_channels() <= 0;
}

static const struct argp_option option_table[] = {
	{ "channels", 'c', "N", 0, "to a service in the daemon (1000)", 0 },
	{ "programs", 'p', "N", 0, "to a program each (20)", 0 },
	{ "lossless", 'l', NULL, 0, "no channel may end", 0 },
	{ "limit", 't', "SECONDS", 0, "what takes longer is stuck (600)", 0 },
	{ 0 }
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	(void)state;
	switch (key) {
	case 'c': options.channels = atoi(arg); return 0;
	case 'p': options.programs = atoi(arg); return 0;
	case 'l': options.lossless = true; return 0;
	case 't': options.limit = atoi(arg); return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp parser = { option_table, parse_option, NULL,
					    "Channels under a daemon that is replaced.", NULL, NULL,
					    NULL };
	struct rlimit files;
	unsigned int children;
	bool good;

	argp_parse(&parser, argc, argv, 0, NULL, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (manyport_find("multi", port_path, sizeof(port_path)))
		fail("no port 'multi'");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		fail("no memory");
	printf("1..3\n");
	children = start("echo", options.channels, 1);
	children += start("cat", options.programs, 1000000);
	good = wait_for(children);
	printf("# %llu channels came to their end, %llu were cut, %llu bytes\n",
	       (unsigned long long)shared->lives, (unsigned long long)shared->resets,
	       (unsigned long long)shared->bytes);
	printf("%sok 1 - each byte that came back was the right one\n", good ? "" : "not ");
	good = options.lossless == !shared->resets;
	printf("%sok 2 - %s\n", good ? "" : "not ",
	       options.lossless ? "no channel was cut" : "channels were cut, and new ones worked");
	good = port_is_empty();
	printf("%sok 3 - no channel is left\n", good ? "" : "not ");
	return 0;
}
