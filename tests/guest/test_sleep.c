// SPDX-License-Identifier: MIT
/*
 * The guest sleeps and wakes: for the device that is a reset, channels end with ECONNRESET, and the
 * port is there all the time. And a device that cannot be started when the guest wakes. For kernels
 * with CONFIG_PM_DEBUG, which can put the devices to sleep and wake them without the machine;
 * kmod/debug.c has the failure.
 */
#include <sched.h>
#include <sys/stat.h>

#include "channel.h"
#include "driver.h"

struct caller {
	int fd;
	volatile int is_started;
};

static void write_text(const char *path, const char *text)
{
	int fd = CHECK_OK(open(path, O_WRONLY | O_CLOEXEC));

	write_all(fd, text, strlen(text));
	close(fd);
}

/* The kernel stays there for five seconds. */
static void sleep_and_wake(void)
{
	write_text("/sys/power/pm_test", "devices");
	write_text("/sys/power/state", "mem");
}

static void read_until_reset(void *arg)
{
	struct caller *caller = arg;
	char byte;

	caller->is_started = 1;
	CHECK_FAILS(read(caller->fd, &byte, 1), ECONNRESET);
}

static void write_until_reset(void *arg)
{
	struct caller *caller = arg;
	static char buf[1 << 20];

	caller->is_started = 1;
	while (write(caller->fd, buf, sizeof(buf)) > 0)
		;
	CHECK_EQ(errno, ECONNRESET);
}

static void poll_until_reset(void *arg)
{
	struct caller *caller = arg;
	struct pollfd poller = { .fd = caller->fd, .events = POLLIN };

	caller->is_started = 1;
	CHECK_EQ(poll(&poller, 1, -1), 1);
	CHECK(poller.revents & POLLERR);
}

static void echo(void *arg)
{
	(void)arg;
	echo_once(channel_open("echo", 0), "awake");
}

/* An open that came before the driver knew waits for its service's answer until then. */
static void open_until_gone(void *arg)
{
	int fd = port_open(PORT_MULTI, 0);
	char path[256];

	(void)arg;
	CHECK_FAILS(write(fd, "echo", 5), ENODEV);
	close(fd);
	CHECK(manyport_find(PORT_MULTI, path, sizeof(path)) < 0);
}

TEST(calls_end)
{
	static void (*const runs[])(void *) = {
		read_until_reset, write_until_reset, poll_until_reset,
	};
	enum { COUNT = sizeof(runs) / sizeof(*runs) };
	struct caller *callers = shared_alloc(COUNT * sizeof(*callers));
	int unnamed = port_open(PORT_MULTI, 0);
	struct stat before, after;
	pid_t pids[COUNT];

	CHECK_OK(stat(port_path(PORT_MULTI), &before));
	for (int i = 0; i < COUNT; i++) {
		callers[i].fd = puppet_open(0).fd;
		pids[i] = spawn(runs[i], &callers[i]);
		while (!callers[i].is_started)
			sched_yield();
	}
	barrier();
	sleep_and_wake();
	for (int i = 0; i < COUNT; i++)
		JOIN(pids[i]);
	CHECK_FAILS(write(unnamed, "echo", 5), ECONNRESET);
	CHECK_OK(stat(port_path(PORT_MULTI), &after));
	CHECK_EQ(after.st_ino, before.st_ino);
	/* In a process of its own, which makes a control channel: ours is gone. */
	JOIN(spawn(echo, NULL));
}

/* It is gone after a while; whoever waits there is told, and the other ports work on. */
TEST(a_port_that_does_not_come_back)
{
	int fixed;

	channel_open("echo", 0);
	parameter_set("debug_fail", "port_add");
	sleep_and_wake();
	CHECK(!*parameter_get("debug_fail"));
	JOIN(spawn(open_until_gone, NULL));
	fixed = port_open(PORT_FIXED, 0);
	echo_once(fixed, "fixed");
	close(fixed);
	driver_unbind();
	CHECK_EQ(driver_bind(), 0);
	driver_await_ports();
	JOIN(spawn(echo, NULL));
}

TEST(a_device_that_does_not_wake)
{
	int fd = channel_open("echo", 0);
	char path[256];

	parameter_set("debug_fail", "find_vqs");
	sleep_and_wake();
	CHECK(!*parameter_get("debug_fail"));
	CHECK(manyport_find(PORT_MULTI, path, sizeof(path)) < 0);
	CHECK_FAILS(write(fd, "more", 4), ENODEV);
	channel_info(fd);	/* looks for answers, in queues that there are not */
	driver_unbind();
	channel_info(fd);
	CHECK_EQ(driver_bind(), 0);
	driver_await_ports();
	JOIN(spawn(echo, NULL));
}
