// SPDX-License-Identifier: MIT
/* close: what was written still arrives, the end always does, and close() does not wait for it. */
#include "channel.h"

TEST(bytes_before_it_arrive)
{
	for (int i = 0; i < 10; i++) {
		struct puppet p = puppet_open(0);

		for (int k = 0; k < 50; k++)
			write_pattern(p.fd, 100, 1, k * 100);
		close(p.fd);
		expect_arrived(&p, 5000, 1);
	}
}

TEST(large_write_before_it_arrives)
{
	struct puppet p = puppet_open(0);

	ctl("expect %u 1", p.index);
	ctl("read %u all", p.index);
	write_pattern(p.fd, MUCH, 1, 0);
	close(p.fd);
	expect_arrived(&p, MUCH, 1);
}

TEST(does_not_wait_and_lingers)
{
	struct puppet p = puppet_open(0);
	uint64_t len = fill(p.fd, 1, 0);

	set_nonblock(p.fd, false);
	/* The service does not read until close() has returned. */
	CHECK_OK(close(p.fd));
	expect_arrived(&p, len, 1);
}

TEST(what_the_service_still_says_is_drained)
{
	struct puppet p = puppet_open(0);

	close(p.fd);
	ctl("read %u all", p.index);
	ctl("eof %u", p.index);
	ctl("send %u 3000000 1", p.index);
	CHECK(!strcmp(ctl("sent %u", p.index), "3000000"));
}

TEST(unread_bytes_do_not_matter)
{
	struct puppet p = puppet_open(0);

	ctl("send %u 3000000 1", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
	write_pattern(p.fd, 100, 1, 0);
	close(p.fd);
	expect_arrived(&p, 100, 1);
	CHECK(!strcmp(ctl("sent %u", p.index), "3000000"));
}

/* Reads the kernel's log from @log on until a line has all of @words. */
static void expect_log(int log, const char *const words[])
{
	char line[1000];
	ssize_t len;
	int i;

	do {
		len = read(log, line, sizeof(line) - 1);
		if (len < 0 && errno == EPIPE)
			continue;	/* overwritten before it was read */
		CHECK_GT(len, 0);
		line[len] = '\0';
		for (i = 0; words[i] && strstr(line, words[i]); i++)
			;
	} while (len < 0 || words[i]);
}

TEST(the_linger_limit_ends_it)
{
	int log = CHECK_OK(open("/dev/kmsg", O_RDONLY | O_CLOEXEC));
	struct puppet p = puppet_open_at("brief", 0);
	long before = port_attribute(PORT_MULTI, "linger_expired");
	char channel[40], bytes[40];
	const char *const words[] = { "vport", channel, "'brief'", bytes, NULL };

	CHECK_OK(lseek(log, 0, SEEK_END));
	fill(p.fd, 1, 0);
	snprintf(channel, sizeof(channel), "channel %u: ", channel_info(p.fd).channel);
	snprintf(bytes, sizeof(bytes), ", %u bytes unsent", channel_info(p.fd).unsent);
	close(p.fd);
	/* The service never reads, yet it is left alone in the end. */
	ctl("hup %u", p.index);
	/* No process holds the channel any more, so the log and a counter tell. */
	expect_log(log, words);
	CHECK_EQ(port_attribute(PORT_MULTI, "linger_expired"), before + 1);
}

TEST(a_close_in_time_is_not_reported)
{
	struct puppet p = puppet_open(0);
	long before = port_attribute(PORT_MULTI, "linger_expired");

	write_pattern(p.fd, 1000, 1, 0);
	close(p.fd);
	expect_arrived(&p, 1000, 1);
	ctl("close %u", p.index);
	p = puppet_open(0);
	fill(p.fd, 1, 0);
	CHECK_EQ(manyport_abort(p.fd), 0);
	close(p.fd);
	await_port(PORT_MULTI, 1);	/* that of the control channel */
	CHECK_EQ(port_attribute(PORT_MULTI, "linger_expired"), before);
}

TEST(a_service_that_never_ends_is_left)
{
	struct puppet p = puppet_open_at("brief", 0);

	close(p.fd);
	ctl("read %u all", p.index);
	ctl("eof %u", p.index);
	/* The service stays and talks; after the limit what it says is no longer taken. */
	do {
		ctl("send %u 1000000 1", p.index);
	} while (ctl_try("sent %u", p.index));
}

TEST(the_last_holder_closes)
{
	struct puppet p = puppet_open(0);
	int copy = CHECK_OK(dup(p.fd));

	write_pattern(p.fd, 10, 1, 0);
	close(p.fd);
	p.fd = copy;
	expect_got(&p, 10, 1);
	write_pattern(p.fd, 10, 1, 10);
	close(p.fd);
	expect_arrived(&p, 20, 1);
}

TEST(gets_through_when_every_queue_is_full)
{
	struct puppet p[100], last = puppet_open(0);
	char *page = calloc(1, 4096);

	/* A hundred channels with all the bytes that they may have on the way. */
	for (int i = 0; i < 100; i++) {
		p[i] = puppet_open(0);
		set_nonblock(p[i].fd, true);
		while (write(p[i].fd, page, 4096) > 0)
			;
		CHECK_EQ(errno, EAGAIN);
	}
	close(last.fd);
	expect_arrived(&last, 0, 1);
	for (int i = 0; i < 100; i++)
		close(p[i].fd);
	for (int i = 0; i < 100; i++) {
		ctl("read %u all", p[i].index);
		ctl("eof %u", p[i].index);
	}
}

TEST(unnamed)
{
	for (int i = 0; i < 100; i++)
		close(port_open(PORT_MULTI, 0));
	echo_once(channel_open("echo", 0), "data");
}

TEST(refused)
{
	for (int i = 0; i < 20; i++) {
		int fd = port_open(PORT_MULTI, 0);

		CHECK_FAILS(write(fd, "nothing", 8), ENOENT);
		close(fd);
	}
	echo_once(channel_open("echo", 0), "data");
}

TEST(after_the_service)
{
	struct puppet p = puppet_open(0);

	ctl("close %u", p.index);
	expect_end(p.fd);
	close(p.fd);
	p = puppet_open(0);
	ctl("abort %u", p.index);
	close(p.fd);
	echo_once(channel_open("echo", 0), "data");
}

static void write_for_ever(void *arg)
{
	char *buf = calloc(1, MUCH);

	for (;;)
		if (write(*(int *)arg, buf, MUCH) < 0)
			_exit(0);
}

/* The file lives until the call of the other process returns. */
TEST(while_another_process_writes)
{
	struct puppet p = puppet_open(0);
	pid_t pid = spawn(write_for_ever, &p.fd);

	ctl("read %u 1000000", p.index);
	ctl("got %u 1000000", p.index);
	close(p.fd);
	ctl("read %u 1000000", p.index);
	ctl("got %u 2000000", p.index);
	kill_and_wait(pid);
	ctl("read %u all", p.index);
	CHECK(strstr(ctl("eof %u", p.index), "end"));
}
