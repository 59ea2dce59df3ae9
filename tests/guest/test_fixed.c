// SPDX-License-Identifier: MIT
/*
 * Ports with a fixed service: no name, connected at open, and an end is not final.
 * "fixed" is tied to echo, "tied" to puppets, and on "agent" host tools connect.
 */
#include <sched.h>
#include <sys/epoll.h>

#include "channel.h"

TEST(connected_at_open)
{
	int fd = port_open(PORT_FIXED, 0);

	/* The first write is data. */
	echo_once(fd, "echo");
	CHECK_EQ(channel_info(fd).state, MANYPORT_CONNECTED);
	CHECK(channel_info(fd).flags & MANYPORT_INFO_FIXED);
	CHECK(!strcmp(channel_info(fd).service, ""));
}

TEST(two_opens_are_two_channels)
{
	int first = port_open(PORT_FIXED, 0), second = port_open(PORT_FIXED, 0);

	write_pattern(first, 1000, 1, 0);
	write_pattern(second, 1000, 2, 0);
	read_pattern(first, 1000, 1, 0);
	read_pattern(second, 1000, 2, 0);
}

TEST(large_data)
{
	unsigned int index = puppet_next();
	struct puppet p = { port_open(PORT_TIED, 0), index };

	puppet_await(index);
	ctl("read %u all", index);
	write_pattern(p.fd, MUCH, 1, 0);
	expect_got(&p, MUCH, 1);
	ctl("send %u %u 1", index, MUCH);
	read_pattern(p.fd, MUCH, 1, 0);
}

TEST(poll_when_connected)
{
	unsigned int index = puppet_next();
	int fd = port_open(PORT_TIED, 0);

	puppet_await(index);
	AWAIT_POLL(fd, POLLOUT);
	ctl("send %u 10 1", index);
	AWAIT_POLL(fd, POLLIN | POLLOUT);
	read_pattern(fd, 10, 1, 0);
	CHECK_POLL(fd, POLLOUT);
}

/* A host tool connects to the socket of the port "agent": a puppet's number. */
static unsigned int host_connects(void)
{
	return atoi(ctl("dial agent"));
}

/* Waits until HUP is gone: poll() cannot wait for that, but an edge tells. */
static void await_connected(int fd)
{
	struct epoll_event event = { .events = EPOLLOUT | EPOLLET };
	int epoll = CHECK_OK(epoll_create1(EPOLL_CLOEXEC));

	CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	while ((poll_now(fd) & (POLLOUT | POLLHUP)) != POLLOUT)
		CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
	close(epoll);
}

/* In between the port says what today's ports say. */
static void await_hung_up(int fd)
{
	wait_poll(fd, POLLHUP);
	/* The end may be known before all of it is in the driver. */
	while (poll_now(fd) != (POLLIN | POLLHUP))
		sched_yield();
	CHECK_POLL(fd, POLLIN | POLLHUP);
}

TEST(nobody_has_come_yet)
{
	int fd = port_open(PORT_AGENT, O_NONBLOCK);
	char byte;

	CHECK_POLL(fd, 0);
	barrier();
	CHECK_POLL(fd, 0);
	CHECK_FAILS(read(fd, &byte, 1), EAGAIN);
	CHECK_FAILS(write(fd, "x", 1), EAGAIN);
}

TEST(hup_when_the_client_has_gone)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index = host_connects();
	char byte;

	AWAIT_POLL(fd, POLLOUT);
	ctl("close %u", index);
	await_hung_up(fd);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(read(fd, &byte, 1), 0);
	set_nonblock(fd, true);
	CHECK_EQ(read(fd, &byte, 1), 0);
	CHECK_FAILS(write(fd, "x", 1), EAGAIN);
	CHECK_POLL(fd, POLLIN | POLLHUP);
}

TEST(a_client_of_the_host)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index = host_connects();

	AWAIT_POLL(fd, POLLOUT);
	ctl("send %u 1000 1", index);
	AWAIT_POLL(fd, POLLIN | POLLOUT);
	read_pattern(fd, 1000, 1, 0);
	write_pattern(fd, 1000, 1, 0);
	expect_got(&(struct puppet){ fd, index }, 1000, 1);
}

TEST(a_waiting_read_goes_on_when_the_client_comes)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index;
	pid_t pid = fork();

	CHECK_GE(pid, 0);
	if (!pid) {
		read_pattern(fd, 1000, 1, 0);
		_exit(0);
	}
	index = host_connects();
	ctl("send %u 1000 1", index);
	JOIN(pid);
}

TEST(a_waiting_write_goes_on_when_the_client_comes)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index;
	pid_t pid = fork();

	CHECK_GE(pid, 0);
	if (!pid) {
		write_pattern(fd, 1000, 1, 0);
		_exit(0);
	}
	index = host_connects();
	expect_got(&(struct puppet){ fd, index }, 1000, 1);
	JOIN(pid);
}

TEST(the_next_client_after_the_end)
{
	int fd = port_open(PORT_AGENT, 0);
	char byte;

	for (int i = 0; i < 10; i++) {
		unsigned int index = host_connects();

		await_connected(fd);
		ctl("send %u 1000 %d", index, i);
		read_pattern(fd, 1000, i, 0);
		write_pattern(fd, 500, i, 0);
		expect_got(&(struct puppet){ fd, index }, 500, i);
		ctl("close %u", index);
		await_hung_up(fd);
		CHECK_EQ(read(fd, &byte, 1), 0);
	}
}

TEST(the_end_comes_behind_the_bytes)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index = host_connects();

	AWAIT_POLL(fd, POLLOUT);
	ctl("send %u 100000 1", index);
	ctl("close %u", index);
	wait_poll(fd, POLLIN);
	read_pattern(fd, 100000, 1, 0);
	await_hung_up(fd);
}

static void read_the_end(void *arg)
{
	char byte;

	CHECK_EQ(read(*(int *)arg, &byte, 1), 0);
}

TEST(a_waiting_read_gives_0_at_the_end)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index = host_connects();
	pid_t pid;

	AWAIT_POLL(fd, POLLOUT);
	pid = spawn(read_the_end, &fd);
	ctl("close %u", index);
	JOIN(pid);
}

TEST(sends_nothing_of_the_last_client_to_the_next)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index = host_connects();
	char byte;

	AWAIT_POLL(fd, POLLOUT);
	/* The first client never reads what was written for it. */
	fill(fd, 1, 0);
	ctl("abort %u", index);
	wait_poll(fd, POLLHUP);
	while (read(fd, &byte, 1))
		;
	index = host_connects();
	await_connected(fd);
	set_nonblock(fd, false);
	write_pattern(fd, 100, 2, 0);
	close(fd);
	expect_arrived(&(struct puppet){ -1, index }, 100, 2);
}

TEST(a_client_that_waits_before_the_open)
{
	unsigned int index = host_connects();
	int fd;

	ctl("send %u 100 1", index);
	fd = port_open(PORT_AGENT, 0);
	read_pattern(fd, 100, 1, 0);
}

TEST(close_ends_the_client)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index = host_connects();

	AWAIT_POLL(fd, POLLOUT);
	write_pattern(fd, 10, 1, 0);
	close(fd);
	expect_arrived(&(struct puppet){ -1, index }, 10, 1);
}

TEST(reconnects_to_a_listening_service)
{
	unsigned int index = puppet_next();
	int fd = port_open(PORT_TIED, 0);
	char byte;

	for (int i = 0; i < 5; i++, index++) {
		await_connected(fd);
		puppet_await(index);
		write_pattern(fd, 100, i, 0);
		expect_got(&(struct puppet){ fd, index }, 100, i);
		ctl("close %u", index);
		/* A process is told the end before it asks for the next connection. */
		CHECK_EQ(read(fd, &byte, 1), 0);
	}
}
