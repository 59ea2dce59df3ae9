// SPDX-License-Identifier: MIT
/* kill -9 at any moment: nothing is lost to other holders, nothing is written twice. */
#include <sched.h>
#include <signal.h>

#include <sys/mman.h>
#include <sys/wait.h>

#include "channel.h"

struct shared {
	int fd;
	volatile int is_done;
	volatile ssize_t count;
	volatile uint64_t total;
	char data[];
};

static void read_for_ever(void *arg)
{
	struct shared *shared = arg;
	char *buf = malloc(1 << 20);

	shared->count = 1;
	for (;;)
		CHECK_OK(read(shared->fd, buf, 1 << 20));
}

TEST(killed_reader_takes_nothing)
{
	struct puppet p = puppet_open(0);
	uint64_t offset = 0;

	for (int i = 0; i < 20; i++) {
		struct shared *shared = shared_alloc(4096);
		pid_t pid;

		shared->fd = p.fd;
		pid = spawn(read_for_ever, shared);
		while (!shared->count)
			sched_yield();
		barrier();
		/* It sleeps, or is about to; its buffer is not the channel's. */
		kill_and_wait(pid);
		ctl("send %u 300000 1 %llu", p.index, (unsigned long long)offset);
		read_pattern(p.fd, 300000, 1, offset);
		offset += 300000;
	}
}

/* Reads the stream and says how far it is, after each call. */
static void read_and_count(void *arg)
{
	struct shared *shared = arg;
	ssize_t ret;

	for (;;) {
		ret = CHECK_OK(read(shared->fd, shared->data, 1 << 20));
		CHECK_GT(ret, 0);
		CHECK_EQ(pattern_check(shared->data, ret, 1, shared->total), ret);
		shared->total += ret;
	}
}

/*
 * The word that the channel gives next must be one of the stream, after what the
 * dead reader had counted, by no more than its last call. Returns its offset.
 */
static uint64_t find_offset(int fd, uint64_t counted)
{
	char buf[64];

	read_all(fd, buf, sizeof(buf));
	for (uint64_t at = counted; at <= counted + (1 << 20); at++)
		if (pattern_check(buf, sizeof(buf), 1, at) == sizeof(buf))
			return at;
	FAIL("bytes were lost or doubled behind %llu", (unsigned long long)counted);
}

TEST(killed_while_bytes_move)
{
	struct shared *shared = shared_alloc((1 << 20) + 4096);
	struct puppet p = puppet_open(0);
	uint64_t offset = 0;
	pid_t pid;

	/* How far a reader comes before it is killed is up to the machine: there is no end. */
	ctl("send %u %llu 1", p.index, 1ULL << 60);
	shared->fd = p.fd;
	for (int i = 0; i < 30; i++) {
		shared->total = offset;
		pid = spawn(read_and_count, shared);
		while (shared->total < offset + i * 10000)
			sched_yield();
		kill_and_wait(pid);
		offset = find_offset(p.fd, shared->total) + 64;
	}
	/* More comes to the last holder, without a gap. */
	read_pattern(p.fd, MUCH, 1, offset);
	ctl("abort %u", p.index);
}

static void write_and_count(void *arg)
{
	struct shared *shared = arg;
	char *buf = malloc(1 << 20);

	for (;;) {
		pattern_fill(buf, 1 << 20, 1, shared->total);
		CHECK_EQ(write(shared->fd, buf, 1 << 20), 1 << 20);
		shared->total += 1 << 20;
	}
}

TEST(killed_writer_leaves_a_prefix)
{
	for (int i = 0; i < 20; i++) {
		struct shared *shared = shared_alloc(4096);
		struct puppet p = puppet_open(0);
		unsigned long long got;
		pid_t pid;

		ctl("expect %u 1", p.index);
		ctl("read %u %d", p.index, i * 100000);
		shared->fd = p.fd;
		pid = spawn(write_and_count, shared);
		ctl("got %u %d", p.index, i * 100000);
		kill_and_wait(pid);
		close(p.fd);
		/* All right, nothing that was not written, nothing acknowledged lost. */
		ctl("read %u all", p.index);
		const char *text = ctl("eof %u", p.index);

		CHECK(strstr(text, "end good"));
		got = strtoull(text, NULL, 10);
		CHECK_GE(got, shared->total);
		CHECK_LE(got, shared->total + (1 << 20));
	}
}

static void sleep_in_poll(void *arg)
{
	struct shared *shared = arg;

	shared->count = 1;
	wait_poll(shared->fd, POLLIN);
}

TEST(killed_in_poll)
{
	struct puppet p = puppet_open(0);
	struct shared *shared = shared_alloc(4096);
	pid_t pid;

	shared->fd = p.fd;
	pid = spawn(sleep_in_poll, shared);
	while (!shared->count)
		sched_yield();
	kill_and_wait(pid);
	ctl("send %u 10 1", p.index);
	read_pattern(p.fd, 10, 1, 0);
}

static void hold_channel(void *arg)
{
	struct shared *shared = arg;

	close(shared->fd);
	channel_open("puppet", 0);
	shared->count = 1;
	for (;;)
		pause();
}

TEST(killed_process_closes_its_channels)
{
	struct shared *shared = shared_alloc(4096);
	unsigned int index = puppet_next();
	pid_t pid;

	shared->fd = -1;
	pid = spawn(hold_channel, shared);
	puppet_await(index);
	kill_and_wait(pid);
	ctl("read %u all", index);
	CHECK(!strcmp(ctl("eof %u", index), "0 end good"));
}

static void fsync_for_ever(void *arg)
{
	struct shared *shared = arg;

	shared->count = 1;
	fsync(shared->fd);
}

TEST(killed_in_fsync)
{
	struct shared *shared = shared_alloc(4096);
	struct puppet p = puppet_open(0);
	uint64_t len = fill(p.fd, 1, 0);
	pid_t pid;

	set_nonblock(p.fd, false);
	shared->fd = p.fd;
	pid = spawn(fsync_for_ever, shared);
	while (!shared->count)
		sched_yield();
	kill_and_wait(pid);
	close(p.fd);
	expect_arrived(&p, len, 1);
}

/*
 * Where the module is a debug build a killed caller sleeps right after the place where it gave
 * its pages away, so that they are freed before the caller continues.
 */
#define KILLS	     20			/* of a build that is none, at moments as they come */
#define KILLS_DEBUG  5			/* of callers that had given their pages away */
#define KILLED_SIZE  (128 << 10)	/* of a call: on its own pages */

static uint64_t begin_kills(void)
{
	return debug_set("debug_stretch_us", 20000) ? debug_get("debug_stretched") : 0;
}

static bool were_enough_kills(uint64_t begin, int kills)
{
	if (!debug_set("debug_stretch_us", 20000))
		return kills >= KILLS;
	return debug_get("debug_stretched") >= begin + KILLS_DEBUG;
}

static void write_on_pages(void *arg)
{
	struct shared *shared = arg;
	char *buf = malloc(KILLED_SIZE);

	for (;;) {
		pattern_fill(buf, KILLED_SIZE, 1, shared->total);
		CHECK_EQ(write(shared->fd, buf, KILLED_SIZE), KILLED_SIZE);
		shared->total += KILLED_SIZE;
	}
}

static void kill_one_writer(int yields)
{
	struct shared *shared = shared_alloc(4096);
	struct puppet p = puppet_open(0);
	unsigned long long got;
	const char *text;
	pid_t pid;

	ctl("expect %u 1", p.index);
	ctl("read %u all", p.index);
	shared->fd = p.fd;
	pid = spawn(write_on_pages, shared);
	ctl("got %u 1", p.index);
	while (yields--)
		sched_yield();
	kill_and_wait(pid);
	close(p.fd);
	text = ctl("eof %u", p.index);
	CHECK(strstr(text, "end good"));
	got = strtoull(text, NULL, 10);
	CHECK_GE(got, shared->total);
	CHECK_LE(got, shared->total + KILLED_SIZE);
	ctl("close %u", p.index);
	munmap(shared, 4096);
}

TEST(killed_in_the_middle_of_large_writes)
{
	uint64_t begin = begin_kills();
	int kills = 0;

	while (!were_enough_kills(begin, kills))
		kill_one_writer(kills++ % 7);
	debug_set("debug_stretch_us", 0);
	await_port(PORT_MULTI, 1);	/* that of the control channel */
}

/* Until @pid has given its pages away, or has ended. */
static void await_orphan(pid_t pid, uint64_t stretched)
{
	siginfo_t info = { 0 };

	while (debug_get("debug_stretched") == stretched && !info.si_pid) {
		CHECK_OK(waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT));
		sched_yield();
	}
}

/* What the dead reader's pages got is dropped while the reader is still on its way out. */
static void kill_one_reader(int yields)
{
	struct shared *shared = shared_alloc((1 << 20) + 4096);
	uint64_t stretched = debug_get("debug_stretched");
	struct puppet p = puppet_open(0);
	pid_t pid;

	ctl("send %u %u 1", p.index, 64 << 20);
	shared->fd = p.fd;
	pid = spawn(read_and_count, shared);
	while (!shared->total)
		sched_yield();
	while (yields--)
		sched_yield();
	CHECK_OK(kill(pid, SIGKILL));
	await_orphan(pid, stretched);
	CHECK_OK(manyport_shutdown(p.fd, SHUT_RD));
	kill_and_wait(pid);
	expect_end(p.fd);
	close(p.fd);
	ctl("abort %u", p.index);
	munmap(shared, (1 << 20) + 4096);
}

TEST(killed_in_the_middle_of_large_reads)
{
	uint64_t begin = begin_kills();
	int kills = 0;

	while (!were_enough_kills(begin, kills))
		kill_one_reader(kills++ % 7);
	debug_set("debug_stretch_us", 0);
	await_port(PORT_MULTI, 1);	/* that of the control channel */
}
