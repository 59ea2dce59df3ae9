// SPDX-License-Identifier: MIT
/*
 * Bytes that were taken arrive, and how they end is seen [protocol.md 3.3 to 3.5, 8.3]: for each
 * kind of service and each end that a guest can make, counted at the far end.
 *
 * The kinds: a unix socket, a TCP socket, and a program, whose input comes back as a TCP puppet
 * (host_service.c, --witness): with an end when its input ended, with a reset when it was ended by
 * a signal before.
 */
#include <sched.h>
#include <signal.h>

#include "channel.h"
#include "driver.h"

static const char *const services[] = { "puppet", "tcp", "witness" };
#define KINDS (sizeof(services) / sizeof(services[0]))

/* The host takes what waits in pieces: a reader that is slower than the writer was. */
static void read_slowly(const struct puppet *p, uint64_t len, unsigned int pieces)
{
	uint64_t piece = len / (pieces + 1);

	ctl("expect %u 1", p->index);
	for (unsigned int i = 1; i <= pieces; i++) {
		ctl("read %u %llu", p->index, (unsigned long long)piece);
		ctl("got %u %llu", p->index, (unsigned long long)(piece * i));
	}
}

TEST(close_behind_a_burst)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct puppet p = puppet_open_at(services[kind], 0);
		uint32_t unsent;
		uint64_t len = fill_until_it_waits(p.fd, &unsent);

		close(p.fd);
		read_slowly(&p, len, 20);
		expect_arrived(&p, len, 1);
	}
}

struct writer {
	const char *service;
	volatile int fd;
	volatile uint64_t total;	/* what its calls have returned */
};

/* Large and small writes, the one on its own pages and the other through the driver's memory. */
static void write_for_ever(void *arg)
{
	struct writer *w = arg;
	char *buf = malloc(300000);
	size_t len;
	int i = 0;

	w->fd = channel_open(w->service, 0);
	for (;;) {
		len = i++ % 3 ? 1000 : 300000;
		pattern_fill(buf, len, 1, w->total);
		CHECK_EQ(write(w->fd, buf, len), len);
		w->total += len;
	}
}

/* All that write() has returned arrives, and an end, whatever became of the writer. */
TEST(kill_of_the_writer)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		for (int i = 0; i < 4; i++) {
			struct writer *w = shared_alloc(sizeof(*w));
			struct puppet p = { -1, puppet_next() };
			uint64_t total, got;
			pid_t pid;

			w->service = services[kind];
			pid = spawn(write_for_ever, w);
			puppet_await(p.index);
			read_slowly(&p, i * 700000, 3);
			kill_and_wait(pid);
			total = w->total;
			read_slowly(&p, total, 5);
			got = expect_over(&p, 1, "end");
			CHECK_GE(got, total);
			CHECK_LE(got, total + 300000);
		}
	}
}

static void write_and_exit(void *arg)
{
	struct writer *w = arg;
	int fd = channel_open(w->service, 0);

	w->total = fill(fd, 1, 0);
	_exit(0);
}

TEST(exit_without_close)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct writer *w = shared_alloc(sizeof(*w));
		struct puppet p = { -1, puppet_next() };
		pid_t pid;

		w->service = services[kind];
		pid = spawn(write_and_exit, w);
		puppet_await(p.index);
		JOIN(pid);
		read_slowly(&p, w->total, 10);
		expect_arrived(&p, w->total, 1);
	}
}

/* Bytes of the service that the guest has not read do not turn the end into a reset. */
TEST(close_with_bytes_unread)
{
	for (size_t kind = 0; kind < 2; kind++) {
		struct puppet p = puppet_open_at(services[kind], 0);
		uint64_t len;

		ctl("send %u 3000000 1", p.index);
		AWAIT_POLL(p.fd, POLLIN | POLLOUT);
		len = fill(p.fd, 1, 0);
		close(p.fd);
		read_slowly(&p, len, 10);
		expect_arrived(&p, len, 1);
		CHECK(!strcmp(ctl("sent %u", p.index), "3000000"));
	}
}

TEST(shutdown_then_close)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct puppet p = puppet_open_at(services[kind], 0);
		uint64_t len = fill(p.fd, 1, 0);

		CHECK_EQ(manyport_shutdown(p.fd, SHUT_WR), 0);
		close(p.fd);
		read_slowly(&p, len, 10);
		expect_arrived(&p, len, 1);
	}
}

/* Only this one drops bytes, and where there is a way to say so it is said. */
TEST(abort)
{
	static const char *const hows[] = { "end", "reset", "reset" };

	for (size_t kind = 0; kind < KINDS; kind++) {
		struct puppet p = puppet_open_at(services[kind], 0);
		uint32_t unsent;
		uint64_t len = fill_until_it_waits(p.fd, &unsent);
		/* A unix socket makes room only when it is read, and the service does not read. */
		uint64_t most = kind ? len : len - unsent;

		CHECK_EQ(manyport_abort(p.fd), 0);
		close(p.fd);
		CHECK_LE(expect_over(&p, 1, hows[kind]), most);
	}
}

struct cut {
	struct puppet puppets[KINDS];
	uint64_t len[KINDS], unsent[KINDS];
};

/* In a process of its own, whose control channel is one of the device's new life. */
static void read_what_was_cut(void *arg)
{
	static const char *const hows[] = { "end", "reset", "reset" };
	const struct cut *cut = arg;

	for (size_t kind = 0; kind < KINDS; kind++) {
		const struct puppet *p = &cut->puppets[kind];
		uint64_t got;

		read_slowly(p, cut->len[kind] - cut->unsent[kind], 5);
		got = expect_over(p, 1, hows[kind]);
		CHECK_GE(got, cut->len[kind] - cut->unsent[kind]);
		CHECK_LE(got, cut->len[kind]);
	}
}

/* The driver lets go of its device: what the host has taken arrives, and does not look whole. */
TEST(unbinding)
{
	struct cut *cut = shared_alloc(sizeof(*cut));

	for (size_t kind = 0; kind < KINDS; kind++) {
		cut->puppets[kind] = puppet_open_at(services[kind], 0);
		cut->len[kind] = fill(cut->puppets[kind].fd, 1, 0);
		cut->unsent[kind] = channel_info(cut->puppets[kind].fd).unsent;
	}
	driver_unbind();
	CHECK_EQ(driver_bind(), 0);
	driver_await_ports();
	JOIN(spawn(read_what_was_cut, cut));
}
