// SPDX-License-Identifier: MIT
/* splice, sendfile and vmsplice: between pipes, files and a port. */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "channel.h"

struct ends {
	int from, to;
	uint64_t len;
};

static void splice_all(const struct ends *ends)
{
	uint64_t done = 0;
	ssize_t ret;

	while (done < ends->len) {
		ret = splice(ends->from, NULL, ends->to, NULL, ends->len - done, SPLICE_F_MOVE);
		if (ret <= 0)
			FAIL("splice after %llu bytes gave %zd: %s", (unsigned long long)done, ret,
			     strerror(errno));
		done += ret;
	}
}

static void run_splice(void *arg)
{
	splice_all(arg);
}

static const uint64_t lengths[] = { 1, 4095, 4096, 65536, 65537, 3000001 };

TEST(pipe_to_port)
{
	for (int i = 0; i < 6; i++) {
		struct puppet p = puppet_open(0);
		int pipes[2];
		pid_t pid;

		CHECK_OK(pipe(pipes));
		struct ends ends = { pipes[0], p.fd, lengths[i] };
		ctl("read %u all", p.index);
		pid = spawn(run_splice, &ends);
		write_pattern(pipes[1], lengths[i], i, 0);
		JOIN(pid);
		close(p.fd);
		expect_arrived(&p, lengths[i], i);
	}
}

TEST(port_to_pipe)
{
	for (int i = 0; i < 6; i++) {
		struct puppet p = puppet_open(0);
		int pipes[2];
		pid_t pid;

		CHECK_OK(pipe(pipes));
		struct ends ends = { p.fd, pipes[1], lengths[i] };
		pid = spawn(run_splice, &ends);
		ctl("send %u %llu %d", p.index, (unsigned long long)lengths[i], i);
		read_pattern(pipes[0], lengths[i], i, 0);
		JOIN(pid);
		close(p.fd);
	}
}

TEST(port_to_port)
{
	struct puppet from = puppet_open(0), to = puppet_open(0);
	int pipes[2];
	pid_t pids[2];

	CHECK_OK(pipe(pipes));
	struct ends first = { from.fd, pipes[1], 3000001 }, second = { pipes[0], to.fd, 3000001 };
	pids[0] = spawn(run_splice, &first);
	pids[1] = spawn(run_splice, &second);
	ctl("send %u 3000001 1", from.index);
	expect_got(&to, 3000001, 1);
	JOIN(pids[0]);
	JOIN(pids[1]);
}

TEST(end_of_the_port)
{
	struct puppet p = puppet_open(0);
	int pipes[2];

	CHECK_OK(pipe(pipes));
	ctl("end %u", p.index);
	CHECK_EQ(splice(p.fd, NULL, pipes[1], NULL, 1000, 0), 0);
}

static int file_with_pattern(uint64_t len)
{
	int fd = CHECK_OK(memfd_create("pattern", MFD_CLOEXEC));

	write_pattern(fd, len, 1, 0);
	return fd;
}

TEST(sendfile_to_the_port)
{
	int file = file_with_pattern(MUCH + 100);
	struct puppet p = puppet_open(0);
	off_t offset = 33;

	ctl("keep %u", p.index);
	ctl("read %u all", p.index);
	while (offset < MUCH + 33)
		CHECK_GT(CHECK_OK(sendfile(p.fd, file, &offset, MUCH + 33 - offset)), 0);
	ctl("got %u %u", p.index, MUCH);
	ctl("reflect %u", p.index);
	read_pattern(p.fd, MUCH, 1, 33);
}

TEST(sendfile_without_blocking)
{
	int file = file_with_pattern(MUCH);
	struct puppet p = puppet_open(O_NONBLOCK);
	off_t offset = 0;
	ssize_t ret;

	/* Until it is full, then the rest with room. */
	while ((ret = sendfile(p.fd, file, &offset, MUCH - offset)) > 0)
		;
	CHECK_EQ(ret, -1);
	CHECK_EQ(errno, EAGAIN);
	ctl("read %u all", p.index);
	while (offset < MUCH) {
		ret = sendfile(p.fd, file, &offset, MUCH - offset);
		if (ret < 0) {
			CHECK_EQ(errno, EAGAIN);
			wait_poll(p.fd, POLLOUT);
		}
	}
	close(p.fd);
	expect_arrived(&p, MUCH, 1);
}

TEST(vmsplice_to_the_port)
{
	struct puppet p = puppet_open(0);
	char *buf = aligned_alloc(4096, 1 << 20);
	struct iovec part;
	int pipes[2];
	pid_t pid;

	CHECK_OK(pipe(pipes));
	pattern_fill(buf, 1 << 20, 1, 0);
	struct ends ends = { pipes[0], p.fd, 1 << 20 };
	ctl("read %u all", p.index);
	pid = spawn(run_splice, &ends);
	for (size_t done = 0; done < 1 << 20; ) {
		part = (struct iovec){ buf + done, (1 << 20) - done };
		done += CHECK_OK(vmsplice(pipes[1], &part, 1, 0));
	}
	JOIN(pid);
	close(p.fd);
	expect_arrived(&p, 1 << 20, 1);
}

TEST(nothing_to_splice)
{
	struct puppet p = puppet_open(O_NONBLOCK);
	int pipes[2];

	CHECK_OK(pipe2(pipes, O_NONBLOCK));
	CHECK_FAILS(splice(p.fd, NULL, pipes[1], NULL, 1000, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_FAILS(splice(pipes[0], NULL, p.fd, NULL, 1000, SPLICE_F_NONBLOCK), EAGAIN);
}

TEST(a_full_port_leaves_the_rest_in_the_pipe)
{
	struct puppet p = puppet_open(0);
	uint64_t len = fill(p.fd, 1, 0), moved = 0;
	int pipes[2];
	ssize_t ret;

	CHECK_OK(pipe2(pipes, O_NONBLOCK));
	write_pattern(pipes[1], 10000, 1, len);
	CHECK_FAILS(splice(pipes[0], NULL, p.fd, NULL, 10000, SPLICE_F_NONBLOCK), EAGAIN);
	ctl("read %u all", p.index);
	while (moved < 10000) {
		ret = splice(pipes[0], NULL, p.fd, NULL, 10000 - moved, SPLICE_F_NONBLOCK);
		if (ret < 0) {
			CHECK_EQ(errno, EAGAIN);
			wait_poll(p.fd, POLLOUT);
		}
		moved += ret > 0 ? ret : 0;
	}
	close(p.fd);
	expect_arrived(&p, len + 10000, 1);
}

TEST(a_full_pipe_leaves_the_rest_in_the_port)
{
	struct puppet p = puppet_open(0);
	uint64_t taken = 0;
	int pipes[2];
	ssize_t ret;

	CHECK_OK(pipe2(pipes, O_NONBLOCK));
	ctl("send %u 1000000 1", p.index);
	do {
		wait_poll(p.fd, POLLIN);
		ret = splice(p.fd, NULL, pipes[1], NULL, 1000000, SPLICE_F_NONBLOCK);
		taken += ret > 0 ? ret : 0;
	} while (ret > 0);
	CHECK_EQ(errno, EAGAIN);
	read_pattern(pipes[0], taken, 1, 0);
	read_pattern(p.fd, 1000000 - taken, 1, taken);
}

struct into_pipe {
	int from, to;
	int unused;			/* its own copy of the pipe's other end */
	volatile int is_running;
	volatile ssize_t ret;
	volatile int error;
};

static void splice_into_pipe(void *arg)
{
	struct into_pipe *move = arg;

	signal(SIGPIPE, SIG_IGN);
	close(move->unused);
	move->is_running = 1;
	move->ret = splice(move->from, NULL, move->to, NULL, 4096, 0);
	move->error = errno;
}

/* Until @pid sleeps in the call that it was about to make. */
static void await_asleep(pid_t pid)
{
	char path[64], text[256], *state;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	do {
		sched_yield();
		fd = CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
		text[CHECK_OK(read(fd, text, sizeof(text) - 1))] = '\0';
		close(fd);
		state = strrchr(text, ')');
		CHECK(state && state[1]);
	} while (state[2] != 'S');
}

static void read_empty_pipe(void *arg)
{
	char byte;

	CHECK_FAILS(read(*(int *)arg, &byte, 1), EAGAIN);
}

/* Others may use a pipe into which a channel is spliced that has nothing to give yet. */
TEST(waits_without_the_lock_of_a_nonblocking_pipe)
{
	struct into_pipe *move = shared_alloc(sizeof(*move));
	struct puppet p = puppet_open(0);
	pid_t pid;
	int pipes[2];

	CHECK_OK(pipe2(pipes, O_NONBLOCK));
	*move = (struct into_pipe){ .from = p.fd, .to = pipes[1], .unused = pipes[0] };
	pid = spawn(splice_into_pipe, move);
	while (!move->is_running)
		sched_yield();
	await_asleep(pid);
	JOIN(spawn(read_empty_pipe, &pipes[0]));
	ctl("send %u 100 1", p.index);
	JOIN(pid);
	CHECK_EQ(move->ret, 100);
	read_pattern(pipes[0], 100, 1, 0);
}

/* Bytes that come when the pipe has no reader any more stay in the channel. */
TEST(a_pipe_without_readers_takes_nothing)
{
	struct into_pipe *move = shared_alloc(sizeof(*move));
	struct puppet p = puppet_open(0);
	pid_t pid;
	int pipes[2];

	CHECK_OK(pipe(pipes));
	*move = (struct into_pipe){ .from = p.fd, .to = pipes[1], .unused = pipes[0] };
	pid = spawn(splice_into_pipe, move);
	while (!move->is_running)
		sched_yield();
	await_asleep(pid);
	close(pipes[0]);
	ctl("send %u 100 1", p.index);
	JOIN(pid);
	CHECK_EQ(move->ret, -1);
	CHECK_EQ(move->error, EPIPE);
	read_pattern(p.fd, 100, 1, 0);
}

TEST(names_the_service)
{
	int fd = port_open(PORT_MULTI, 0), pipes[2];

	CHECK_OK(pipe(pipes));
	write_all(pipes[1], "echo", 5);
	CHECK_EQ(splice(pipes[0], NULL, fd, NULL, 5, 0), 5);
	echo_once(fd, "data");
}

TEST(eof_of_the_other_end)
{
	struct puppet p = puppet_open(0);
	int pipes[2];

	CHECK_OK(pipe(pipes));
	close(pipes[1]);
	CHECK_EQ(splice(pipes[0], NULL, p.fd, NULL, 1000, 0), 0);
	write_pattern(p.fd, 10, 1, 0);
	expect_got(&p, 10, 1);
}
