// SPDX-License-Identifier: MIT
/*
 * A program for Android's pipe, on a channel: names with and without "pipe:", all bytes both ways,
 * a name that the host does not know, an end in the middle. C and C++.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <manyport/qemu_pipe.h>

#define SIZE 300000

static void check(int is_good, const char *what)
{
	if (is_good)
		return;
	fprintf(stderr, "pipe: %s (%s)\n", what, strerror(errno));
	exit(1);
}

static void go_round(QEMU_PIPE_HANDLE pipe)
{
	static char sent[SIZE], got[SIZE];
	const int part = 30000;		/* what surely has room on the way */

	check(qemu_pipe_valid(pipe), "open");
	for (int i = 0; i < SIZE; i++)
		sent[i] = (char)(i * 7 + i / 256);
	for (int at = 0; at < SIZE; at += part) {
		check(!qemu_pipe_write_fully(pipe, sent + at, part), "write");
		check(!qemu_pipe_read_fully(pipe, got + at, part), "read");
	}
	check(!memcmp(sent, got, SIZE), "the bytes are others");
}

static void end_in_the_middle(QEMU_PIPE_HANDLE pipe)
{
	char buf[8];

	check(!qemu_pipe_write_fully(pipe, "abc", 3), "write before the end");
	check(!manyport_shutdown(pipe, SHUT_WR), "shutdown");
	check(qemu_pipe_read_fully(pipe, buf, sizeof(buf)) < 0 && errno == ECONNRESET,
	      "an end is no error");
	qemu_pipe_close(pipe);
}

int main(void)
{
	QEMU_PIPE_HANDLE pipe = qemu_pipe_open("pipe:echo"), other = qemu_pipe_open("echo");
	int next, again;

	go_round(pipe);
	go_round(other);
	end_in_the_middle(pipe);
	pipe = qemu_pipe_open_ns(NULL, "echo", O_NONBLOCK);
	go_round(pipe);
	qemu_pipe_close(pipe);
	next = dup(0);
	close(next);
	check(qemu_pipe_open_ns("qemud", "none", 0) == QEMU_PIPE_INVALID_HANDLE && errno == ENOENT,
	      "a name that is not known");
	again = dup(0);
	check(next == again, "a descriptor is left");
	printf("good\n");
	return 0;
}
