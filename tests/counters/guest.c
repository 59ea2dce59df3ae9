// SPDX-License-Identifier: MIT
/*
 * The counted work, in the guest: each kind again and again, one operation after the other.
 *
 *	counted-work
 *
 * Prints a line "KIND ops=N COUNTER=SUM..." per kind, at the end, because the way that
 * they take makes interrupts too. A channel to the service "work" carries marks between
 * which the daemon's system calls are counted (see run): "begin KIND" and "end KIND".
 */
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <manyport/client.h>

#include "count.h"
#include "work.h"

#define WARM_UP		8
#define ROUNDS		16
#define IDLE_CHANNELS	100
#define IDLE_ROUNDS	3
#define BURST		200	/* fewer than the ring has room for */
#define BURST_ROUNDS	3
#define OUTPUT_MAX	(1 << 20)

static char *buf;
static unsigned long long calls;	/* system calls that moved bytes */
static char port[64];
static int marks;
static int idle[IDLE_CHANNELS];

static void move(int fd, size_t len, ssize_t (*call)(int fd, void *at, size_t len))
{
	ssize_t ret;

	for (size_t done = 0; done < len; done += ret) {
		ret = call(fd, buf + done, len - done);
		if (ret <= 0)
			err(1, "after %zu of %zu bytes: %zd", done, len, ret);
		calls++;
	}
}

static ssize_t give(int fd, void *at, size_t len)
{
	return write(fd, at, len);
}

static void exchange(int fd, size_t gives, size_t wants)
{
	move(fd, gives, give);
	move(fd, wants, read);
}

static int service_open(const char *service)
{
	int fd = manyport_open(port, service, O_CLOEXEC);

	if (fd < 0)
		errx(1, "open: %s", manyport_explain(fd));
	return fd;
}

static int channel_open(struct work work)
{
	int fd = service_open("work");

	if (!write_all(fd, &work, sizeof(work)))
		err(1, "first write");
	return fd;
}

/* Returns how much the daemon has allocated. */
static unsigned long long mark(const char *word, const char *kind)
{
	char text[MARK_SIZE] = "";

	snprintf(text, sizeof(text), "%s %s", word, kind);
	if (!write_all(marks, text, MARK_SIZE) || !read_all(marks, text, MARK_SIZE))
		err(1, "mark");
	return strtoull(text, NULL, 10);
}

/* --- What is counted around some work -------------------------------------- */

static struct {
	const char *kind;
	unsigned long long daemon, interrupts;
	struct manyport_info info;
} before;

static void info_add(struct manyport_info *sum, int fd)
{
	struct manyport_info info = { .size = sizeof(info) };
	int ret = manyport_info(fd, &info);

	if (ret)
		errx(1, "info: %s", strerror(-ret));
	sum->requests += info.requests;
	sum->kicks += info.kicks;
	sum->events += info.events;
	sum->waits += info.waits;
	sum->polled += info.polled;
	sum->bytes_in += info.bytes_in;
	sum->bytes_out += info.bytes_out;
	sum->zero_copy_in += info.zero_copy_in;
	sum->zero_copy_out += info.zero_copy_out;
}

/* @channels: what the work is done on and open already. */
static void begin(const char *kind, const int *channels, int count)
{
	memset(&before, 0, sizeof(before));
	before.kind = kind;
	for (int i = 0; i < count; i++)
		info_add(&before.info, channels[i]);
	before.daemon = mark("begin", kind);
	before.interrupts = count_interrupts();
	calls = 0;
	count_begin();
}

static void end(unsigned int ops, const int *channels, int count)
{
	struct manyport_info *old = &before.info, now = { 0 };
	unsigned long long slab, tables, pages, interrupts, daemon;

	count_end();
	interrupts = count_interrupts() - before.interrupts;
	daemon = mark("end", before.kind) - before.daemon;
	slab = count_slab_calls(&tables);
	pages = count_page_calls();
	for (int i = 0; i < count; i++)
		info_add(&now, channels[i]);
	count_print_sites(before.kind);
	printf("%s ops=%u calls=%llu interrupts=%llu", before.kind, ops, calls, interrupts);
	printf(" allocations=%llu tables=%llu pages=%llu daemon_allocations=%llu", slab, tables,
	       pages, daemon);
	if (count)
		printf(" requests=%llu kicks=%llu events=%llu waits=%llu polled=%llu bytes=%llu"
		       " copied=%llu",
		       now.requests - old->requests, now.kicks - old->kicks,
		       now.events - old->events, now.waits - old->waits,
		       now.polled - old->polled,
		       now.bytes_in + now.bytes_out - old->bytes_in - old->bytes_out,
		       now.bytes_in + now.bytes_out - now.zero_copy_in - now.zero_copy_out -
		       (old->bytes_in + old->bytes_out - old->zero_copy_in -
			old->zero_copy_out));
	putchar('\n');
}

/* --- The kinds of work ------------------------------------------------------ */

/* @ops in each round. */
static void work_exchanges(const char *kind, unsigned int ops, struct work work)
{
	int fd = channel_open(work);

	for (int i = 0; i < WARM_UP; i++)
		exchange(fd, work.gives, work.wants);
	for (int round = 0; round < ROUNDS; round++) {
		begin(kind, &fd, 1);
		for (unsigned int i = 0; i < ops; i++)
			exchange(fd, work.gives, work.wants);
		end(ops, &fd, 1);
	}
	close(fd);
}

static void work_open(void)
{
	begin("open", NULL, 0);
	for (int i = 0; i < IDLE_CHANNELS; i++) {
		idle[i] = channel_open((struct work){ 64, 64 });
		exchange(idle[i], 64, 64);
	}
	end(IDLE_CHANNELS, idle, IDLE_CHANNELS);
}

static void work_close(void)
{
	begin("close", NULL, 0);
	for (int i = 0; i < IDLE_CHANNELS; i++)
		close(idle[i]);
	end(IDLE_CHANNELS, NULL, 0);
}

/* The channels are there, nothing happens on them, another one works. */
static void work_idle(bool is_last)
{
	unsigned long long bytes = count_slab_bytes();

	work_open();
	printf("idle ops=%d slab_bytes=%lld\n", IDLE_CHANNELS,
	       (long long)(count_slab_bytes() - bytes));
	if (is_last)
		work_exchanges("beside", 50, (struct work){ 64, 64 });
	work_close();
}

/* Until a process sleeps in its call. */
static void await_sleep(pid_t pid)
{
	char path[64], stat[64] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	while (!strstr(stat, ") S ")) {
		sched_yield();
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, stat, sizeof(stat) - 1) < 0)
			err(1, "%s", path);
		close(fd);
	}
}

/* Bytes that the channels of the port have buffered or pinned. */
static long long buffered(void)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/class/manyport/%s/memory", strrchr(port, '/') + 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		err(1, "%s", path);
	close(fd);
	return strtoll(text, NULL, 10);
}

/* A READ waits at the device while a process sleeps in its call, and is answered. */
static void read_asleep(int fd)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(!read_all(fd, buf, 64));
	await_sleep(pid);
	if (!write_all(fd, buf, 64) || waitpid(pid, &status, 0) != pid || status)
		errx(1, "no answer to one that sleeps");
}

/* What channels keep of such a READ when nothing more happens on them. */
static void work_kept(void)
{
	long long bytes = buffered();

	for (int i = 0; i < IDLE_CHANNELS; i++) {
		idle[i] = channel_open((struct work){ 64, 64 });
		read_asleep(idle[i]);
	}
	printf("kept ops=%d bytes=%lld\n", IDLE_CHANNELS, buffered() - bytes);
	for (int i = 0; i < IDLE_CHANNELS; i++)
		close(idle[i]);
}

/*
 * Answers that need no interrupt lie in the ring until one comes for another reason: for the byte
 * that a reader sleeps for. That interrupt may handle some of them, and leaves the rest to a work
 * item.
 */
static void work_burst(void)
{
	int fds[BURST], echo = service_open("echo"), status;
	struct answers answers;
	char byte;
	pid_t pid;

	for (int i = 0; i < BURST; i++)
		fds[i] = service_open("null");
	pid = fork();
	if (!pid)
		_exit(read(echo, &byte, 1) != 1);
	await_sleep(pid);
	count_answers_begin();
	for (int i = 0; i < BURST; i++)
		if (write(fds[i], "x", 1) != 1)
			err(1, "a write of the burst");
	if (write(echo, "x", 1) != 1 || waitpid(pid, &status, 0) != pid || status)
		errx(1, "no echo");
	for (int i = 0; i < BURST; i++)
		fsync(fds[i]);
	count_answers_end(&answers);
	printf("burst ops=1 interrupt_answers=%u interrupt_finds_few=%d unanswered=%d\n",
	       answers.most, answers.most < BURST / 8,
	       answers.all < BURST ? BURST - answers.all : 0);
	for (int i = 0; i < BURST; i++)
		close(fds[i]);
	close(echo);
}

int main(void)
{
	int ret;

	setvbuf(stdout, malloc(OUTPUT_MAX), _IOFBF, OUTPUT_MAX);
	buf = aligned_alloc(4096, WORK_MAX);
	memset(buf, 'x', WORK_MAX);
	ret = manyport_find(NULL, port, sizeof(port));
	if (ret)
		errx(1, "port: %s", strerror(-ret));
	count_start();
	marks = channel_open((struct work){ MARK_SIZE, MARK_SIZE });
	work_exchanges("rtt64", 50, (struct work){ 64, 64 });
	work_exchanges("write4k", 50, (struct work){ 4096, 1 });
	work_exchanges("read4k", 50, (struct work){ 1, 4096 });
	work_exchanges("write64k", 25, (struct work){ 65536, 1 });
	work_exchanges("read64k", 25, (struct work){ 1, 65536 });
	work_exchanges("write1m", 10, (struct work){ 1 << 20, 1 });
	work_exchanges("read1m", 10, (struct work){ 1, 1 << 20 });
	for (int round = 1; round <= IDLE_ROUNDS; round++)
		work_idle(round == IDLE_ROUNDS);
	work_kept();
	for (int round = 0; round < BURST_ROUNDS; round++)
		work_burst();
	return fflush(stdout) ? 1 : 0;
}
