// SPDX-License-Identifier: MIT
/* The ioctls: connect, shut down, count, inform. */
#include <linux/sockios.h>

#include "channel.h"

static int bytes_readable(int fd)
{
	int count = -1;

	CHECK_OK(ioctl(fd, FIONREAD, &count));
	return count;
}

static int bytes_unsent(int fd)
{
	int count = -1;

	CHECK_OK(ioctl(fd, TIOCOUTQ, &count));
	return count;
}

/* ---- connect ---- */

TEST(connect_names_the_service)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_EQ(manyport_connect(fd, "echo"), 0);
	CHECK(!strcmp(channel_info(fd).service, "echo"));
	/* The first write is data, even if it looks like a name. */
	echo_once(fd, "null");
}

TEST(connect_with_argument_and_prefix)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_EQ(manyport_connect(fd, "pipe:report+x"), 0);
	CHECK(!strcmp(channel_info(fd).service, "report+x"));
}

TEST(connect_refusals)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_EQ(manyport_connect(fd, "nothing"), -ENOENT);
	CHECK_EQ(manyport_connect(fd, "secret"), -EACCES);
	CHECK_EQ(manyport_connect(fd, "refused"), -ECONNREFUSED);
	CHECK_EQ(manyport_connect(fd, "two words"), -EINVAL);
	CHECK_EQ(manyport_connect(fd, ""), -EINVAL);
	CHECK_EQ(manyport_connect(fd, "+x"), -EINVAL);
	for (int i = 0; i < 2; i++)
		channel_open("limited", 0);
	CHECK_EQ(manyport_connect(fd, "limited"), -EBUSY);
	CHECK_EQ(manyport_connect(fd, "echo"), 0);
	echo_once(fd, "data");
}

TEST(connect_twice)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_EQ(manyport_connect(fd, "echo"), 0);
	CHECK_EQ(manyport_connect(fd, "echo"), -EISCONN);
	CHECK_EQ(manyport_connect(fd, "null"), -EISCONN);
	CHECK_EQ(manyport_connect(channel_open("echo", 0), "echo"), -EISCONN);
	echo_once(fd, "data");
}

TEST(connect_without_blocking)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	ctl("fill backlog");
	CHECK_EQ(manyport_connect(fd, "backlog"), -EINPROGRESS);
	CHECK_POLL(fd, 0);
	CHECK_EQ(channel_info(fd).state, MANYPORT_CONNECTING);
	CHECK_EQ(manyport_connect(fd, "echo"), -EALREADY);
	ctl("drain backlog");
	AWAIT_POLL(fd, POLLOUT);
	CHECK_EQ(manyport_connect(fd, "backlog"), 0);
	puppet_await(0);
	write_pattern(fd, 10, 1, 0);
	expect_got(&(struct puppet){ fd, 0 }, 10, 1);
}

TEST(connect_refused_without_blocking)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	CHECK_EQ(manyport_connect(fd, "nothing"), -EINPROGRESS);
	wait_poll(fd, POLLOUT);
	CHECK_EQ(manyport_connect(fd, "nothing"), -ENOENT);
	CHECK_EQ(manyport_connect(fd, "echo"), -EINPROGRESS);
	wait_poll(fd, POLLOUT);
	CHECK_EQ(manyport_connect(fd, "echo"), 0);
	echo_once(fd, "data");
}

TEST(connect_needs_a_nul)
{
	struct manyport_connect arg;
	int fd = port_open(PORT_MULTI, 0);

	memset(arg.name, 'x', sizeof(arg.name));
	CHECK_FAILS(ioctl(fd, MANYPORT_IOC_CONNECT, &arg), ENAMETOOLONG);
	CHECK_FAILS(ioctl(fd, MANYPORT_IOC_CONNECT, no_memory()), EFAULT);
	CHECK_EQ(channel_info(fd).state, MANYPORT_UNNAMED);
}

TEST(connect_on_a_fixed_port)
{
	CHECK_EQ(manyport_connect(port_open(PORT_FIXED, 0), "echo"), -EOPNOTSUPP);
}

/* ---- shutdown ---- */

TEST(shutdown_write_after_bytes)
{
	struct puppet p = puppet_open(0);

	write_pattern(p.fd, 100000, 1, 0);
	CHECK_EQ(manyport_shutdown(p.fd, SHUT_WR), 0);
	expect_arrived(&p, 100000, 1);
	ctl("send %u 100 1", p.index);
	ctl("end %u", p.index);
	read_pattern(p.fd, 100, 1, 0);
	expect_end(p.fd);
}

TEST(shutdown_write_behind_a_stall)
{
	struct puppet p = puppet_open(0);
	uint64_t len = fill(p.fd, 1, 0);

	CHECK_EQ(manyport_shutdown(p.fd, SHUT_WR), 0);
	CHECK_FAILS(write(p.fd, "x", 1), EPIPE);
	expect_arrived(&p, len, 1);
}

static void write_until_epipe(void *arg)
{
	char *buf = calloc(1, MUCH);
	ssize_t ret;

	while ((ret = write(*(int *)arg, buf, MUCH)) > 0)
		;
	CHECK_EQ(ret, -1);
	CHECK_EQ(errno, EPIPE);
}

TEST(shutdown_write_wakes_a_writer)
{
	struct puppet p = puppet_open(0);
	pid_t pid = spawn(write_until_epipe, &p.fd);

	ctl("read %u 100000", p.index);
	ctl("got %u 100000", p.index);
	CHECK_EQ(manyport_shutdown(p.fd, SHUT_WR), 0);
	/* The service reads no more: only the shutdown can have ended the write. */
	JOIN(pid);
}

TEST(shutdown_read)
{
	struct puppet p = puppet_open(0);

	ctl("send %u 100 1", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
	CHECK_EQ(manyport_shutdown(p.fd, SHUT_RD), 0);
	expect_end(p.fd);
	write_pattern(p.fd, 100, 1, 0);
	expect_got(&p, 100, 1);
}

static void read_to_end(void *arg)
{
	char byte;

	CHECK_EQ(read(*(int *)arg, &byte, 1), 0);
}

TEST(shutdown_read_wakes_a_reader)
{
	struct puppet p = puppet_open(0);
	pid_t pid = spawn(read_to_end, &p.fd);

	barrier();
	CHECK_EQ(manyport_shutdown(p.fd, SHUT_RD), 0);
	JOIN(pid);
}

TEST(shutdown_both)
{
	struct puppet p = puppet_open(0);

	write_pattern(p.fd, 100, 1, 0);
	CHECK_EQ(manyport_shutdown(p.fd, SHUT_RDWR), 0);
	expect_end(p.fd);
	CHECK_FAILS(write(p.fd, "x", 1), EPIPE);
	expect_arrived(&p, 100, 1);
}

TEST(shutdown_twice)
{
	struct puppet p = puppet_open(0);

	for (int i = 0; i < 3; i++)
		CHECK_EQ(manyport_shutdown(p.fd, SHUT_WR), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(manyport_shutdown(p.fd, SHUT_RD), 0);
	expect_arrived(&p, 0, 1);
}

TEST(shutdown_errors)
{
	struct puppet p = puppet_open(0);

	CHECK_EQ(manyport_shutdown(port_open(PORT_MULTI, 0), SHUT_WR), -ENOTCONN);
	CHECK_EQ(manyport_shutdown(p.fd, 3), -EINVAL);
	CHECK_EQ(manyport_shutdown(p.fd, -1), -EINVAL);
	write_pattern(p.fd, 10, 1, 0);
	expect_got(&p, 10, 1);
}

/* ---- counts ---- */

TEST(fionread)
{
	struct puppet p = puppet_open(0);

	CHECK_EQ(bytes_readable(p.fd), 0);
	ctl("send %u 100 1", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
	CHECK_EQ(bytes_readable(p.fd), 100);
	read_pattern(p.fd, 40, 1, 0);
	CHECK_EQ(bytes_readable(p.fd), 60);
	read_pattern(p.fd, 60, 1, 40);
	CHECK_EQ(bytes_readable(p.fd), 0);
	CHECK_EQ(bytes_readable(port_open(PORT_MULTI, 0)), 0);
}

TEST(tiocoutq)
{
	struct puppet p = puppet_open(0);
	uint64_t len;

	CHECK_EQ(bytes_unsent(p.fd), 0);
	len = fill(p.fd, 1, 0);
	CHECK_GT(bytes_unsent(p.fd), 0);
	CHECK_LE(bytes_unsent(p.fd), (long long)len);
	expect_got(&p, len, 1);
	set_nonblock(p.fd, false);
	CHECK_OK(fsync(p.fd));
	CHECK_EQ(bytes_unsent(p.fd), 0);
}

/* ---- info ---- */

TEST(info_counts_bytes)
{
	struct puppet p = puppet_open(0);
	struct manyport_info info;

	ctl("read %u all", p.index);
	write_pattern(p.fd, 300000, 1, 0);
	CHECK_OK(fsync(p.fd));
	ctl("send %u 200000 1", p.index);
	read_pattern(p.fd, 200000, 1, 0);
	info = channel_info(p.fd);
	CHECK_EQ(info.size, sizeof(info));
	CHECK_EQ(info.state, MANYPORT_CONNECTED);
	CHECK_EQ(info.bytes_out, 300000);
	CHECK_EQ(info.bytes_in, 200000);
	CHECK_LE(info.zero_copy_out, info.bytes_out);
	CHECK_LE(info.zero_copy_in, info.bytes_in);
	CHECK_GT(info.requests, 0);
	CHECK_EQ(info.unsent, 0);
	CHECK_EQ(info.readable, 0);
	CHECK_EQ(info.flags, 0);
	CHECK(!strcmp(info.service, "puppet"));
}

TEST(large_transfers_are_not_copied)
{
	struct puppet p = puppet_open(0);
	size_t size = 4 << 20;
	char *buf = aligned_alloc(4096, size);
	struct manyport_info info;

	pattern_fill(buf, size, 1, 0);
	ctl("read %u all", p.index);
	CHECK_EQ(write(p.fd, buf, size), size);
	expect_got(&p, size, 1);
	info = channel_info(p.fd);
	CHECK_GE(info.zero_copy_out, size / 2);
}

TEST(info_of_each_state)
{
	struct puppet p = puppet_open(0);
	int fd = port_open(PORT_MULTI, 0);

	CHECK_EQ(channel_info(fd).state, MANYPORT_UNNAMED);
	CHECK(!strcmp(channel_info(fd).service, ""));
	CHECK_FAILS(write(fd, "nothing", 8), ENOENT);
	CHECK_EQ(channel_info(fd).state, MANYPORT_REFUSED);
	CHECK_EQ(channel_info(fd).error, ENOENT);
	CHECK_EQ(channel_info(p.fd).state, MANYPORT_CONNECTED);
	ctl("end %u", p.index);
	expect_end(p.fd);
	CHECK(channel_info(p.fd).flags & MANYPORT_INFO_IN_ENDED);
	CHECK_EQ(manyport_shutdown(p.fd, SHUT_WR), 0);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	CHECK(channel_info(p.fd).flags & MANYPORT_INFO_OUT_ENDED);
	await_state(p.fd, MANYPORT_ENDED);
}

TEST(info_of_a_failure)
{
	int fd = channel_open("fail", 0);

	read_pattern(fd, 100000, 1, 0);
	AWAIT_POLL(fd, POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	CHECK_EQ(channel_info(fd).state, MANYPORT_FAILED);
	CHECK_EQ(channel_info(fd).error, ECONNRESET);
	CHECK_EQ(channel_info(fd).exit, MANYPORT_EXITED | 3);
	CHECK_EQ(manyport_exit_status(fd), 3);
}

/* The naming call that is to collect the answer has not come yet. */
TEST(info_of_a_failure_before_the_answer)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	CHECK_EQ(manyport_connect(fd, "fail-soon"), -EINPROGRESS);
	AWAIT_POLL(fd, POLLOUT);	/* on a polled channel the driver fetches the end */
	await_state(fd, MANYPORT_FAILED);
	CHECK_EQ(channel_info(fd).error, ECONNRESET);
	CHECK_EQ(channel_info(fd).exit, MANYPORT_EXITED | 3);
}

/* Programs that were built when the structure ended with the service's name. */
TEST(info_as_it_was_first)
{
	struct manyport_info info = { .exit = 4711, .reserved = 4712 };
	int fd = channel_open("echo", 0);

	CHECK_EQ(ioctl(fd, MANYPORT_IOC_INFO_1, &info), 0);
	CHECK_EQ(info.size, MANYPORT_INFO_SIZE_1);
	CHECK(!strcmp(info.service, "echo"));
	CHECK_EQ(info.exit, 4711);
	CHECK_EQ(info.reserved, 4712);
	CHECK_EQ(manyport_exit_status(fd), -EINPROGRESS);
	CHECK_EQ(ioctl(fd, MANYPORT_IOC_INFO, &info), 0);
	CHECK_EQ(info.size, sizeof(info));
	CHECK_EQ(info.exit, 0);
}

TEST(bad_pointers_and_numbers)
{
	int fd = channel_open("echo", 0);

	CHECK_FAILS(ioctl(fd, MANYPORT_IOC_INFO, no_memory()), EFAULT);
	CHECK_FAILS(ioctl(fd, FIONREAD, no_memory()), EFAULT);
	CHECK_FAILS(ioctl(fd, TIOCOUTQ, no_memory()), EFAULT);
	CHECK_FAILS(ioctl(fd, _IO('M', 0x5f), 0), ENOTTY);
	CHECK_FAILS(ioctl(fd, TCGETS, no_memory()), ENOTTY);
	CHECK(!isatty(fd));
	echo_once(fd, "data");
}
