// SPDX-License-Identifier: MIT
/*
 * Writes and reads that take turns: the driver sends a READ for the answer ahead of a write, and
 * no interrupt is made for it [protocol.md 6.8]. Whoever then waits, in whichever way, is
 * woken all the same.
 *
 * The service takes its time for the second answer, and until then nothing else happens on the
 * port: a reader that the answer does not wake sleeps for ever.
 */
#include <signal.h>
#include <sys/epoll.h>

#include "channel.h"

/* A turn, and the next write. Returns whether the driver has left a READ for the answer. */
static bool take_turn(int fd)
{
	uint64_t requests;
	char c;

	CHECK_EQ(write(fd, "a", 1), 1);
	while (!channel_info(fd).events)	/* the answer's: so that the read need not wait */
		;
	read_all(fd, &c, 1);
	requests = channel_info(fd).requests;
	CHECK_EQ(write(fd, "b", 1), 1);
	return channel_info(fd).requests == requests + 2;
}

/*
 * A channel that has taken a turn and written again: the answer is under way. One whose read
 * had to wait for long has learned not to look for answers, and leaves no READ.
 */
static int wait_for_turn(void)
{
	int fd = channel_open("ponder", 0);

	while (!take_turn(fd)) {
		close(fd);
		fd = channel_open("ponder", 0);
	}
	return fd;
}

static void take_answer(int fd)
{
	char c = 0;

	CHECK_EQ(read(fd, &c, 1), 1);
	CHECK_EQ(c, 'b');
}

static void read_it(void *arg)
{
	take_answer(*(int *)arg);
}

TEST(a_read_is_woken)
{
	take_answer(wait_for_turn());
}

TEST(a_read_of_another_process_is_woken)
{
	int fd = wait_for_turn();

	JOIN(spawn(read_it, &fd));
}

TEST(a_large_read_is_woken)
{
	int fd = wait_for_turn();
	char *buf = malloc(1 << 20);

	CHECK_EQ(read(fd, buf, 1 << 20), 1);
	CHECK_EQ(*buf, 'b');
}

TEST(poll_is_woken)
{
	struct pollfd pollfd = { .fd = wait_for_turn(), .events = POLLIN };

	CHECK_EQ(poll(&pollfd, 1, -1), 1);
	take_answer(pollfd.fd);
}

TEST(epoll_is_woken)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int fd = wait_for_turn(), epoll = CHECK_OK(epoll_create1(0));

	CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
	take_answer(fd);
}

TEST(a_signal_comes)
{
	int fd = wait_for_turn(), sig;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(fcntl(fd, F_SETOWN, getpid()));
	CHECK_OK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
	CHECK_EQ(sigwait(&set, &sig), 0);
	take_answer(fd);
}

TEST(splice_is_woken)
{
	int fd = wait_for_turn(), pipes[2];
	char c;

	CHECK_OK(pipe(pipes));
	CHECK_EQ(splice(fd, NULL, pipes[1], NULL, 100, 0), 1);
	read_all(pipes[0], &c, 1);
	CHECK_EQ(c, 'b');
}

TEST(nobody_need_wait)
{
	int fd = wait_for_turn(), bytes = 0;

	/* The READ that was sent ahead brings it, so FIONREAD counts it without a read(). */
	while (!bytes)
		CHECK_OK(ioctl(fd, FIONREAD, &bytes));
	take_answer(fd);
}

/* Of a write that finds no room nothing but the READ ahead of it is sent. */
TEST(the_read_goes_ahead_of_the_write)
{
	struct puppet p = puppet_open(0);
	uint64_t requests;
	char c;

	fill(p.fd, 1, 0);
	ctl("send %u 1 1", p.index);
	wait_poll(p.fd, POLLIN);
	CHECK_EQ(read(p.fd, &c, 1), 1);
	requests = channel_info(p.fd).requests;
	CHECK_EQ(write(p.fd, "a", 1), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(channel_info(p.fd).requests, requests + 1);
}

TEST(a_close_is_not_held_up)
{
	int before = port_channels(PORT_MULTI);

	for (int i = 0; i < 20; i++)
		close(wait_for_turn());
	await_port(PORT_MULTI, before);
}
