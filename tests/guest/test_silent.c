// SPDX-License-Identifier: MIT
/* The daemon is stopped: calls end when it is silent, and all goes on later [protocol.md 10.10]. */
#include <poll.h>
#include <sched.h>

#include "channel.h"
#include "driver.h"

#define BYTES 100

static unsigned char byte_at(unsigned int offset)
{
	return offset * 7 + (offset >> 8);
}

static unsigned int send_some(int fd, unsigned int offset)
{
	unsigned char bytes[BYTES];
	ssize_t ret;

	for (int i = 0; i < BYTES; i++)
		bytes[i] = byte_at(offset + i);
	ret = write(fd, bytes, BYTES);
	CHECK(ret > 0 || errno == ETIMEDOUT);
	return ret > 0 ? ret : 0;
}

/* Returns how many came, or -1: ETIMEDOUT. */
static int receive_some(int fd, unsigned int offset)
{
	unsigned char bytes[BYTES];
	ssize_t ret = read(fd, bytes, BYTES);

	CHECK(ret > 0 || (ret < 0 && errno == ETIMEDOUT));
	for (ssize_t i = 0; i < ret; i++)
		CHECK_EQ(bytes[i], byte_at(offset + i));
	return ret;
}

/*
 * The requests of a channel to "null" are answered at once, so their silence counts; of a channel
 * whose bytes are under way in the service only a READ is out, which may wait.
 */
static void ask_until_silence(void *arg)
{
	const int *fd = arg;
	char byte = 0;
	ssize_t ret;

	do {
		ret = write(*fd, &byte, 1);
	} while (ret == 1);
	CHECK_EQ(errno, ETIMEDOUT);
	_exit(0);
}

/* Bytes go round until a call ends. */
static void go_round(int fd, unsigned int *sent, unsigned int *got)
{
	int ret;

	do {
		*sent += send_some(fd, *sent);
		ret = receive_some(fd, *got);
		*got += ret > 0 ? ret : 0;
	} while (ret > 0);
}

TEST(calls_end_and_the_channel_goes_on)
{
	int fd, second, other, pause, asked, fresh, ends[2];
	unsigned int sent = 0, got = 0;
	struct pollfd poller;
	struct manyport_transfer transfer = {
		.data = (uintptr_t)&poller, .size = 1, .flags = MANYPORT_TRANSFER_NOWAIT,
	};
	pid_t pid;

	fd = channel_open("echo", 0);
	second = channel_open("echo", 0);
	other = channel_open("echo", O_NONBLOCK);
	pause = channel_open("pause", 0);
	asked = channel_open("null", 0);
	CHECK_EQ(write(pause, "-", 1), 1);
	/* Not before: a daemon that is late for an open would be a silence. */
	parameter_set("answer_timeout", "2");
	pid = spawn(ask_until_silence, &asked);
	go_round(fd, &sent, &got);
	JOIN(pid);
	/* Every channel of the port, and at once. */
	CHECK_FAILS(read(fd, &poller, 1), ETIMEDOUT);
	CHECK_FAILS(read(second, &poller, 1), ETIMEDOUT);
	CHECK_FAILS(read(other, &poller, 1), ETIMEDOUT);
	/* What is not answered may be another channel's request: then all of this one's is. */
	if (channel_info(fd).unsent)
		CHECK_FAILS(fsync(fd), ETIMEDOUT);
	else
		CHECK_EQ(fsync(fd), 0);
	CHECK_EQ(pipe(ends), 0);
	CHECK_FAILS(splice(other, NULL, ends[1], NULL, BYTES, 0), ETIMEDOUT);
	CHECK_FAILS(ioctl(second, MANYPORT_IOC_RECV, &transfer), ETIMEDOUT);
	poller = (struct pollfd){ .fd = other, .events = POLLIN };
	CHECK_EQ(poll(&poller, 1, -1), 1);
	CHECK(poller.revents & POLLERR);
	fresh = port_open(PORT_MULTI, 0);
	CHECK_FAILS(write(fresh, "echo", 4), ETIMEDOUT);
	close(second);
	close(fresh);
	/* It comes back: no byte is lost. The host reads what the tests say (host_service.c). */
	test_note("go on");
	parameter_set("answer_timeout", "60");
	while (got < sent) {
		int ret = receive_some(fd, got);

		got += ret > 0 ? ret : 0;
		sched_yield();
	}
	for (int i = 0; i < 100; i++) {
		sent += send_some(fd, sent);
		while (got < sent)
			got += receive_some(fd, got);
	}
	CHECK_POLL(other, POLLOUT);
}

TEST(a_pause_costs_nothing)
{
	int fd = channel_open("echo", 0), pause = channel_open("pause", 0);
	unsigned int sent = 0, got = 0;
	char byte;

	CHECK_EQ(write(pause, "3", 1), 1);
	for (int i = 0; i < 1000; i++) {
		sent += send_some(fd, sent);
		while (got < sent)
			got += receive_some(fd, got);
	}
	CHECK_EQ(read(pause, &byte, 1), 0);
}
