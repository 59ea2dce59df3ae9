// SPDX-License-Identifier: MIT
/*
 * The driver is unbound under open channels, then bound again: every call ends with
 * ENODEV, the last holder lets go, and the port comes back. And the limit per user.
 */
#include <errno.h>
#include <sched.h>
#include <sys/stat.h>

#include "channel.h"
#include "driver.h"

struct gone {
	int fd;
	volatile int is_started;
};

static void read_until_gone(void *arg)
{
	struct gone *gone = arg;
	char byte;

	gone->is_started = 1;
	CHECK_FAILS(read(gone->fd, &byte, 1), ENODEV);
}

static void read_much_until_gone(void *arg)
{
	struct gone *gone = arg;
	static char buf[1 << 20];

	gone->is_started = 1;
	CHECK_FAILS(read(gone->fd, buf, sizeof(buf)), ENODEV);
}

static void write_until_gone(void *arg)
{
	struct gone *gone = arg;
	static char buf[1 << 20];

	gone->is_started = 1;
	while (write(gone->fd, buf, sizeof(buf)) > 0)
		;
	CHECK_EQ(errno, ENODEV);
}

static void write_little_until_gone(void *arg)
{
	struct gone *gone = arg;

	gone->is_started = 1;
	while (write(gone->fd, "some bytes", 10) > 0)
		;
	CHECK_EQ(errno, ENODEV);
}

static void name_until_gone(void *arg)
{
	struct gone *gone = arg;

	gone->is_started = 1;
	CHECK_FAILS(write(gone->fd, "backlog", 8), ENODEV);
}

static void poll_until_gone(void *arg)
{
	struct gone *gone = arg;
	struct pollfd poller = { .fd = gone->fd, .events = POLLIN };

	gone->is_started = 1;
	CHECK_EQ(poll(&poller, 1, -1), 1);
	CHECK_EQ(poller.revents & (POLLIN | POLLHUP | POLLERR), POLLIN | POLLHUP | POLLERR);
}

static void drain_backlog(void *arg)
{
	(void)arg;
	ctl("drain backlog");
}

TEST(unbinding_ends_every_call)
{
	static void (*const runs[])(void *) = {
		read_until_gone, read_much_until_gone, write_until_gone,
		write_little_until_gone, name_until_gone, poll_until_gone,
	};
	enum { COUNT = sizeof(runs) / sizeof(*runs) };
	struct gone *gone = shared_alloc(COUNT * sizeof(*gone));
	int unnamed = port_open(PORT_MULTI, 0);
	char path[256];
	pid_t pids[COUNT];

	ctl("fill backlog");
	for (int i = 0; i < COUNT; i++) {
		gone[i].fd = runs[i] == name_until_gone ? port_open(PORT_MULTI, 0) :
			     puppet_open(0).fd;
		pids[i] = spawn(runs[i], &gone[i]);
		while (!gone[i].is_started)
			sched_yield();
	}
	barrier();
	driver_unbind();
	for (int i = 0; i < COUNT; i++)
		JOIN(pids[i]);
	CHECK_FAILS(write(unnamed, "echo", 5), ENODEV);
	CHECK_EQ(channel_info(unnamed).state, MANYPORT_GONE);
	CHECK(manyport_find(PORT_MULTI, path, sizeof(path)) < 0);
	CHECK_EQ(driver_bind(), 0);
	driver_await_ports();
	CHECK_FAILS(write(unnamed, "echo", 5), ENODEV);
	echo_once(channel_open("echo", 0), "back again");
	/* In a process of its own, which makes a control channel: ours is gone. */
	JOIN(spawn(drain_backlog, NULL));
}

/* As of a program that has looked the node up before the port goes, and opens it after that. */
static int open_again(int node)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", node);
	return open(path, O_RDWR);
}

TEST(a_node_of_a_port_that_is_gone)
{
	int node = CHECK_OK(open(port_path(PORT_MULTI), O_PATH | O_CLOEXEC));
	int held = port_open(PORT_MULTI, 0);

	close(CHECK_OK(open_again(node)));
	driver_unbind();
	/* While a channel keeps the port the driver is asked; afterwards the kernel knows it. */
	CHECK_FAILS(open_again(node), ENODEV);
	close(held);
	CHECK_FAILS(open_again(node), ENXIO);
	CHECK_EQ(driver_bind(), 0);
	driver_await_ports();
	close(node);
	echo_once(channel_open("echo", 0), "back again");
}

static void open_as_alice(void *arg)
{
	const char *path = arg;
	int fds[4];

	CHECK_OK(setgid(1000));
	CHECK_OK(setuid(1000));
	for (int i = 0; i < 3; i++)
		fds[i] = CHECK_OK(open(path, O_RDWR));
	CHECK_FAILS(open(path, O_RDWR), EBUSY);
	/* An unnamed channel is gone when it is closed. */
	close(fds[0]);
	while ((fds[0] = open(path, O_RDWR)) < 0)
		sched_yield();
}

TEST(ebusy_at_the_limit_of_the_user)
{
	const char *path = port_path(PORT_MULTI);

	parameter_set("max_channels_per_user", "3");
	CHECK_OK(chmod(path, 0666));
	JOIN(spawn(open_as_alice, (void *)path));
	CHECK_OK(chmod(path, 0600));
	parameter_set("max_channels_per_user", "16384");
	echo_once(channel_open("echo", 0), "others have limits of their own");
}
