// SPDX-License-Identifier: MIT
/*
 * Edge-triggered epoll. Such programs take a short count for "drained" and sleep until
 * the next edge; a test that misses one sleeps for ever.
 */
#include <sys/epoll.h>

#include "channel.h"

static int watch(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };
	int epoll = CHECK_OK(epoll_create1(EPOLL_CLOEXEC));

	CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

static uint32_t next_edge(int epoll)
{
	struct epoll_event event;

	CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
	return event.events;
}

static void expect_no_edge(int epoll)
{
	struct epoll_event event;
	int ret = epoll_wait(epoll, &event, 1, 0);

	if (ret)
		FAIL("an edge %#x where nothing is new", event.events);
}

TEST(in_after_each_short_read)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	int epoll = watch(p.fd, EPOLLIN | EPOLLET);
	char buf[64];

	for (int i = 0; i < 200; i++) {
		ctl("send %u 10 1 %d", p.index, i * 10);
		for (int done = 0; done < 10;) {
			CHECK(next_edge(epoll) & EPOLLIN);
			/* One read, always short: it is never asked for EAGAIN. */
			ssize_t ret = CHECK_OK(read(p.fd, buf, sizeof(buf)));

			CHECK_GT(ret, 0);
			CHECK_EQ(pattern_check(buf, ret, 1, i * 10 + done), ret);
			done += ret;
		}
	}
}

TEST(in_after_a_read_to_eagain)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	int epoll = watch(p.fd, EPOLLIN | EPOLLET);
	char buf[10];

	for (int i = 0; i < 100; i++) {
		int done = 0;

		ctl("send %u 1000 1 %d", p.index, i * 1000);
		while (done < 1000) {
			ssize_t ret = read(p.fd, buf, sizeof(buf));

			if (ret < 0) {
				CHECK_EQ(errno, EAGAIN);
				CHECK(next_edge(epoll) & EPOLLIN);
				continue;
			}
			CHECK_EQ(pattern_check(buf, ret, 1, i * 1000 + done), ret);
			done += ret;
		}
	}
}

TEST(in_for_a_blocking_file)
{
	struct puppet p = puppet_open(0);
	int epoll = watch(p.fd, EPOLLIN | EPOLLET);
	char buf[64];

	for (int i = 0; i < 50; i++) {
		ctl("send %u 1 1 %d", p.index, i);
		CHECK(next_edge(epoll) & EPOLLIN);
		CHECK_EQ(read(p.fd, buf, sizeof(buf)), 1);
	}
}

TEST(in_by_the_end)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	int epoll = watch(p.fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
	char buf[64];

	ctl("send %u 10 1", p.index);
	CHECK(next_edge(epoll) & EPOLLIN);
	for (int done = 0; done < 10; done += CHECK_OK(read(p.fd, buf, sizeof(buf))))
		wait_poll(p.fd, POLLIN);
	ctl("end %u", p.index);
	while (!(next_edge(epoll) & EPOLLRDHUP))
		;
	expect_end(p.fd);
}

TEST(in_by_an_end_that_was_there_before_the_short_read)
{
	for (int i = 0; i < 50; i++) {
		struct puppet p = puppet_open(O_NONBLOCK);
		int epoll = watch(p.fd, EPOLLIN | EPOLLET), done = 0;
		char buf[64];
		ssize_t ret;

		/* Both have come before the first read, at once or one by one. */
		if (i % 2) {
			ctl("send %u 10 1", p.index);
			wait_poll(p.fd, POLLIN);
			ctl("end %u", p.index);
		} else {
			ctl("finish %u 10 1", p.index);
		}
		barrier();
		do {
			CHECK(next_edge(epoll) & EPOLLIN);
			ret = CHECK_OK(read(p.fd, buf, sizeof(buf)));
			done += ret;
		} while (ret);
		CHECK_EQ(done, 10);
		close(epoll);
		close(p.fd);
	}
}

TEST(hup_and_err)
{
	struct puppet p = puppet_open_at("tcp", O_NONBLOCK);
	int epoll = watch(p.fd, EPOLLIN | EPOLLET);

	ctl("abort %u", p.index);
	while (!(next_edge(epoll) & EPOLLERR))
		;
	CHECK(poll_now(p.fd) & POLLHUP);
}

/* Writes until a short count or EAGAIN; returns how much went in. */
static uint64_t write_until_short(int fd, char *buf, size_t size, uint64_t offset)
{
	uint64_t done = 0;
	ssize_t ret;

	do {
		pattern_fill(buf, size, 1, offset + done);
		ret = write(fd, buf, size);
		if (ret < 0)
			CHECK_EQ(errno, EAGAIN);
		done += ret > 0 ? ret : 0;
	} while (ret == (ssize_t)size);
	return done;
}

TEST(out_after_each_short_write)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	int epoll = watch(p.fd, EPOLLOUT | EPOLLET);
	size_t size = 100000;
	char *buf = malloc(size);
	uint64_t total = 0;

	ctl("expect %u 1", p.index);
	CHECK(next_edge(epoll) & EPOLLOUT);
	for (int i = 0; i < 30; i++) {
		total += write_until_short(p.fd, buf, size, total);
		/* The edge comes although no call has said EAGAIN. */
		ctl("read %u 1000000", p.index);
		CHECK(next_edge(epoll) & EPOLLOUT);
	}
	close(p.fd);
	expect_arrived(&p, total, 1);
}

TEST(out_after_eagain)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	int epoll = watch(p.fd, EPOLLOUT | EPOLLET);
	uint64_t len = fill(p.fd, 1, 0);

	/* Take what was announced while it was filled. */
	while (poll_now(epoll) & POLLIN)
		next_edge(epoll);
	ctl("read %u all", p.index);
	CHECK(next_edge(epoll) & EPOLLOUT);
	expect_got(&p, len, 1);
}

TEST(out_when_named)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK), epoll;

	ctl("fill backlog");
	CHECK_FAILS(write(fd, "backlog", 8), EAGAIN);
	epoll = watch(fd, EPOLLOUT | EPOLLET);
	expect_no_edge(epoll);
	ctl("drain backlog");
	CHECK(next_edge(epoll) & EPOLLOUT);
	CHECK_EQ(write(fd, "backlog", 8), 8);
}

TEST(none_without_news)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	int epoll;

	ctl("send %u 10 1", p.index);
	wait_poll(p.fd, POLLIN);
	epoll = watch(p.fd, EPOLLIN | EPOLLET);
	CHECK(next_edge(epoll) & EPOLLIN);
	expect_no_edge(epoll);
	barrier();
	expect_no_edge(epoll);
}

TEST(added_when_already_ready)
{
	struct puppet p = puppet_open(O_NONBLOCK);

	ctl("send %u 10 1", p.index);
	ctl("end %u", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP);
	CHECK_EQ(next_edge(watch(p.fd, EPOLLIN | EPOLLRDHUP | EPOLLET)), EPOLLIN | EPOLLRDHUP);
}

TEST(oneshot)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };
	int epoll = watch(p.fd, EPOLLIN | EPOLLONESHOT);

	ctl("send %u 1 1", p.index);
	CHECK(next_edge(epoll) & EPOLLIN);
	expect_no_edge(epoll);
	CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_MOD, p.fd, &event));
	CHECK(next_edge(epoll) & EPOLLIN);
	read_pattern(p.fd, 1, 1, 0);
	CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_MOD, p.fd, &event));
	expect_no_edge(epoll);
	ctl("send %u 1 1 1", p.index);
	CHECK(next_edge(epoll) & EPOLLIN);
}

/* An echo loop of 30 channels, all by edges, as a server would write it. */
TEST(many_channels)
{
	int epoll = CHECK_OK(epoll_create1(EPOLL_CLOEXEC)), fds[30], left = 30;
	uint64_t out[30] = { 0 }, in[30] = { 0 }, whole = 300000;
	struct epoll_event event;
	char *buf = malloc(70000);
	ssize_t ret;

	for (uint32_t i = 0; i < 30; i++) {
		fds[i] = channel_open("echo", O_NONBLOCK);
		event = (struct epoll_event){ .events = EPOLLIN | EPOLLOUT | EPOLLET,
					      .data.u32 = i };
		CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event));
	}
	while (left) {
		CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
		uint32_t i = event.data.u32;

		do {
			size_t len = whole - out[i] < 70000 ? whole - out[i] : 70000;

			pattern_fill(buf, len, i, out[i]);
			ret = len ? write(fds[i], buf, len) : 0;
			out[i] += ret > 0 ? ret : 0;
		} while (ret > 0);
		while ((ret = read(fds[i], buf, 70000)) > 0) {
			CHECK_EQ(pattern_check(buf, ret, i, in[i]), ret);
			in[i] += ret;
			left -= in[i] == whole;
		}
		CHECK_EQ(errno, EAGAIN);
	}
}
