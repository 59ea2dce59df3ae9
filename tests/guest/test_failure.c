// SPDX-License-Identifier: MIT
/*
 * The driver fails while it takes its device, after each step whose result an interrupt or an
 * open may have used already. Nothing of the device is left, no such user touches memory that is
 * gone (KASAN would say so), and the next attempt works. Debug builds of the module only:
 * kmod/debug.c has the steps.
 */
#include <sched.h>

#include "channel.h"
#include "driver.h"

struct held {
	char path[4096];
	volatile int is_open, is_freed;
};

/* Opens the node as soon as there is one; uses the channel when the device has been freed. */
static void open_early(void *arg)
{
	struct held *held = arg;
	int bytes, fd;
	char byte;

	while ((fd = open(held->path, O_RDWR | O_CLOEXEC)) < 0)
		sched_yield();
	held->is_open = 1;
	while (!held->is_freed)
		sched_yield();
	CHECK_EQ(channel_info(fd).state, MANYPORT_GONE);
	CHECK_EQ(channel_info(fd).error, ENODEV);
	CHECK_OK(ioctl(fd, FIONREAD, &bytes));
	CHECK_FAILS(write(fd, "echo", 5), ENODEV);
	CHECK_FAILS(read(fd, &byte, 1), ENODEV);
	CHECK(poll_now(fd) & POLLERR);
	close(fd);
}

static struct held *held_alloc(void)
{
	struct held *held = shared_alloc(sizeof(*held));

	CHECK(realpath(port_path(PORT_MULTI), held->path));
	return held;
}

static void echo(void *arg)
{
	(void)arg;
	echo_once(channel_open("echo", 0), "back again");
}

/* The hook was used, and all is well after it. */
static void expect_ports(void)
{
	CHECK(!*parameter_get("debug_fail"));
	driver_await_ports();
	JOIN(spawn(echo, NULL));
}

TEST(finding_queues)
{
	driver_unbind();
	parameter_set("debug_fail", "find_vqs");
	CHECK_EQ(driver_bind(), ENOMEM);
	CHECK_EQ(driver_bind(), 0);
	expect_ports();
}

TEST(an_interrupt_that_comes_early)
{
	driver_unbind();
	parameter_set("debug_fail", "interrupt");
	CHECK_EQ(driver_bind(), 0);
	expect_ports();
}

TEST(starting_with_an_open_channel)
{
	struct held *held = held_alloc();
	pid_t pid;

	driver_unbind();
	parameter_set("debug_fail", "ready");
	pid = spawn(open_early, held);
	CHECK_EQ(driver_bind(), ENOMEM);
	while (!held->is_open)
		sched_yield();
	held->is_freed = 1;
	JOIN(pid);
	CHECK_EQ(driver_bind(), 0);
	expect_ports();
}

TEST(making_a_node_that_is_open)
{
	struct held *held = held_alloc();
	pid_t pid;

	driver_unbind();
	parameter_set("debug_fail", "node");
	pid = spawn(open_early, held);
	CHECK_EQ(driver_bind(), 0);
	while (!held->is_open)
		sched_yield();
	driver_unbind();
	held->is_freed = 1;
	JOIN(pid);
	CHECK_EQ(driver_bind(), 0);
	expect_ports();
}
