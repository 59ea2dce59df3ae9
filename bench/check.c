// SPDX-License-Identifier: MIT
/* Do the right bytes arrive? Not timed. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "works.h"

#define BYTES (4U << 20)
#define MESSAGES 20

struct writer {
	int fd;
	size_t size;
};

static void complain(const char *what, size_t size)
{
	printf("error=wrong contents: %s in calls of %zu bytes\n", what, size);
	fflush(stdout);
	_Exit(1);
}

static void *write_pattern(void *arg)
{
	const struct writer *w = arg;

	if (give_bytes(w->fd, more_buf, w->size, BYTES, true))
		fail("write");
	return NULL;
}

static void check_answer(int fd, const char *what, size_t size)
{
	char byte;

	if (read_all(fd, &byte, 1))
		fail("answer");
	if (byte != BENCH_GOOD)
		complain(what, size);
}

static void check_echo(int fd, size_t size)
{
	doing("checking echoes");
	request(fd, BENCH_ECHO, size, MESSAGES * size, false);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		pattern_fill(more_buf, i * 12345, size);
		if (write_all(fd, more_buf, size) || read_all(fd, io_buf, size))
			fail("echo");
		if (!pattern_matches(io_buf, i * 12345, size))
			complain("echo", size);
	}
}

static void check_write(int fd, size_t size)
{
	struct writer writer = { fd, size };

	doing("checking a write");
	request(fd, BENCH_SINK, 0, BYTES, true);
	write_pattern(&writer);
	check_answer(fd, "write", size);
}

static void take_pattern(int fd, size_t size)
{
	int ret = take_bytes(fd, io_buf, size, BYTES, true, NULL);

	if (ret < 0)
		fail("read");
	if (ret)
		complain("read", size);
}

static void check_read(int fd, size_t size)
{
	doing("checking a read");
	request(fd, BENCH_SOURCE, 0, BYTES, true);
	take_pattern(fd, size);
}

static void check_both(int fd, size_t size)
{
	struct writer writer = { fd, size };
	pthread_t thread;

	doing("checking both ways at once");
	request(fd, BENCH_BOTH, 0, BYTES, true);
	if (pthread_create(&thread, NULL, write_pattern, &writer))
		fail("thread");
	take_pattern(fd, size);
	pthread_join(thread, NULL);
	check_answer(fd, "both", size);
}

void work_check(const struct options *options)
{
	int fd = target_open(options->target);

	if (!strcmp(options->direction, "echo"))
		check_echo(fd, options->size);
	else if (!strcmp(options->direction, "read"))
		check_read(fd, options->size);
	else if (!strcmp(options->direction, "write"))
		check_write(fd, options->size);
	else
		check_both(fd, options->size);
	printf("result ok=1\n");
}
