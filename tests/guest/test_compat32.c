// SPDX-License-Identifier: MIT
/*
 * The ioctls of a 32-bit program. "int $0x80" enters the kernel as such a program does,
 * from any program, with its numbers and its pointers of 32 bits.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "channel.h"

#define IOCTL_32 54
#define GETPID_32 20
#ifndef MAP_32BIT
#define MAP_32BIT 0	/* no test comes so far there */
#endif

#ifdef __x86_64__
static long call_32(long number, long a, long b, long c)
{
	long ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(number), "b"(a), "c"(b), "d"(c)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}
#else
static long call_32(long number, long a, long b, long c)
{
	(void)number, (void)a, (void)b, (void)c;
	return -ENOSYS;
}
#endif

static void try_call(void *arg)
{
	(void)arg;
	/* Where the kernel has no such entry this is another call, or a fault. */
	_exit(call_32(GETPID_32, 0, 0, 0) == getpid() ? 0 : 1);
}

/* Skips the test on a kernel without 32-bit programs. */
static void need_32(void)
{
	int status;

	CHECK_OK(waitpid(spawn(try_call, NULL), &status, 0));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		test_skip("the kernel runs no 32-bit programs");
}

static void *low_alloc(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

static long ioctl_32(int fd, unsigned long request, void *arg)
{
	return call_32(IOCTL_32, fd, request, (long)arg);
}

TEST(connect_and_info)
{
	struct manyport_connect *name = low_alloc(sizeof(*name));
	struct manyport_info *info = low_alloc(sizeof(*info));
	int fd;

	need_32();
	fd = port_open(PORT_MULTI, 0);
	strcpy(name->name, "nothing");
	CHECK_EQ(ioctl_32(fd, MANYPORT_IOC_CONNECT, name), -ENOENT);
	strcpy(name->name, "echo");
	CHECK_EQ(ioctl_32(fd, MANYPORT_IOC_CONNECT, name), 0);
	echo_once(fd, "data");
	CHECK_EQ(ioctl_32(fd, MANYPORT_IOC_INFO, info), 0);
	CHECK_EQ(info->size, sizeof(*info));
	CHECK_EQ(info->state, MANYPORT_CONNECTED);
	CHECK_EQ(info->bytes_in, 4);
	CHECK(!strcmp(info->service, "echo"));
}

TEST(counts)
{
	int *count = low_alloc(4096);
	struct puppet p;

	need_32();
	p = puppet_open(0);
	ctl("send %u 100 1", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
	CHECK_EQ(ioctl_32(p.fd, FIONREAD, count), 0);
	CHECK_EQ(*count, 100);
	*count = -1;
	CHECK_EQ(ioctl_32(p.fd, TIOCOUTQ, count), 0);
	CHECK_EQ(*count, 0);
}

TEST(shutdown)
{
	struct puppet p;

	need_32();
	p = puppet_open(0);
	write_pattern(p.fd, 100, 1, 0);
	CHECK_EQ(call_32(IOCTL_32, p.fd, MANYPORT_IOC_SHUTDOWN, SHUT_WR), 0);
	expect_arrived(&p, 100, 1);
	CHECK_EQ(call_32(IOCTL_32, p.fd, MANYPORT_IOC_SHUTDOWN, 9), -EINVAL);
}

TEST(abort)
{
	struct puppet p;
	char byte;

	need_32();
	p = puppet_open(0);
	CHECK_EQ(call_32(IOCTL_32, p.fd, MANYPORT_IOC_ABORT, 0), 0);
	CHECK_FAILS(read(p.fd, &byte, 1), ECONNRESET);
	CHECK_EQ(expect_over(&p, 1, "end"), 0);
}

TEST(unknown)
{
	need_32();
	CHECK_EQ(ioctl_32(channel_open("echo", 0), _IO('M', 0x5f), NULL), -ENOTTY);
}
