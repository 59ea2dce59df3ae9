// SPDX-License-Identifier: MIT
/* open: a new channel each time, for each process, up to the limits; dup and fork share. */
#include <sched.h>

#include "channel.h"

TEST(sends_nothing)
{
	int fd = port_open(PORT_MULTI, 0);
	struct manyport_info info = channel_info(fd);

	/* Local: no request has been made for it, so nothing was waited for. */
	CHECK_EQ(info.state, MANYPORT_UNNAMED);
	CHECK_EQ(info.requests, 0);
	CHECK_POLL(fd, POLLOUT);
	CHECK_EQ(channel_info(fd).requests, 0);
}

TEST(is_a_channel_of_its_own)
{
	int fds[32];

	for (int i = 0; i < 32; i++)
		fds[i] = channel_open("echo", 0);
	for (int i = 0; i < 32; i++)
		write_pattern(fds[i], 100, i, 0);
	for (int i = 31; i >= 0; i--)
		read_pattern(fds[i], 100, i, 0);
}

static void use_echo(void *arg)
{
	int fd = channel_open("echo", 0);

	for (int i = 0; i < 20; i++) {
		write_pattern(fd, 1000, (intptr_t)arg, i * 1000);
		read_pattern(fd, 1000, (intptr_t)arg, i * 1000);
	}
}

TEST(many_processes)
{
	pid_t pids[16];

	for (intptr_t i = 0; i < 16; i++)
		pids[i] = spawn(use_echo, (void *)i);
	for (int i = 0; i < 16; i++)
		JOIN(pids[i]);
}

TEST(dup_is_the_same_channel)
{
	int fd = channel_open("echo", 0), copy = CHECK_OK(dup(fd));

	write_all(fd, "ab", 2);
	close(fd);
	write_all(copy, "cd", 2);
	fd = copy;
	char back[4];
	read_all(fd, back, 4);
	CHECK(!memcmp(back, "abcd", 4));
}

static void write_and_exit(void *arg)
{
	write_pattern(*(int *)arg, 1000, 1, 0);
}

TEST(fork_shares_the_channel)
{
	int fd = channel_open("echo", 0);

	JOIN(spawn(write_and_exit, &fd));
	/* The child's exit was no close: the channel is open both ways. */
	write_pattern(fd, 1000, 1, 1000);
	read_pattern(fd, 2000, 1, 0);
}

/* Opens until the limit; returns how many, all in fds[]. */
static int open_to_limit(const char *name, int *fds, int max)
{
	const char *path = port_path(name);
	int count = 0;

	await_port(name, 0);
	while (count < max) {
		fds[count] = open(path, O_RDWR | O_CLOEXEC);
		if (fds[count] < 0)
			break;
		count++;
	}
	return count;
}

TEST(ebusy_at_the_limit_of_the_port)
{
	int fds[TINY_CHANNELS + 1];

	CHECK_EQ(open_to_limit(PORT_TINY, fds, TINY_CHANNELS + 1), TINY_CHANNELS);
	CHECK_EQ(errno, EBUSY);
	/* The others work on, and another port has its own limit. */
	channel_name(fds[0], "echo");
	echo_once(fds[0], "still here");
	echo_once(channel_open("echo", 0), "and here");
}

static int open_when_free(const char *path)
{
	int fd;

	while ((fd = open(path, O_RDWR | O_CLOEXEC)) < 0) {
		CHECK_EQ(errno, EBUSY);
		sched_yield();
	}
	return fd;
}

TEST(works_again_after_a_close)
{
	int fds[TINY_CHANNELS + 1];

	CHECK_EQ(open_to_limit(PORT_TINY, fds, TINY_CHANNELS + 1), TINY_CHANNELS);
	channel_name(fds[0], "echo");
	close(fds[0]);
	fds[0] = open_when_free(port_path(PORT_TINY));
	channel_name(fds[0], "echo");
	echo_once(fds[0], "again");
}

TEST(closed_channels_that_drain_count)
{
	struct puppet puppet = { .index = puppet_next() };
	int fds[TINY_CHANNELS + 1];

	CHECK_EQ(open_to_limit(PORT_TINY, fds, TINY_CHANNELS + 1), TINY_CHANNELS);
	channel_name(fds[0], "puppet");
	puppet_await(puppet.index);
	fill(fds[0], 1, 0);
	close(fds[0]);
	/* Its service has not taken the rest yet. */
	CHECK_FAILS(open(port_path(PORT_TINY), O_RDWR), EBUSY);
	ctl("read %u all", puppet.index);
	ctl("eof %u", puppet.index);
	ctl("close %u", puppet.index);
	open_when_free(port_path(PORT_TINY));
}

TEST(slots_are_used_again)
{
	const char *path = port_path(PORT_TINY);
	int fd;

	for (int i = 0; i < 50; i++) {
		fd = open_when_free(path);
		channel_name(fd, "echo");
		write_pattern(fd, 64, i, 0);
		read_pattern(fd, 64, i, 0);
		close(fd);
	}
}

TEST(one_way_files)
{
	int in = CHECK_OK(open(port_path(PORT_MULTI), O_RDONLY | O_CLOEXEC));
	int out = CHECK_OK(open(port_path(PORT_MULTI), O_WRONLY | O_CLOEXEC));
	char byte;

	CHECK_FAILS(write(in, "x", 1), EBADF);
	channel_name(out, "null");
	CHECK_FAILS(read(out, &byte, 1), EBADF);
}

TEST(is_a_stream)
{
	int fd = channel_open("echo", 0);
	char byte;

	CHECK_FAILS(lseek(fd, 0, SEEK_SET), ESPIPE);
	CHECK_FAILS(pread(fd, &byte, 1, 0), ESPIPE);
	CHECK_FAILS(pwrite(fd, "x", 1, 0), ESPIPE);
}
