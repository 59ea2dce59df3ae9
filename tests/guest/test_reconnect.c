// SPDX-License-Identifier: MIT
/*
 * From one client of a fixed port to the next [protocol.md 4.6]: who has to say what before a
 * process gets another client, and what becomes of bytes in between.
 *
 * Each connection that the daemon makes to the service of "tied" is a new puppet, and each
 * generation has a number of its own: so a test sees whether an open has asked. On
 * "agent" clients of the host wait for an open that asks.
 */
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "channel.h"

static struct puppet tied_open(int flags)
{
	struct puppet p = { .index = puppet_next() };

	p.fd = port_open(PORT_TIED, flags);
	puppet_await(p.index);
	return p;
}

static unsigned int client(void)
{
	return atoi(ctl("dial agent"));
}

/* The driver knows that the service takes no more. INFO asks for nothing. */
static void await_out_end(int fd)
{
	while (!(channel_info(fd).flags & MANYPORT_INFO_OUT_ENDED))
		sched_yield();
}

/* @fd has a generation that is none of @old: it has asked. */
#define CHECK_ASKED(fd, old) CHECK(channel_info(fd).generation != (old))
#define CHECK_NOT_ASKED(fd, old) CHECK_EQ(channel_info(fd).generation, (old))

static unsigned int generation_of(int fd)
{
	return channel_info(fd).generation;
}

/* A client came, said something that was read, and left: the process knows of nothing. */
static struct puppet left_alone(int flags)
{
	struct puppet p = tied_open(flags);

	ctl("send %u 10 1", p.index);
	read_pattern(p.fd, 10, 1, 0);
	ctl("close %u", p.index);
	await_out_end(p.fd);
	return p;
}

/* Likewise, and a read has told it. */
static struct puppet left_and_told(int flags)
{
	struct puppet p = left_alone(flags);
	unsigned int generation = generation_of(p.fd);
	char byte;
	ssize_t ret;

	while ((ret = read(p.fd, &byte, 1)) < 0 && errno == EAGAIN)
		sched_yield();	/* it is being fetched */
	CHECK_EQ(ret, 0);
	CHECK_NOT_ASKED(p.fd, generation);
	return p;
}

/* ---- Told, then asked ---- */

TEST(a_read_that_gives_0_does_not_ask)
{
	struct puppet p = left_and_told(0);

	close(p.fd);
	await_port(PORT_TIED, 0);
	CHECK_EQ(puppet_next(), p.index + 1);
}

TEST(the_next_read_asks)
{
	struct puppet p = left_and_told(0);
	unsigned int generation = generation_of(p.fd);
	char byte;

	CHECK_EQ(read(p.fd, &byte, 1), 0);
	CHECK_ASKED(p.fd, generation);
	puppet_await(++p.index);
	ctl("send %u 10 2", p.index);
	wait_poll(p.fd, POLLIN);
	while (poll_now(p.fd) & POLLHUP)
		sched_yield();
	read_pattern(p.fd, 10, 2, 0);
}

TEST(the_next_write_asks)
{
	struct puppet p = left_and_told(O_NONBLOCK);
	unsigned int generation = generation_of(p.fd);

	CHECK_FAILS(write(p.fd, "x", 1), EAGAIN);
	CHECK_ASKED(p.fd, generation);
	puppet_await(++p.index);
	write_pattern(p.fd, 100, 2, 0);
	expect_got(&p, 100, 2);
}

TEST(a_blocking_write_waits_for_the_next)
{
	struct puppet p = left_and_told(0);

	write_pattern(p.fd, 100, 2, 0);
	p.index++;
	expect_got(&p, 100, 2);
}

TEST(the_next_poll_asks)
{
	struct puppet p = left_and_told(0);
	unsigned int generation = generation_of(p.fd);

	CHECK(poll_now(p.fd) & POLLHUP);
	CHECK_ASKED(p.fd, generation);
}

TEST(ioctls_ask_for_nothing)
{
	struct puppet p = left_and_told(0);
	unsigned int generation = generation_of(p.fd);
	int bytes;

	for (int i = 0; i < 5; i++) {
		CHECK_OK(ioctl(p.fd, FIONREAD, &bytes));
		CHECK_EQ(bytes, 0);
		CHECK_NOT_ASKED(p.fd, generation);
	}
}

TEST(hup_and_then_0_do_not_ask)
{
	struct puppet p = left_alone(0);
	unsigned int generation = generation_of(p.fd);
	char byte;

	wait_poll(p.fd, POLLHUP);
	CHECK_EQ(read(p.fd, &byte, 1), 0);
	CHECK_NOT_ASKED(p.fd, generation);
}

TEST(hup_of_epoll_and_then_0_do_not_ask)
{
	struct puppet p = left_alone(0);
	unsigned int generation = generation_of(p.fd);
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = CHECK_OK(epoll_create1(EPOLL_CLOEXEC));
	char byte;

	/* EPOLL_CTL_ADD polls the file, too, but no caller has been told the end by that. */
	CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, p.fd, &event));
	CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
	CHECK(event.events & EPOLLHUP);
	CHECK_EQ(read(p.fd, &byte, 1), 0);
	CHECK_NOT_ASKED(p.fd, generation);
}

/* What a poll of an event loop says does not depend on who else has the file. */
TEST(another_holder_asks_for_both)
{
	struct puppet p = left_and_told(0);
	unsigned int generation = generation_of(p.fd);
	int copy = CHECK_OK(dup(p.fd));
	char byte;

	CHECK_EQ(read(copy, &byte, 1), 0);
	CHECK_ASKED(p.fd, generation);
	puppet_await(++p.index);
	write_pattern(p.fd, 100, 2, 0);
	expect_got(&p, 100, 2);
}

/* ---- Loops that go on for ever ---- */

#define ROUNDS 5

/* The host's side of a loop: each puppet from @first on says 1000 bytes and leaves. */
static void clients_speak(void *first)
{
	unsigned int index = *(unsigned int *)first;

	for (int i = 0; i < ROUNDS; i++) {
		puppet_await(index + i);
		ctl("send %u 1000 %d", index + i, i);
		ctl("close %u", index + i);
	}
}

/* Each is told 100 bytes, and leaves. */
static void clients_listen(void *first)
{
	unsigned int index = *(unsigned int *)first;

	for (int i = 0; i < ROUNDS; i++) {
		puppet_await(index + i);
		expect_got(&(struct puppet){ -1, index + i }, 100, i);
		ctl("close %u", index + i);
	}
}

/* What clients_speak() says, as much as there is now. Returns false until all is there. */
static bool hear(int fd)
{
	static uint64_t got;
	char buf[300];
	ssize_t ret;

	while ((ret = read(fd, buf, sizeof(buf))) > 0) {
		/* No read brings bytes of two clients. */
		CHECK_LE(got % 1000 + ret, 1000);
		CHECK_EQ(pattern_check(buf, ret, got / 1000, got % 1000), ret);
		got += ret;
	}
	if (ret < 0)
		CHECK_EQ(errno, EAGAIN);
	return got == ROUNDS * 1000;
}

TEST(a_loop_of_reads)
{
	struct puppet p = tied_open(0);
	pid_t pid = spawn(clients_speak, &p.index);

	while (!hear(p.fd))
		sched_yield();
	JOIN(pid);
}

TEST(a_loop_of_polls_and_reads)
{
	struct puppet p = tied_open(O_NONBLOCK);
	pid_t pid = spawn(clients_speak, &p.index);

	do
		wait_poll(p.fd, POLLIN);
	while (!hear(p.fd));
	JOIN(pid);
}

/* It neither reads nor writes while poll says HUP. */
TEST(a_loop_of_polls_alone)
{
	struct puppet p = tied_open(O_NONBLOCK);
	pid_t pid = spawn(clients_listen, &p.index);

	for (int i = 0; i < ROUNDS; i++) {
		while (poll_now(p.fd) & POLLHUP)
			sched_yield();
		wait_poll(p.fd, POLLOUT);
		write_pattern(p.fd, 100, i, 0);
		wait_poll(p.fd, POLLHUP);
	}
	JOIN(pid);
}

TEST(a_loop_of_select_for_writing)
{
	struct puppet p = tied_open(O_NONBLOCK);
	pid_t pid = spawn(clients_listen, &p.index);
	fd_set set;

	for (int i = 0; i < ROUNDS; i++) {
		FD_ZERO(&set);
		FD_SET(p.fd, &set);
		CHECK_EQ(select(p.fd + 1, NULL, &set, NULL, NULL), 1);
		write_pattern(p.fd, 100, i, 0);
		wait_poll(p.fd, POLLHUP);
	}
	JOIN(pid);
}

static int edges_of(int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	int epoll = CHECK_OK(epoll_create1(EPOLL_CLOEXEC));

	CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

static uint32_t next_edge(int epoll)
{
	struct epoll_event event;

	CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
	return event.events;
}

/* Sleeps without a call in between, but for what an edge asks for. */
TEST(a_loop_of_edges_and_reads)
{
	struct puppet p = tied_open(O_NONBLOCK);
	pid_t pid = spawn(clients_speak, &p.index);
	int epoll = edges_of(p.fd);

	while (!hear(p.fd))
		while (!(next_edge(epoll) & EPOLLIN))
			;
	JOIN(pid);
}

TEST(a_loop_of_edges_alone)
{
	struct puppet p = tied_open(O_NONBLOCK);
	pid_t pid = spawn(clients_listen, &p.index);
	int epoll = edges_of(p.fd);

	for (int i = 0; i < ROUNDS; i++) {
		while ((next_edge(epoll) & (EPOLLOUT | EPOLLHUP)) != EPOLLOUT)
			;
		write_pattern(p.fd, 100, i, 0);
		while (i < ROUNDS - 1 && !(next_edge(epoll) & EPOLLHUP))
			;
	}
	JOIN(pid);
}

TEST(a_loop_of_sigio)
{
	struct puppet p = tied_open(O_NONBLOCK);
	siginfo_t info;
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGIO);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(fcntl(p.fd, F_SETOWN, getpid()));
	CHECK_OK(fcntl(p.fd, F_SETSIG, SIGRTMIN));
	CHECK_OK(fcntl(p.fd, F_SETFL, O_ASYNC | fcntl(p.fd, F_GETFL)));
	pid = spawn(clients_speak, &p.index);
	do
		while (sigwaitinfo(&set, &info) < 0)
			CHECK_EQ(errno, EINTR);
	while (!hear(p.fd));
	JOIN(pid);
}

/* ---- Bytes in between ---- */

/* An open that goes on polls until its next client is there. */
static void await_client(int fd)
{
	while (poll_now(fd) & POLLHUP)
		sched_yield();
	wait_poll(fd, POLLOUT);
}

/* @len bytes of the next client, whatever ends there are before. Returns how many. */
static int read_behind_ends(int fd, uint64_t len, uint64_t seed)
{
	int ends = 0;
	char byte;
	ssize_t ret;

	while ((ret = read(fd, &byte, 1)) <= 0) {
		if (ret < 0)
			CHECK_EQ(errno, EAGAIN);
		ends += !ret;
		sched_yield();
	}
	CHECK_EQ(pattern_check(&byte, 1, seed, 0), 1);
	read_pattern(fd, len - 1, seed, 1);
	return ends;
}

/* Repeats a refused write at once, as some agents do: 20 pieces of one answer. */
static void answer_stubbornly(int fd)
{
	for (int i = 0; i < 20; i++) {
		while (write(fd, "0123456789", 10) != 10) {
			CHECK_EQ(errno, EAGAIN);
			sched_yield();
		}
	}
}

/*
 * A client sends a command and leaves while the agent is busy with it; a second one sends one
 * and leaves before it is read; a third one is polite.
 */
static void two_leave_early(int flags)
{
	int fd = port_open(PORT_AGENT, flags);
	unsigned int first = client(), second, third;

	ctl("send %u 100 1", first);
	read_behind_ends(fd, 100, 1);
	second = client();
	ctl("send %u 2000 2", second);
	ctl("close %u", second);
	ctl("close %u", first);
	await_out_end(fd);
	answer_stubbornly(fd);
	/* No byte of the second is lost, and an end stands before and behind them. */
	CHECK_GT(read_behind_ends(fd, 2000, 2), 0);
	await_out_end(fd);
	answer_stubbornly(fd);
	third = client();
	ctl("send %u 100 3", third);
	CHECK_GT(read_behind_ends(fd, 100, 3), 0);
	write_pattern(fd, 500, 3, 0);
	close(fd);
	expect_arrived(&(struct puppet){ -1, third }, 500, 3);
}

TEST(two_clients_leave_a_busy_agent)
{
	two_leave_early(O_NONBLOCK);
}

TEST(two_clients_leave_a_busy_agent_that_blocks)
{
	two_leave_early(0);
}

/* Bytes wait to be read: a writer that waits for room must not sleep until they are read. */
TEST(unread_bytes_keep_no_writer)
{
	int fd = port_open(PORT_AGENT, O_NONBLOCK);
	unsigned int index = client();

	await_client(fd);
	ctl("send %u 1000 1", index);
	wait_poll(fd, POLLIN);
	ctl("close %u", index);
	await_out_end(fd);
	CHECK_POLL(fd, POLLIN | POLLOUT | POLLRDHUP);
	CHECK_EQ(write(fd, "x", 1), 1);
	read_pattern(fd, 1000, 1, 0);
}

/*
 * One that never reads: the write that meets the end is lost with its client, the next
 * waits for the next client and arrives whole; what the first client said is dropped.
 */
TEST(who_never_reads_goes_on)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index = client(), next;
	char byte;

	write_pattern(fd, 100, 1, 0);
	expect_got(&(struct puppet){ fd, index }, 100, 1);
	ctl("send %u 100 1", index);
	ctl("close %u", index);
	await_out_end(fd);
	CHECK_EQ(write(fd, "lost", 4), 4);
	next = client();
	write_pattern(fd, 100, 2, 0);
	expect_got(&(struct puppet){ fd, next }, 100, 2);
	/* Should it read after all, it is told of the end before it gets bytes of the next. */
	ctl("send %u 100 3", next);
	CHECK_EQ(read(fd, &byte, 1), 0);
	read_pattern(fd, 100, 3, 0);
}

TEST(who_cannot_read_loses_nothing)
{
	int fd = CHECK_OK(open(port_path(PORT_AGENT), O_WRONLY | O_CLOEXEC));

	for (int i = 0; i < 5; i++) {
		unsigned int index = client();

		ctl("send %u 100 1", index);
		write_pattern(fd, 100, i, 0);
		expect_got(&(struct puppet){ fd, index }, 100, i);
		ctl("close %u", index);
		await_out_end(fd);
	}
}

/* As much as the send buffer holds is lost, and not more. */
TEST(what_is_lost_is_bounded)
{
	struct puppet p = left_alone(O_NONBLOCK);
	unsigned int generation = generation_of(p.fd);
	char buf[4096] = { 0 };
	uint64_t lost = 0;
	ssize_t ret;

	while ((ret = write(p.fd, buf, sizeof(buf))) > 0)
		lost += ret;
	CHECK_EQ(errno, EAGAIN);
	CHECK_GT(lost, 0);
	CHECK_LE(lost, MUCH);
	/* EAGAIN has told it, so the next one asks. */
	CHECK_NOT_ASKED(p.fd, generation);
	CHECK_FAILS(write(p.fd, buf, 1), EAGAIN);
	CHECK_ASKED(p.fd, generation);
	CHECK_FAILS(fsync(p.fd), EPIPE);
	CHECK_OK(fsync(p.fd));
}

/*
 * A large write ends with its client; the next begins with the next one. It is larger than what
 * socket and driver hold and what may be lost behind the end, also where it is copied.
 */
TEST(a_write_goes_to_one_client)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index = client(), next;
	int *written = shared_alloc(sizeof(*written)), size = 4 * MUCH;
	char *buf = calloc(1, size);
	pid_t pid;

	await_client(fd);
	pid = fork();
	CHECK_GE(pid, 0);
	if (!pid) {
		*written = write(fd, buf, size);
		_exit(0);
	}
	ctl("read %u 1000", index);
	ctl("got %u 1000", index);
	ctl("abort %u", index);
	JOIN(pid);
	CHECK_GT(*written, 999);
	CHECK_LE(*written, size - 1);
	next = client();
	write_pattern(fd, 100, 2, 0);
	close(fd);
	expect_arrived(&(struct puppet){ -1, next }, 100, 2);
}

TEST(half_a_client_keeps_nobody)
{
	int fd = port_open(PORT_AGENT, O_NONBLOCK);
	unsigned int index = client(), next;
	char byte;

	await_client(fd);
	ctl("end %u", index);
	/* It has said all, and still listens: that is no end. */
	AWAIT_POLL(fd, POLLIN | POLLOUT | POLLRDHUP);
	CHECK_EQ(read(fd, &byte, 1), 0);
	CHECK_EQ(read(fd, &byte, 1), 0);
	write_pattern(fd, 100, 1, 0);
	expect_got(&(struct puppet){ fd, index }, 100, 1);
	ctl("close %u", index);
	await_out_end(fd);
	next = client();
	await_client(fd);
	write_pattern(fd, 100, 2, 0);
	expect_got(&(struct puppet){ fd, next }, 100, 2);
}

/* ---- Several opens of one port ---- */

TEST(a_client_goes_to_an_open_that_asks)
{
	int through = port_open(PORT_AGENT, 0), other;
	unsigned int index = client(), next;
	char byte;

	await_client(through);
	ctl("close %u", index);
	CHECK_EQ(read(through, &byte, 1), 0);
	/* The next client waits until a call asks for it, also while @through is still open. */
	next = client();
	ctl("send %u 100 2", next);
	barrier();
	other = port_open(PORT_AGENT, 0);
	read_pattern(other, 100, 2, 0);
	close(through);
	write_pattern(other, 100, 3, 0);
	expect_got(&(struct puppet){ other, next }, 100, 3);
}

/* A process that ends before it has looked at its client leaves it to the next. */
TEST(an_open_that_ends_before_a_byte)
{
	int fd = port_open(PORT_AGENT, 0);
	unsigned int index = client();

	ctl("send %u 100 1", index);
	await_state(fd, MANYPORT_CONNECTED);
	close(fd);
	fd = port_open(PORT_AGENT, 0);
	read_pattern(fd, 100, 1, 0);
	write_pattern(fd, 100, 2, 0);
	expect_got(&(struct puppet){ fd, index }, 100, 2);
}

#define SLOTS	 3
#define CLIENTS	 4
#define SESSIONS 6

/*
 * A process for one session, as sshd -i: greets, answers, and ends when its client does. It
 * needs a while to end: here until the host has answered some questions.
 */
static void serve_once(void *arg)
{
	int fd = port_open(PORT_AGENT, 0);
	uint64_t sent = 100;
	char byte;

	(void)arg;
	write_pattern(fd, 100, 1, 0);
	while (read(fd, &byte, 1) == 1)
		write_pattern(fd, 1, 1, sent++);
	for (int i = 0; i < 20; i++)
		barrier();
}

static void serve_for_ever(void *arg)
{
	for (;;)
		JOIN(spawn(serve_once, arg));
}

/* Greeting and answer arrive whole, and nothing is said that belongs to another. */
static void visit(void *arg)
{
	(void)arg;
	for (int i = 0; i < SESSIONS; i++) {
		struct puppet p = { -1, client() };

		expect_got(&p, 100, 1);
		ctl("send %u 50 2", p.index);
		expect_got(&p, 150, 1);
		CHECK(!strncmp(ctl("state %u", p.index), "150 50 ", 7));
		ctl("close %u", p.index);
	}
}

/* More clients than slots: each waits for one that is ready, and none is lost. */
TEST(slots_lose_no_client)
{
	pid_t slots[SLOTS], clients[CLIENTS];

	puppet_next();		/* the host forgets what was before */
	for (int i = 0; i < SLOTS; i++)
		slots[i] = spawn(serve_for_ever, NULL);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = spawn(visit, NULL);
	for (int i = 0; i < CLIENTS; i++)
		JOIN(clients[i]);
	CHECK_EQ(puppet_next(), CLIENTS * SESSIONS);
	for (int i = 0; i < SLOTS; i++)
		kill_and_wait(slots[i]);
}
