// SPDX-License-Identifier: MIT
/*
 * Additions to virtqueues that fail, in a debug build of the module: once for lack of memory,
 * again and again for lack of memory, and because the ring is broken.
 */
#include <errno.h>
#include <sched.h>

#include "channel.h"
#include "driver.h"

#define BIG (1 << 20)

static void fail_adds(unsigned int nth, int error)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", error);
	parameter_set("debug_fail_errno", text);
	snprintf(text, sizeof(text), "%u", nth);
	parameter_set("debug_fail_nth", text);
}

static unsigned long failed_adds(void)
{
	return strtoul(parameter_get("debug_failed_adds"), NULL, 10);
}

/* What the module was loaded with: each test sets it again at its end. */
static unsigned int nth_of_run(void)
{
	return atoi(parameter_get("debug_fail_nth"));
}

TEST(each_other_one_fails_once)
{
	unsigned int nth = nth_of_run();
	unsigned long before = failed_adds();
	struct puppet puppet;
	int fixed;

	fail_adds(2, ENOMEM);
	puppet = puppet_open(0);
	ctl("send %u %u 5", puppet.index, MUCH);
	read_pattern(puppet.fd, MUCH, 5, 0);
	ctl("expect %u 6", puppet.index);
	ctl("read %u all", puppet.index);
	write_pattern(puppet.fd, MUCH, 6, 0);
	for (int i = 0; i < 50; i++)
		write_pattern(puppet.fd, 100, 6, MUCH + 100 * i);
	CHECK_OK(manyport_shutdown(puppet.fd, SHUT_WR));
	expect_arrived(&puppet, MUCH + 50 * 100, 6);
	fixed = port_open(PORT_FIXED, 0);
	echo_once(fixed, "fixed");
	close(fixed);
	close(puppet.fd);
	CHECK_GE(failed_adds(), before + 50);
	fail_adds(nth, ENOMEM);
}

/*
 * The driver takes the device while nothing can be added, its first buffers either: until it has
 * failed eight times, which is less than it tries to send a message.
 */
TEST(a_start_waits_for_memory)
{
	unsigned int nth = nth_of_run();
	unsigned long before;

	driver_unbind();
	before = failed_adds();
	parameter_set("debug_fail_left", "8");
	fail_adds(1, ENOMEM);
	CHECK_EQ(driver_bind(), 0);
	driver_await_ports();
	CHECK_EQ(failed_adds(), before + 8);
	fail_adds(nth, ENOMEM);
}

struct caller {
	int fd;
	volatile int is_started;
};

static void read_without_memory(void *arg)
{
	struct caller *caller = arg;
	char byte;

	caller->is_started = 1;
	CHECK_FAILS(read(caller->fd, &byte, 1), ENOMEM);
}

/* Bytes that were taken, and never reach the device, cost the channel: they would leave a hole. */
static void write_without_memory(void *arg)
{
	struct caller *caller = arg;
	static char buf[BIG];

	caller->is_started = 1;
	while (write(caller->fd, buf, sizeof(buf)) > 0)
		;
	CHECK_EQ(errno, ENOMEM);
	CHECK_FAILS(write(caller->fd, buf, 1), ENOMEM);
	CHECK_FAILS(read(caller->fd, buf, 1), ENOMEM);
}

static void name_without_memory(void *arg)
{
	struct caller *caller = arg;

	caller->is_started = 1;
	CHECK_FAILS(write(caller->fd, "echo", 5), ENOMEM);
}

static void echo_when_there_is_some(void *arg)
{
	struct caller *caller = arg;

	caller->is_started = 1;
	echo_once(caller->fd, "there is memory again");
}

TEST(none_succeeds_for_a_while)
{
	static void (*const runs[])(void *) = {
		read_without_memory, write_without_memory, name_without_memory,
	};
	enum { COUNT = sizeof(runs) / sizeof(*runs) };
	struct caller *callers = shared_alloc((COUNT + 1) * sizeof(*callers));
	struct caller *fixed = &callers[COUNT];
	struct puppet read, written, closed;
	unsigned int nth = nth_of_run();
	int before = port_channels(PORT_MULTI);
	pid_t pids[COUNT], waits;

	barrier();
	read = puppet_open(0);
	written = puppet_open_at("tcp", 0);
	closed = puppet_open(0);
	ctl("expect %u 7", closed.index);
	write_pattern(closed.fd, SOME, 7, 0);
	CHECK_OK(fsync(closed.fd));
	callers[0].fd = read.fd;
	callers[1].fd = written.fd;
	callers[2].fd = port_open(PORT_MULTI, 0);
	fail_adds(1, ENOMEM);
	close(closed.fd);
	for (int i = 0; i < COUNT; i++)
		pids[i] = spawn(runs[i], &callers[i]);
	for (int i = 0; i < COUNT; i++)
		JOIN(pids[i]);
	fixed->fd = port_open(PORT_FIXED, 0);
	waits = spawn(echo_when_there_is_some, fixed);
	while (!fixed->is_started)
		sched_yield();
	close(written.fd);
	fail_adds(nth, ENOMEM);

	/* The closes get through: one with an end, one with a reset. */
	expect_arrived(&closed, SOME, 7);
	ctl("read %u all", written.index);
	CHECK_EQ(strncmp(ctl("eof %u", written.index), "0 reset ", 8), 0);
	/* No byte was lost by the read that failed. */
	ctl("send %u %u 8", read.index, SOME);
	read_pattern(read.fd, SOME, 8, 0);
	JOIN(waits);
	close(fixed->fd);
	close(read.fd);
	close(callers[2].fd);
	ctl("close %u", closed.index);
	ctl("close %u", read.index);
	await_port(PORT_MULTI, before + 1);	/* and the one that moves the host */
}

static void read_until_broken(void *arg)
{
	struct caller *caller = arg;
	char byte;

	caller->is_started = 1;
	CHECK_FAILS(read(caller->fd, &byte, 1), EIO);
}

static void read_much_until_broken(void *arg)
{
	struct caller *caller = arg;
	static char buf[BIG];

	caller->is_started = 1;
	CHECK_FAILS(read(caller->fd, buf, sizeof(buf)), EIO);
}

static void write_until_broken(void *arg)
{
	struct caller *caller = arg;
	static char buf[BIG];

	caller->is_started = 1;
	while (write(caller->fd, buf, sizeof(buf)) > 0)
		;
	CHECK_EQ(errno, EIO);
}

static void write_little_until_broken(void *arg)
{
	struct caller *caller = arg;

	caller->is_started = 1;
	while (write(caller->fd, "some bytes", 10) > 0)
		;
	CHECK_EQ(errno, EIO);
}

static void name_until_broken(void *arg)
{
	struct caller *caller = arg;

	caller->is_started = 1;
	CHECK_FAILS(write(caller->fd, "backlog", 8), EIO);
}

static void poll_until_broken(void *arg)
{
	struct caller *caller = arg;
	struct pollfd poller = { .fd = caller->fd, .events = POLLIN };

	caller->is_started = 1;
	CHECK_EQ(poll(&poller, 1, -1), 1);
	CHECK_EQ(poller.revents & (POLLIN | POLLHUP | POLLERR), POLLIN | POLLHUP | POLLERR);
}

static void drain_backlog(void *arg)
{
	(void)arg;
	ctl("drain backlog");
}

TEST(a_broken_ring_ends_every_call)
{
	static void (*const runs[])(void *) = {
		read_until_broken, read_much_until_broken, write_until_broken,
		write_little_until_broken, name_until_broken, poll_until_broken,
	};
	enum { COUNT = sizeof(runs) / sizeof(*runs) };
	struct caller *callers = shared_alloc(COUNT * sizeof(*callers));
	unsigned int nth = nth_of_run();
	int unnamed = port_open(PORT_MULTI, 0), other = port_open(PORT_FIXED, 0);
	struct manyport_info info;
	pid_t pids[COUNT];

	ctl("fill backlog");
	for (int i = 0; i < COUNT; i++) {
		callers[i].fd = runs[i] == name_until_broken ? port_open(PORT_MULTI, 0) :
				puppet_open(0).fd;
		pids[i] = spawn(runs[i], &callers[i]);
		while (!callers[i].is_started)
			sched_yield();
	}
	barrier();
	fail_adds(1, EIO);
	CHECK_FAILS(write(unnamed, "echo", 5), EIO);
	fail_adds(nth, ENOMEM);
	for (int i = 0; i < COUNT; i++)
		JOIN(pids[i]);
	info = channel_info(unnamed);
	CHECK_EQ(info.state, MANYPORT_GONE);
	CHECK_EQ(info.error, EIO);
	CHECK_FAILS(open(port_path(PORT_MULTI), O_RDWR), EIO);
	/* The ring of another port is its own. */
	echo_once(other, "another port");
	close(other);
	driver_unbind();
	CHECK_EQ(driver_bind(), 0);
	driver_await_ports();
	CHECK_FAILS(write(unnamed, "echo", 5), ENODEV);
	echo_once(channel_open("echo", 0), "mended");
	/* In a process of its own, which makes a control channel: ours is gone. */
	JOIN(spawn(drain_backlog, NULL));
}
