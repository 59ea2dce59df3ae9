// SPDX-License-Identifier: MIT
/* SEND and RECV: a call that does not wait, and a look that takes nothing. */
#include "channel.h"

static struct manyport_transfer transfer(const void *data, size_t size, uint32_t flags)
{
	return (struct manyport_transfer){ .data = (uintptr_t)data, .size = size, .flags = flags };
}

/* Returns bytes or -errno. */
static int recv_flags(int fd, void *data, size_t size, uint32_t flags)
{
	struct manyport_transfer in = transfer(data, size, flags);
	int ret = ioctl(fd, MANYPORT_IOC_RECV, &in);

	return ret < 0 ? -errno : ret;
}

static int send_flags(int fd, const void *data, size_t size, uint32_t flags)
{
	struct manyport_transfer out = transfer(data, size, flags);
	int ret = ioctl(fd, MANYPORT_IOC_SEND, &out);

	return ret < 0 ? -errno : ret;
}

TEST(moves_as_read_and_write_do)
{
	int fd = port_open(PORT_MULTI, 0);
	char buf[8];

	/* The first one may be the name. */
	CHECK_EQ(send_flags(fd, "echo", 5, 0), 5);
	CHECK_EQ(send_flags(fd, "data", 4, 0), 4);
	CHECK_EQ(recv_flags(fd, buf, 4, 0), 4);
	CHECK(!memcmp(buf, "data", 4));
	CHECK_EQ(recv_flags(fd, buf, 0, 0), 0);
}

TEST(a_look_waits_and_takes_nothing)
{
	int fd = channel_open("echo", 0);
	char buf[8];

	write_all(fd, "data", 4);
	CHECK_EQ(recv_flags(fd, buf, 1, MANYPORT_TRANSFER_PEEK), 1);
	CHECK_EQ(buf[0], 'd');
	while (recv_flags(fd, buf, sizeof(buf), MANYPORT_TRANSFER_PEEK) < 4)
		continue;
	CHECK(!memcmp(buf, "data", 4));
	read_all(fd, buf, 4);
	CHECK(!memcmp(buf, "data", 4));
}

/* Pieces that come one by one, and a caller that looks until all of them are there. */
TEST(a_look_finds_what_comes_later)
{
	int fd = channel_open("echo", 0);
	char buf[8];

	for (int i = 1; i <= 5; i++) {
		write_all(fd, "12345" + i - 1, 1);
		while (recv_flags(fd, buf, sizeof(buf), MANYPORT_TRANSFER_PEEK) < i)
			continue;
		CHECK(!memcmp(buf, "12345", i));
	}
	read_all(fd, buf, 5);
	CHECK(!memcmp(buf, "12345", 5));
}

TEST(a_look_meets_the_end)
{
	int fd = channel_open("echo", 0);
	char buf[8];

	write_all(fd, "x", 1);
	CHECK_EQ(manyport_shutdown(fd, SHUT_WR), 0);
	CHECK_EQ(recv_flags(fd, buf, sizeof(buf), MANYPORT_TRANSFER_PEEK), 1);
	read_all(fd, buf, 1);
	CHECK_EQ(recv_flags(fd, buf, sizeof(buf), MANYPORT_TRANSFER_PEEK), 0);
	CHECK_EQ(recv_flags(fd, buf, sizeof(buf), MANYPORT_TRANSFER_PEEK), 0);
	expect_end(fd);
}

TEST(a_call_that_does_not_wait_leaves_the_file_one_that_does)
{
	static char zeros[SOME];
	struct puppet puppet = puppet_open(0);
	char buf[8];
	int ret;

	CHECK_EQ(recv_flags(puppet.fd, buf, sizeof(buf), MANYPORT_TRANSFER_NOWAIT), -EAGAIN);
	CHECK_EQ(recv_flags(puppet.fd, buf, sizeof(buf),
			    MANYPORT_TRANSFER_NOWAIT | MANYPORT_TRANSFER_PEEK), -EAGAIN);
	while ((ret = send_flags(puppet.fd, zeros, sizeof(zeros), MANYPORT_TRANSFER_NOWAIT)) > 0)
		continue;
	CHECK_EQ(ret, -EAGAIN);
	CHECK(!(fcntl(puppet.fd, F_GETFL) & O_NONBLOCK));
}

TEST(wrong_arguments)
{
	int fd = channel_open("echo", 0), reader, writer;
	char buf[8] = "data";

	CHECK_EQ(recv_flags(fd, buf, 4, 4), -EINVAL);
	CHECK_EQ(send_flags(fd, buf, 4, MANYPORT_TRANSFER_PEEK), -EINVAL);
	CHECK_EQ(send_flags(fd, buf, UINT32_MAX, 0), -EINVAL);
	write_all(fd, buf, 4);
	CHECK_EQ(recv_flags(fd, NULL, 4, MANYPORT_TRANSFER_PEEK), -EFAULT);
	CHECK_EQ(recv_flags(fd, NULL, 4, 0), -EFAULT);
	read_all(fd, buf, 4);
	CHECK(!memcmp(buf, "data", 4));
	reader = open(port_path(PORT_MULTI), O_RDONLY);
	writer = open(port_path(PORT_MULTI), O_WRONLY);
	CHECK(reader >= 0 && writer >= 0);
	CHECK_EQ(send_flags(reader, "echo", 5, 0), -EBADF);
	CHECK_EQ(recv_flags(writer, buf, 4, 0), -EBADF);
}
