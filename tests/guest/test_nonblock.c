// SPDX-License-Identifier: MIT
/* O_NONBLOCK and RWF_NOWAIT: never wait, lose nothing. */
#include <sys/uio.h>

#include "channel.h"

TEST(read_of_nothing)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	char buf[100];

	CHECK_FAILS(read(p.fd, buf, sizeof(buf)), EAGAIN);
	ctl("send %u 10 1", p.index);
	wait_poll(p.fd, POLLIN);
	CHECK_GT(CHECK_OK(read(p.fd, buf, sizeof(buf))), 0);
}

TEST(large_read_of_nothing)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	char *buf = malloc(MUCH);

	CHECK_FAILS(read(p.fd, buf, MUCH), EAGAIN);
	ctl("send %u %u 1", p.index, MUCH);
	read_pattern(p.fd, MUCH, 1, 0);
	CHECK_FAILS(read(p.fd, buf, MUCH), EAGAIN);
}

TEST(a_read_without_poll_makes_progress)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	char byte;

	/* Programs that only try again must get the byte, too. */
	CHECK_FAILS(read(p.fd, &byte, 1), EAGAIN);
	ctl("send %u 1 1", p.index);
	while (read(p.fd, &byte, 1) < 0) {
		CHECK_EQ(errno, EAGAIN);
		barrier();
	}
	CHECK_EQ((uint8_t)byte, pattern_byte(1, 0));
}

TEST(a_full_channel_takes_a_part_then_nothing)
{
	struct puppet p = puppet_open(0);
	uint64_t len = fill(p.fd, 1, 0);
	char byte = 0;

	CHECK_GT(len, 0);
	CHECK_FAILS(write(p.fd, &byte, 1), EAGAIN);
	CHECK_POLL(p.fd, 0);
	/* Room comes when the service reads, and everything arrives once. */
	ctl("read %u all", p.index);
	AWAIT_POLL(p.fd, POLLOUT);
	write_pattern(p.fd, 1000, 1, len);
	close(p.fd);
	expect_arrived(&p, len + 1000, 1);
}

TEST(short_counts_are_true)
{
	struct puppet p = puppet_open(0);
	char *buf = malloc(MUCH);
	uint64_t total = 0;
	ssize_t ret;

	set_nonblock(p.fd, true);
	ctl("expect %u 3", p.index);
	ctl("read %u all", p.index);
	while (total < 4 * MUCH) {
		pattern_fill(buf, MUCH, 3, total);
		ret = write(p.fd, buf, MUCH);
		if (ret < 0) {
			CHECK_EQ(errno, EAGAIN);
			wait_poll(p.fd, POLLOUT);
			continue;
		}
		CHECK_GT(ret, 0);
		total += ret;
	}
	close(p.fd);
	expect_arrived(&p, total, 3);
}

TEST(set_later)
{
	struct puppet p = puppet_open(0);
	char byte;

	set_nonblock(p.fd, true);
	CHECK_FAILS(read(p.fd, &byte, 1), EAGAIN);
	set_nonblock(p.fd, false);
	ctl("send %u 1 1", p.index);
	CHECK_EQ(read(p.fd, &byte, 1), 1);
}

/* Pinned pages would have to wait for the device: such calls are copied, however large. */
TEST(writes_pin_nothing)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	struct manyport_info info;

	ctl("read %u all", p.index);
	write_pattern(p.fd, MUCH, 1, 0);
	expect_got(&p, MUCH, 1);
	AWAIT_POLL(p.fd, POLLOUT);
	info = channel_info(p.fd);
	CHECK_EQ(info.bytes_out, MUCH);
	CHECK_EQ(info.zero_copy_out, 0);
}

TEST(reads_pin_nothing)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	struct manyport_info info;

	ctl("send %u %u 1", p.index, MUCH);
	read_pattern(p.fd, MUCH, 1, 0);
	info = channel_info(p.fd);
	CHECK_EQ(info.bytes_in, MUCH);
	CHECK_EQ(info.zero_copy_in, 0);
}

static ssize_t read_nowait(int fd, void *buf, size_t len)
{
	struct iovec part = { buf, len };

	return preadv2(fd, &part, 1, -1, RWF_NOWAIT);
}

static ssize_t write_nowait(int fd, const void *buf, size_t len)
{
	struct iovec part = { (void *)buf, len };

	return pwritev2(fd, &part, 1, -1, RWF_NOWAIT);
}

TEST(nowait_read_on_a_blocking_file)
{
	struct puppet p = puppet_open(0);
	char buf[100];

	CHECK_FAILS(read_nowait(p.fd, buf, sizeof(buf)), EAGAIN);
	ctl("send %u 50 1", p.index);
	wait_poll(p.fd, POLLIN);
	ssize_t ret = CHECK_OK(read_nowait(p.fd, buf, sizeof(buf)));
	CHECK_GT(ret, 0);
	CHECK_EQ(pattern_check(buf, ret, 1, 0), ret);
}

TEST(nowait_write_on_a_blocking_file)
{
	struct puppet p = puppet_open(0);
	uint64_t len = fill(p.fd, 1, 0);
	char byte;

	set_nonblock(p.fd, false);
	byte = pattern_byte(1, len);
	CHECK_FAILS(write_nowait(p.fd, &byte, 1), EAGAIN);
	ctl("read %u all", p.index);
	wait_poll(p.fd, POLLOUT);
	CHECK_EQ(write_nowait(p.fd, &byte, 1), 1);
	close(p.fd);
	expect_arrived(&p, len + 1, 1);
}

TEST(nowait_naming)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_FAILS(write_nowait(fd, "echo", 5), EAGAIN);
	AWAIT_POLL(fd, POLLOUT);
	CHECK_EQ(write_nowait(fd, "echo", 5), 5);
	echo_once(fd, "data");
}
