// SPDX-License-Identifier: MIT
/*
 * From one client of a fixed port to the next [protocol.md 4.6]: which call asks for another
 * client, and loops that serve one after the other.
 */
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "reconnect.h"

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

/* As a stream of GLib: its loop polls, it looks whether there is anything, and it waits. */
TEST(hup_of_three_polls_and_then_0_do_not_ask)
{
	struct puppet p = left_alone(O_NONBLOCK);
	unsigned int generation = generation_of(p.fd);
	char byte;

	wait_poll(p.fd, POLLHUP);
	CHECK(poll_now(p.fd) & POLLHUP);
	CHECK(poll_now(p.fd) & POLLHUP);
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

/* What a poll of an event loop says does not depend on which other processes have the file. */
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
