// SPDX-License-Identifier: MIT
/* Signals: SIGIO, and interrupted calls. */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "channel.h"

/* ---- SIGIO ---- */

static void want_sigio(int fd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGIO);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(fcntl(fd, F_SETOWN, getpid()));
	CHECK_OK(fcntl(fd, F_SETSIG, SIGRTMIN));
	CHECK_OK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
}

/* Waits for a signal of @fd that says one of @band. */
static void await_sigio(int fd, long band)
{
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	do {
		while (sigwaitinfo(&set, &info) < 0)
			CHECK_EQ(errno, EINTR);
		CHECK_EQ(info.si_fd, fd);
	} while (!(info.si_band & band));
}

TEST(sigio_when_bytes_come)
{
	struct puppet p = puppet_open(O_NONBLOCK);

	want_sigio(p.fd);
	for (int i = 0; i < 10; i++) {
		ctl("send %u 10 1 %d", p.index, i * 10);
		await_sigio(p.fd, POLLIN);
		read_pattern(p.fd, 10, 1, i * 10);
	}
}

TEST(sigio_on_a_blocking_file)
{
	struct puppet p = puppet_open(0);

	want_sigio(p.fd);
	ctl("send %u 10 1", p.index);
	await_sigio(p.fd, POLLIN);
	read_pattern(p.fd, 10, 1, 0);
}

TEST(sigio_when_there_is_room)
{
	struct puppet p = puppet_open(0);
	uint64_t len = fill(p.fd, 1, 0);

	want_sigio(p.fd);
	ctl("read %u all", p.index);
	await_sigio(p.fd, POLLOUT);
	expect_got(&p, len, 1);
}

TEST(sigio_at_the_end)
{
	struct puppet p = puppet_open(O_NONBLOCK);

	want_sigio(p.fd);
	ctl("end %u", p.index);
	await_sigio(p.fd, POLLIN | POLLHUP | POLLRDHUP);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT | POLLRDHUP);
}

TEST(sigio_goes_with_the_file)
{
	struct puppet p = puppet_open(O_NONBLOCK);

	/* A file that is closed while it signals must leave nothing behind. */
	want_sigio(p.fd);
	ctl("send %u 10 1", p.index);
	close(p.fd);
	barrier();
}

/* ---- interrupted calls ---- */

struct shared {
	int fd;
	volatile int is_done;
	volatile ssize_t count;
	volatile uint64_t total;
	char data[];
};

static void read_until_interrupted(void *arg)
{
	struct shared *shared = arg;
	char buf[100];

	catch_usr1(false);
	CHECK_FAILS(read(shared->fd, buf, sizeof(buf)), EINTR);
	shared->is_done = 1;
}

TEST(read_ends_with_eintr)
{
	struct shared *shared = shared_alloc(4096);
	struct puppet p = puppet_open(0);
	pid_t pid;

	signal(SIGUSR1, SIG_IGN);
	shared->fd = p.fd;
	pid = spawn(read_until_interrupted, shared);
	nag(pid, &shared->is_done);
	JOIN(pid);
	/* The read that was given up has taken nothing. */
	ctl("send %u 1000 1", p.index);
	read_pattern(p.fd, 1000, 1, 0);
}

static void read_large_until_interrupted(void *arg)
{
	struct shared *shared = arg;
	char *buf = malloc(1 << 20);

	catch_usr1(false);
	CHECK_FAILS(read(shared->fd, buf, 1 << 20), EINTR);
	shared->is_done = 1;
}

TEST(large_read_ends_with_eintr)
{
	struct shared *shared = shared_alloc(4096);
	struct puppet p = puppet_open(0);
	pid_t pid;

	signal(SIGUSR1, SIG_IGN);
	shared->fd = p.fd;
	pid = spawn(read_large_until_interrupted, shared);
	nag(pid, &shared->is_done);
	JOIN(pid);
	ctl("send %u 3000000 1", p.index);
	read_pattern(p.fd, 3000000, 1, 0);
}

static void write_until_interrupted(void *arg)
{
	struct shared *shared = arg;
	char *buf = malloc(MUCH);
	ssize_t ret;

	catch_usr1(false);
	pattern_fill(buf, MUCH, 1, 0);
	/* The service does not read: the write never ends by itself. */
	do {
		pattern_fill(buf, MUCH, 1, shared->total);
		ret = write(shared->fd, buf, MUCH);
		if (ret > 0)
			shared->total += ret;
		CHECK_LE(ret, MUCH - 1);
	} while (ret > 0);
	CHECK_EQ(errno, EINTR);
	shared->is_done = 1;
}

TEST(write_ends_with_its_count)
{
	struct shared *shared = shared_alloc(4096);
	struct puppet p = puppet_open(0);
	pid_t pid;

	signal(SIGUSR1, SIG_IGN);
	shared->fd = p.fd;
	pid = spawn(write_until_interrupted, shared);
	nag(pid, &shared->is_done);
	JOIN(pid);
	/* What the counts admit is what arrives, and all else follows it. */
	write_pattern(p.fd, 0, 1, 0);
	ctl("expect %u 1", p.index);
	ctl("read %u all", p.index);
	write_pattern(p.fd, 5000, 1, shared->total);
	close(p.fd);
	expect_arrived(&p, shared->total + 5000, 1);
}

static void flush_until_interrupted(void *arg)
{
	struct shared *shared = arg;

	catch_usr1(false);
	CHECK_FAILS(fsync(shared->fd), EINTR);
	shared->is_done = 1;
}

TEST(fsync_ends_with_eintr)
{
	struct shared *shared = shared_alloc(4096);
	struct puppet p = puppet_open(0);
	uint64_t len = fill(p.fd, 1, 0);
	pid_t pid;

	signal(SIGUSR1, SIG_IGN);
	set_nonblock(p.fd, false);
	shared->fd = p.fd;
	pid = spawn(flush_until_interrupted, shared);
	nag(pid, &shared->is_done);
	JOIN(pid);
	/* Nothing of what waited is lost, and the next one waits for all of it. */
	ctl("expect %u 1", p.index);
	ctl("read %u all", p.index);
	CHECK_OK(fsync(p.fd));
	CHECK_EQ(channel_info(p.fd).unsent, 0);
	expect_got(&p, len, 1);
}

static void connect_until_interrupted(void *arg)
{
	struct manyport_connect connect = { .name = "backlog" };
	struct shared *shared = arg;

	catch_usr1(false);
	/* Not by the library, which waits until there is an answer. */
	CHECK_FAILS(ioctl(shared->fd, MANYPORT_IOC_CONNECT, &connect), EINTR);
	shared->is_done = 1;
}

TEST(connect_ends_with_eintr)
{
	struct shared *shared = shared_alloc(4096);
	pid_t pid;

	signal(SIGUSR1, SIG_IGN);
	ctl("fill backlog");
	shared->fd = port_open(PORT_MULTI, 0);
	pid = spawn(connect_until_interrupted, shared);
	nag(pid, &shared->is_done);
	JOIN(pid);
	/* The attempt continues; the same call collects its outcome. */
	CHECK_EQ(channel_info(shared->fd).state, MANYPORT_CONNECTING);
	CHECK_EQ(manyport_connect(shared->fd, "echo"), -EALREADY);
	ctl("drain backlog");
	CHECK_EQ(manyport_connect(shared->fd, "backlog"), 0);
	puppet_await(0);
	write_pattern(shared->fd, 10, 1, 0);
	expect_got(&(struct puppet){ shared->fd, 0 }, 10, 1);
}

static void read_with_restart(void *arg)
{
	struct shared *shared = arg;

	catch_usr1(true);
	shared->count = 1;		/* ready to be disturbed */
	shared->count = read(shared->fd, shared->data, 100);
	shared->is_done = 1;
}

TEST(sa_restart_goes_on)
{
	struct shared *shared = shared_alloc(8192);
	struct puppet p = puppet_open(0);
	pid_t pid;

	shared->fd = p.fd;
	pid = spawn(read_with_restart, shared);
	while (!shared->count)
		sched_yield();
	for (int i = 0; i < 100; i++) {
		CHECK_OK(kill(pid, SIGUSR1));
		barrier();
		CHECK_EQ(shared->is_done, 0);
	}
	ctl("send %u 1 1", p.index);
	nag(pid, &shared->is_done);
	JOIN(pid);
	CHECK_EQ(shared->count, 1);
}

static void stop_and_go(pid_t pid)
{
	int status;

	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	CHECK_OK(kill(pid, SIGCONT));
}

static void read_some(void *arg)
{
	struct shared *shared = arg;

	read_pattern(shared->fd, 100000, 1, 0);
}

TEST(stop_and_continue)
{
	struct shared *shared = shared_alloc(4096);
	struct puppet p = puppet_open(0);
	pid_t pid;

	shared->fd = p.fd;
	pid = spawn(read_some, shared);
	for (int i = 0; i < 10; i++) {
		stop_and_go(pid);
		ctl("send %u 10000 1 %d", p.index, i * 10000);
	}
	JOIN(pid);
}
