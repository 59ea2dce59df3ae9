// SPDX-License-Identifier: MIT
/*
 * The table of [protocol.md 7.5], a test per row, by poll() and epoll. None of the states
 * is waited for with time: either it is there, or its event is waited for.
 */
#include "channel.h"

TEST(unnamed)
{
	CHECK_POLL(port_open(PORT_MULTI, 0), POLLOUT);
	CHECK_POLL(port_open(PORT_MULTI, O_NONBLOCK), POLLOUT);
}

TEST(connecting)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	ctl("fill backlog");
	CHECK_FAILS(write(fd, "backlog", 8), EAGAIN);
	CHECK_POLL(fd, 0);
	barrier();
	CHECK_POLL(fd, 0);
}

TEST(answered_not_yet_collected)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	CHECK_FAILS(write(fd, "echo", 5), EAGAIN);
	AWAIT_POLL(fd, POLLOUT);
	barrier();
	CHECK_POLL(fd, POLLOUT);
}

TEST(answered_not_yet_collected_with_bytes)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	/* What the service says during the naming is not readable before the name is taken. */
	ctl("fill backlog");
	CHECK_FAILS(write(fd, "backlog", 8), EAGAIN);
	ctl("drain backlog");
	puppet_await(0);
	ctl("send 0 10 1");
	ctl("sent 0");
	wait_poll(fd, POLLOUT);
	barrier();
	CHECK_POLL(fd, POLLOUT);
	CHECK_EQ(write(fd, "backlog", 8), 8);
	AWAIT_POLL(fd, POLLIN | POLLOUT);
	read_pattern(fd, 10, 1, 0);
}

TEST(refused)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_FAILS(write(fd, "nothing", 8), ENOENT);
	CHECK_POLL(fd, POLLOUT | POLLERR);
}

TEST(connected_and_idle)
{
	struct puppet p = puppet_open(0);

	CHECK_POLL(p.fd, POLLOUT);
	barrier();
	CHECK_POLL(p.fd, POLLOUT);
}

TEST(asks_the_driver_only)
{
	struct puppet p = puppet_open(0);
	uint64_t requests = channel_info(p.fd).requests;

	/* The state is in the guest: looking at it costs the device nothing. */
	for (int i = 0; i < 100; i++)
		CHECK_POLL(p.fd, POLLOUT);
	CHECK_EQ(channel_info(p.fd).requests, requests);
}

TEST(bytes_buffered)
{
	struct puppet p = puppet_open(0);

	CHECK_POLL(p.fd, POLLOUT);
	ctl("send %u 10 1", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
	read_pattern(p.fd, 9, 1, 0);
	CHECK_POLL(p.fd, POLLIN | POLLOUT);
	read_pattern(p.fd, 1, 1, 9);
	CHECK_POLL(p.fd, POLLOUT);
}

TEST(bytes_that_came_before_anybody_polled)
{
	struct puppet p = puppet_open(0);

	ctl("send %u 10 1", p.index);
	ctl("sent %u", p.index);
	barrier();
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
	read_pattern(p.fd, 10, 1, 0);
}

TEST(send_buffer_full)
{
	struct puppet p = puppet_open(0);
	uint64_t len = fill(p.fd, 1, 0);

	CHECK_POLL(p.fd, 0);
	ctl("send %u 10 1", p.index);
	AWAIT_POLL(p.fd, POLLIN);
	read_pattern(p.fd, 10, 1, 0);
	CHECK_POLL(p.fd, 0);
	ctl("read %u all", p.index);
	AWAIT_POLL(p.fd, POLLOUT);
	expect_got(&p, len, 1);
}

TEST(end_of_input)
{
	struct puppet p = puppet_open(0);

	ctl("end %u", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP);
	expect_end(p.fd);
	CHECK_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP);
}

TEST(end_of_input_behind_bytes)
{
	struct puppet p = puppet_open(0);

	ctl("send %u 10 1", p.index);
	ctl("end %u", p.index);
	wait_poll(p.fd, POLLIN);
	read_pattern(p.fd, 10, 1, 0);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP);
}

TEST(end_of_input_before_its_bytes_are_read)
{
	struct puppet p = puppet_open(0);

	ctl("send %u 10 1", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
	ctl("end %u", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP);
	read_pattern(p.fd, 10, 1, 0);
	expect_end(p.fd);
}

TEST(end_of_input_and_send_buffer_full)
{
	struct puppet p = puppet_open(0);

	fill(p.fd, 1, 0);
	ctl("end %u", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLRDHUP);
}

TEST(shut_read)
{
	struct puppet p = puppet_open(0);

	CHECK_EQ(manyport_shutdown(p.fd, SHUT_RD), 0);
	CHECK_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP);
	expect_end(p.fd);
}

TEST(shut_write)
{
	struct puppet p = puppet_open(0);

	CHECK_EQ(manyport_shutdown(p.fd, SHUT_WR), 0);
	CHECK_POLL(p.fd, POLLOUT);
	CHECK_FAILS(write(p.fd, "x", 1), EPIPE);
	ctl("send %u 10 1", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
}

TEST(end_of_output)
{
	struct puppet p = puppet_open(0);
	ssize_t ret;

	ctl("noread %u", p.index);
	do {
		ret = write(p.fd, "x", 1);
	} while (ret == 1);
	CHECK_EQ(errno, EPIPE);
	CHECK_POLL(p.fd, POLLOUT);
	ctl("send %u 10 1", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
}

TEST(both_ends)
{
	struct puppet p = puppet_open(0);

	CHECK_EQ(manyport_shutdown(p.fd, SHUT_WR), 0);
	ctl("end %u", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	expect_end(p.fd);
	CHECK_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	await_state(p.fd, MANYPORT_ENDED);
}

TEST(both_ends_by_the_guest)
{
	struct puppet p = puppet_open(0);

	CHECK_EQ(manyport_shutdown(p.fd, SHUT_RDWR), 0);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
}

TEST(failed)
{
	int fd = channel_open("fail", 0);

	read_pattern(fd, 100000, 1, 0);
	AWAIT_POLL(fd, POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	CHECK_POLL(fd, POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
}

static void wait_out_and_write(void *arg)
{
	wait_poll(*(int *)arg, POLLOUT);
	write_pattern(*(int *)arg, 1, 1, 0);
}

TEST(many_pollers_of_one_channel)
{
	struct puppet p = puppet_open(0);
	pid_t pids[8];
	uint64_t len = fill(p.fd, 1, 0);

	for (int i = 0; i < 8; i++)
		pids[i] = spawn(wait_out_and_write, &p.fd);
	ctl("read %u all", p.index);
	for (int i = 0; i < 8; i++)
		JOIN(pids[i]);
	ctl("got %u %llu", p.index, (unsigned long long)len + 8);
}

TEST(many_channels_in_one_call)
{
	struct pollfd fds[50];
	int ready;

	for (int i = 0; i < 50; i++) {
		fds[i].fd = puppet_open(0).fd;
		fds[i].events = POLLIN;
	}
	ctl("send 33 1 1");
	ready = CHECK_OK(poll(fds, 50, -1));
	CHECK_EQ(ready, 1);
	CHECK_EQ(fds[33].revents, POLLIN);
}
