// SPDX-License-Identifier: MIT
/*
 * One direction of a stream, as fast as the two ends allow: reads and writes of a
 * large aligned buffer, whose pages the driver uses as they are.
 *
 * Not splice(): while it waits for the port it holds the pipe's lock, so a process
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
 * Should the call be made again? If an end was non-blocking when this process inherited it, waits
 * until it is ready. -1: an end that the call did not use.
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

int copy_begin(struct copy *copy)
{
	/* Larger pipes carry more per call; a refusal costs only speed. */
	if (is_pipe(copy->from))
		fcntl(copy->from, F_SETPIPE_SZ, COPY_SIZE);
	if (is_pipe(copy->to))
		fcntl(copy->to, F_SETPIPE_SZ, COPY_SIZE);
	copy->buf = mmap(NULL, COPY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	if (copy->buf != MAP_FAILED)
		return 0;
	copy->buf = NULL;
	return -ENOMEM;
}

void copy_end(struct copy *copy)
{
	if (copy->buf)
		munmap(copy->buf, COPY_SIZE);
	copy->buf = NULL;
}

static int write_all(struct copy *copy, const char *data, size_t len)
{
	ssize_t ret;

	while (len) {
		ret = write(copy->to, data, len);
		if (ret < 0 && should_repeat(errno, -1, copy->to))
			continue;
		if (ret < 0)
			return -errno;
		data += ret;
		len -= ret;
		copy->bytes += ret;
	}
	return 0;
}

ssize_t copy_some(struct copy *copy)
{
	ssize_t len;
	int error;

	copy->writing_failed = false;
	do {
		len = read(copy->from, copy->buf, COPY_SIZE);
	} while (len < 0 && should_repeat(errno, copy->from, -1));
	if (len <= 0)
		return len < 0 ? -errno : 0;
	copy->holds_bytes = true;
	error = write_all(copy, copy->buf, len);
	copy->holds_bytes = error;
	if (!error)
		return len;
	copy->writing_failed = true;
	return error;
}
