// SPDX-License-Identifier: MIT
/*
 * Clients of a fixed port in a row [protocol.md 4.6]: what becomes of bytes between one and the
 * next, and which open gets which.
 */
#include "reconnect.h"

/* ---- Bytes in between ---- */

/* An open that serves several clients polls until the next one is there. */
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
	/* No byte of the second is lost, and an end stands before and after them. */
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
	AWAIT_POLL(fd, POLLIN | POLLOUT | POLLRDHUP);
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
 * socket and driver hold and what may be lost after the end, also where it is copied.
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
