// SPDX-License-Identifier: MIT
/*
 * MANYPORT_IOC_ABORT: the channel ends at once for all of its holders, what the service has
 * not taken is dropped, and the service's end sees it while the file is still open.
 */
#include <sched.h>
#include <signal.h>

#include "channel.h"

/* Every call on an aborted channel, by whichever holder. */
static void check_aborted(int fd)
{
	struct manyport_info info;
	char byte = 0;

	CHECK_FAILS(read(fd, &byte, 1), ECONNRESET);
	CHECK_FAILS(write(fd, &byte, 1), ECONNRESET);
	CHECK_FAILS(fsync(fd), ECONNRESET);
	CHECK_EQ(manyport_shutdown(fd, SHUT_RDWR), -ECONNRESET);
	CHECK_POLL(fd, POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	info = channel_info(fd);
	CHECK_EQ(info.state, MANYPORT_ABORTED);
	CHECK_EQ(info.error, ECONNRESET);
	CHECK_EQ(info.readable, 0);
	CHECK_EQ(info.unsent, 0);
}

static void abort_channel(int fd)
{
	CHECK_EQ(manyport_abort(fd), 0);
	check_aborted(fd);
}

/*
 * With all buffers on the way full. Returns how much the service got, and then @how; of @len bytes
 * @unsent waited when the channel was aborted.
 */
static uint64_t abort_full(const char *service, const char *how, uint64_t *len, uint32_t *unsent)
{
	struct puppet p = puppet_open_at(service, 0);
	uint64_t count;

	*len = fill_until_it_waits(p.fd, unsent);
	abort_channel(p.fd);
	/* The file is open still: the close of it is not what ended the service's side. */
	count = expect_over(&p, 1, how);
	check_aborted(p.fd);
	close(p.fd);
	return count;
}

TEST(tcp_sees_a_reset)
{
	uint32_t unsent;
	uint64_t len;

	CHECK_LE(abort_full("tcp", "reset", &len, &unsent), len);
}

TEST(unix_sees_an_end_behind_what_was_taken)
{
	uint32_t unsent;
	uint64_t len, count = abort_full("puppet", "end", &len, &unsent);

	CHECK_EQ(count, len - unsent);
}

TEST(unix_sees_a_reset_when_bytes_of_it_were_not_read)
{
	struct puppet p = puppet_open(0);

	ctl("send %u 3000000 1", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
	abort_channel(p.fd);
	CHECK_EQ(expect_over(&p, 1, "reset"), 0);
}

TEST(idle)
{
	struct puppet p = puppet_open_at("tcp", 0);

	write_pattern(p.fd, 1000, 1, 0);
	expect_got(&p, 1000, 1);
	abort_channel(p.fd);
	CHECK_EQ(expect_over(&p, 1, "reset"), 1000);
}

TEST(twice)
{
	struct puppet p = puppet_open_at("tcp", 0);

	for (int i = 0; i < 3; i++)
		abort_channel(p.fd);
	CHECK_EQ(expect_over(&p, 1, "reset"), 0);
	abort_channel(p.fd);
}

TEST(unnamed)
{
	int fd = port_open(PORT_MULTI, 0);

	abort_channel(fd);
	CHECK_EQ(manyport_connect(fd, "echo"), -ECONNRESET);
	CHECK_FAILS(write(fd, "echo", 5), ECONNRESET);
	check_aborted(fd);
}

TEST(refused)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_FAILS(write(fd, "nothing", 8), ENOENT);
	abort_channel(fd);
	CHECK_EQ(manyport_connect(fd, "echo"), -ECONNRESET);
}

TEST(connecting)
{
	int fd;

	ctl("fill backlog");
	fd = port_open(PORT_MULTI, O_NONBLOCK);
	CHECK_EQ(manyport_connect(fd, "backlog"), -EINPROGRESS);
	abort_channel(fd);
	CHECK_EQ(manyport_connect(fd, "backlog"), -ECONNRESET);
	ctl("drain backlog");
}

TEST(answered_and_not_collected)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	CHECK_EQ(manyport_connect(fd, "echo"), -EINPROGRESS);
	wait_poll(fd, POLLOUT);
	abort_channel(fd);
	CHECK_EQ(manyport_connect(fd, "echo"), -ECONNRESET);
}

TEST(after_the_end)
{
	struct puppet p = puppet_open(0);

	ctl("end %u", p.index);
	expect_end(p.fd);
	CHECK_EQ(manyport_shutdown(p.fd, SHUT_WR), 0);
	await_state(p.fd, MANYPORT_ENDED);
	abort_channel(p.fd);
	CHECK_EQ(expect_over(&p, 1, "end"), 0);
}

/* The final offset is announced and not reached: the end must not come any more. */
static uint64_t abort_behind_shutdown(const char *service, const char *how, uint64_t *len,
				      uint32_t *unsent)
{
	struct puppet p = puppet_open_at(service, 0);

	*len = fill_until_it_waits(p.fd, unsent);
	CHECK_EQ(manyport_shutdown(p.fd, SHUT_WR), 0);
	abort_channel(p.fd);
	return expect_over(&p, 1, how);
}

TEST(after_a_shutdown_that_waits)
{
	uint32_t unsent;
	uint64_t len, count = abort_behind_shutdown("puppet", "end", &len, &unsent);

	CHECK_EQ(count, len - unsent);
	/* TCP may have taken more by then, even all; it is a reset in any case. */
	CHECK_LE(abort_behind_shutdown("tcp", "reset", &len, &unsent), len);
}

TEST(after_a_failure)
{
	int fd = channel_open("fail", 0);

	read_pattern(fd, 100000, 1, 0);
	AWAIT_POLL(fd, POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	abort_channel(fd);
}

TEST(a_fixed_port_needs_a_new_open)
{
	int fd = port_open(PORT_FIXED, 0);

	echo_once(fd, "data");
	abort_channel(fd);
	echo_once(port_open(PORT_FIXED, 0), "the next session");
	check_aborted(fd);
}

TEST(a_fixed_port_while_bytes_wait)
{
	unsigned int index = puppet_next();
	struct puppet p = { port_open(PORT_TIED, 0), index };
	uint64_t len;

	puppet_await(index);
	len = fill(p.fd, 1, 0);
	abort_channel(p.fd);
	CHECK_GT(len, expect_over(&p, 1, "end"));
	close(p.fd);
	/* The next open has a service of its own and offsets of its own. */
	p.index = puppet_next();
	p.fd = port_open(PORT_TIED, 0);
	puppet_await(p.index);
	write_pattern(p.fd, 1000, 2, 0);
	close(p.fd);
	expect_arrived(&p, 1000, 2);
}

/* ---- calls that sleep ---- */

struct sleeper {
	int fd;
	volatile int is_started;
};

static void read_until_reset(void *arg)
{
	struct sleeper *s = arg;
	char byte;

	s->is_started = 1;
	CHECK_FAILS(read(s->fd, &byte, 1), ECONNRESET);
}

static void read_much_until_reset(void *arg)
{
	struct sleeper *s = arg;
	static char buf[1 << 20];

	s->is_started = 1;
	CHECK_FAILS(read(s->fd, buf, sizeof(buf)), ECONNRESET);
}

static void write_until_reset(void *arg)
{
	struct sleeper *s = arg;
	static char buf[1 << 20];

	s->is_started = 1;
	while (write(s->fd, buf, sizeof(buf)) > 0)
		;
	CHECK_EQ(errno, ECONNRESET);
}

static void write_little_until_reset(void *arg)
{
	struct sleeper *s = arg;

	s->is_started = 1;
	while (write(s->fd, "some bytes", 10) > 0)
		;
	CHECK_EQ(errno, ECONNRESET);
}

static void fsync_until_reset(void *arg)
{
	struct sleeper *s = arg;

	fill(s->fd, 1, 0);
	s->is_started = 1;
	CHECK_FAILS(fsync(s->fd), ECONNRESET);
}

static void name_until_reset(void *arg)
{
	struct sleeper *s = arg;

	s->is_started = 1;
	CHECK_FAILS(write(s->fd, "backlog", 8), ECONNRESET);
}

static void poll_until_reset(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd poller = { .fd = s->fd, .events = POLLIN };

	s->is_started = 1;
	CHECK_EQ(poll(&poller, 1, -1), 1);
	CHECK_EQ(poller.revents, POLLIN | POLLHUP | POLLERR);
}

TEST(wakes_every_call)
{
	static void (*const runs[])(void *) = {
		read_until_reset, read_much_until_reset, write_until_reset,
		write_little_until_reset, fsync_until_reset, name_until_reset, poll_until_reset,
	};
	enum { COUNT = sizeof(runs) / sizeof(*runs) };
	struct sleeper *s = shared_alloc(COUNT * sizeof(*s));
	pid_t pids[COUNT];

	ctl("fill backlog");
	for (int i = 0; i < COUNT; i++) {
		s[i].fd = runs[i] == name_until_reset ? port_open(PORT_MULTI, 0) :
			  puppet_open(0).fd;
		pids[i] = spawn(runs[i], &s[i]);
		while (!s[i].is_started)
			sched_yield();
	}
	barrier();
	for (int i = 0; i < COUNT; i++)
		CHECK_EQ(manyport_abort(s[i].fd), 0);
	for (int i = 0; i < COUNT; i++)
		JOIN(pids[i]);
	for (int i = 0; i < COUNT; i++)
		check_aborted(s[i].fd);
	ctl("drain backlog");
}

/* ---- while large calls are under way ---- */

struct mover {
	int fd;
	volatile uint64_t total;
};

static void write_until_over(void *arg)
{
	struct mover *m = arg;
	char *buf = malloc(1 << 20);
	ssize_t ret;

	do {
		pattern_fill(buf, 1 << 20, 1, m->total);
		ret = write(m->fd, buf, 1 << 20);
		if (ret > 0)
			m->total += ret;
	} while (ret > 0);
	CHECK_EQ(errno, ECONNRESET);
}

TEST(while_a_large_write_is_under_way)
{
	for (int i = 0; i < 6; i++) {
		struct puppet p = puppet_open_at("tcp", 0);
		struct mover *m = shared_alloc(sizeof(*m));
		uint64_t count;
		pid_t pid;

		m->fd = p.fd;
		ctl("expect %u 1", p.index);
		ctl("read %u all", p.index);
		pid = spawn(write_until_over, m);
		ctl("got %u %d", p.index, 1 + i * 300000);
		CHECK_EQ(manyport_abort(p.fd), 0);
		JOIN(pid);
		/* Nothing that was not written, and the cut is seen. */
		count = expect_over(&p, 1, "reset");
		CHECK_GE(count, 1 + i * 300000);
		CHECK_LE(count, m->total);
		check_aborted(p.fd);
		close(p.fd);
	}
}

static void read_until_over(void *arg)
{
	struct mover *m = arg;
	char *buf = malloc(1 << 20);
	ssize_t ret;

	while ((ret = read(m->fd, buf, 1 << 20)) > 0) {
		CHECK_EQ(pattern_check(buf, ret, 1, m->total), ret);
		m->total += ret;
	}
	CHECK_EQ(ret, -1);
	CHECK_EQ(errno, ECONNRESET);
}

TEST(while_a_large_read_is_under_way)
{
	for (int i = 0; i < 6; i++) {
		struct puppet p = puppet_open_at("tcp", 0);
		struct mover *m = shared_alloc(sizeof(*m));
		pid_t pid;

		m->fd = p.fd;
		ctl("send %u 1000000000 1", p.index);
		pid = spawn(read_until_over, m);
		while (m->total < (uint64_t)i * 300000)
			sched_yield();
		CHECK_EQ(manyport_abort(p.fd), 0);
		JOIN(pid);
		check_aborted(p.fd);
		ctl("hup %u", p.index);
		close(p.fd);
	}
}

/* The dead caller's pages may still be with the device: CLOSE waits for them. */
TEST(after_a_large_call_was_killed)
{
	for (int i = 0; i < 12; i++) {
		struct puppet p = puppet_open_at("tcp", 0);
		struct mover *m = shared_alloc(sizeof(*m));
		bool is_read = i & 1;
		pid_t pid;

		m->fd = p.fd;
		if (is_read)
			ctl("send %u 1000000000 1", p.index);
		else
			ctl("read %u all", p.index);
		pid = spawn(is_read ? read_until_over : write_until_over, m);
		while (m->total < (uint64_t)i * 150000)
			sched_yield();
		CHECK_OK(kill(pid, SIGKILL));
		CHECK_EQ(manyport_abort(p.fd), 0);
		check_aborted(p.fd);
		kill_and_wait(pid);
		check_aborted(p.fd);
		ctl("hup %u", p.index);
		close(p.fd);
	}
}

/* ---- beside close ---- */

static void abort_and_exit(void *arg)
{
	/* By then the other holder may have closed; this one keeps the file. */
	CHECK_EQ(manyport_abort(*(int *)arg), 0);
}

TEST(while_others_close)
{
	for (int i = 0; i < 30; i++) {
		struct puppet p = puppet_open_at("tcp", 0);
		pid_t pid;

		write_pattern(p.fd, 100000, 1, 0);
		pid = spawn(abort_and_exit, &p.fd);
		close(p.fd);
		JOIN(pid);
		CHECK_LE(expect_over(&p, 1, "reset"), 100000);
	}
}

TEST(every_slot_comes_back)
{
	static const char *const services[] = { "echo", "zero", "null", "tcp" };

	/* Many times as often as the port has slots; one is in use while its file is open. */
	for (int i = 0; i < 100 * TINY_CHANNELS; i++) {
		int fd = port_open(PORT_TINY, 0);

		channel_name(fd, services[i % 4]);
		CHECK_OK(write(fd, "some bytes", 10));
		CHECK_EQ(manyport_abort(fd), 0);
		CHECK_EQ(port_channels(PORT_TINY), 1);
		close(fd);
		await_port(PORT_TINY, 0);
	}
}

TEST(no_channel)
{
	int fds[2];

	CHECK_OK(pipe(fds));
	CHECK_EQ(manyport_abort(fds[0]), -ENOTTY);
}
