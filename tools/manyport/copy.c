// SPDX-License-Identifier: MIT
/*
 * One direction of a stream, as fast as the two ends allow: reads and writes of a
 * large aligned buffer, whose pages the driver uses as they are.
 *
 * Not splice(): while it waits for the port it holds the pipe's lock, so whoever is
 * at the pipe's other end could not even be killed; and from a port it is slower.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

#define COPY_SIZE (1 << 20)

/*
 * Should the call be made again? Waits first when somebody made an end
 * non-blocking before it was handed to us; -1 for an end that the call did not use.
 */
static bool should_repeat(int error, int from, int to)
{
	struct pollfd in = { .fd = from, .events = POLLIN };
	struct pollfd out = { .fd = to, .events = POLLOUT };

	if (error == EAGAIN) {
		if (from >= 0)
			poll(&in, 1, -1);
		if (to >= 0)
			poll(&out, 1, -1);
	}
	return error == EAGAIN || error == EINTR;
}

static bool is_pipe(int fd)
{
	struct stat status;

	return !fstat(fd, &status) && S_ISFIFO(status.st_mode);
}

static int write_all(int to, const char *data, size_t len, uint64_t *bytes)
{
	ssize_t ret;

	while (len) {
		ret = write(to, data, len);
		if (ret < 0 && should_repeat(errno, -1, to))
			continue;
		if (ret < 0)
			return -errno;
		data += ret;
		len -= ret;
		*bytes += ret;
	}
	return 0;
}

static int copy_through(int from, int to, char *buf, uint64_t *bytes, bool *writing)
{
	ssize_t ret;
	int error;

	for (;;) {
		ret = read(from, buf, COPY_SIZE);
		if (!ret)
			return 0;
		if (ret < 0 && should_repeat(errno, from, -1))
			continue;
		if (ret < 0) {
			*writing = false;
			return -errno;
		}
		error = write_all(to, buf, ret, bytes);
		if (error) {
			*writing = true;
			return error;
		}
	}
}

int copy_until_end(int from, int to, uint64_t *bytes, bool *writing)
{
	char *buf;
	int ret;

	/* Larger pipes carry more per call; a refusal costs only speed. */
	if (is_pipe(from))
		fcntl(from, F_SETPIPE_SZ, COPY_SIZE);
	if (is_pipe(to))
		fcntl(to, F_SETPIPE_SZ, COPY_SIZE);
	buf = mmap(NULL, COPY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		return -ENOMEM;
	ret = copy_through(from, to, buf, bytes, writing);
	munmap(buf, COPY_SIZE);
	return ret;
}
