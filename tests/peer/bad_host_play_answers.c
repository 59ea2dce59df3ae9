// SPDX-License-Identifier: MIT
/* Plays around one kind of answer each: see bad_host_answers.c. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <manyport/ioctl.h>

#include "bad_host_guest.h"

/* --- A broken answer costs the channel, whatever it answers [protocol.md 10.7] ------ */

/* Until the channel is over, by a broken rule. */
static int wait_for_reset(int fd)
{
	uint64_t limit = now_ms() + LIMIT_MS * time_factor;
	struct manyport_info info;

	do {
		if (ioctl(fd, MANYPORT_IOC_INFO, &info))
			return -1;
		if (info.state == MANYPORT_GONE && info.error == ECONNRESET)
			return 0;
		moment();
	} while (now_ms() < limit);
	printf("# the channel goes on: state %u, error %u\n", info.state, info.error);
	return -1;
}

static void write_small(int fd)
{
	fill(0, SMALL);
	try_write(fd, SMALL);
}

static void write_large(int fd)
{
	fill(0, LARGE);
	try_write(fd, LARGE);
}

static void read_small(int fd)
{
	try_read(fd, SMALL);
}

static void read_large(int fd)
{
	try_read(fd, LARGE);
}

/* A reader that a signal ends cancels its READ. */
static void read_and_cancel(int fd)
{
	pid_t pid = in_child(fd, read_small);

	wait_until_asleep(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void shut_write(int fd)
{
	ioctl(fd, MANYPORT_IOC_SHUTDOWN, SHUT_WR);
}

/* Twice, since the host has two ways to break such an answer. */
static int broken(const char *attack, const char *service, void (*call)(int fd))
{
	int ret = 0, fd;

	for (int i = 0; i < 2; i++) {
		fd = victim_open(VICTIM, service, 0);
		if (fd < 0)
			return -1;
		if (!i && tell_attack(attack))
			ret = -1;
		call(fd);
		if (wait_for_reset(fd) || read(fd, io_buf, 1) >= 0 || errno != ECONNRESET)
			ret = -1;
		close(fd);
	}
	if (tell_attack("none"))
		ret = -1;
	return ret || wait_for_nothing_left("vport0p1");
}

static int connect_is_broken(void)
{
	int ret = tell_attack("broken_connect"), fd;

	for (int i = 0; i < 2; i++) {
		fd = open(VICTIM, O_RDWR);
		if (fd < 0 || write(fd, "data", 5) >= 0 || errno != ECONNRESET ||
		    wait_for_reset(fd))
			ret = -1;
		close(fd);
	}
	return tell_attack("none") || ret || wait_for_nothing_left("vport0p1");
}

static int small_write_is_broken(void)
{
	return broken("broken_write", "data", write_small);
}

static int large_write_is_broken(void)
{
	return broken("broken_write", "data", write_large);
}

static int small_read_is_broken(void)
{
	return broken("broken_read", "data", read_small);
}

static int large_read_is_broken(void)
{
	return broken("broken_read", "data", read_large);
}

static int cancel_is_broken(void)
{
	return broken("broken_cancel", "quiet", read_and_cancel);
}

static int shutdown_is_broken(void)
{
	return broken("broken_shutdown", "data", shut_write);
}

/* The file is gone, so the slot says how it went, and the host what it was sent. */
static int broken_at_close(const char *attack)
{
	int ret = 0;

	for (int i = 0; i < 2; i++) {
		int fd = victim_open(VICTIM, "data", 0);

		if (!i && tell_attack(attack))
			ret = -1;
		close(fd);
		if (fd < 0 || wait_for_nothing_left("vport0p1"))
			ret = -1;
	}
	if (tell("hits")) {
		printf("# the host was not sent what it waits for\n");
		ret = -1;
	}
	return tell_attack("none") || ret;
}

static int close_is_broken(void)
{
	return broken_at_close("broken_close");
}

static int abort_is_broken(void)
{
	return broken_at_close("broken_abort");
}

/* --- Honest hosts ------------------------------------------------------------- */

/* How often the kernel's log has these words; as much of it as is kept. */
static int count_lines(const char *words)
{
	static char text[1 << 20];
	int len = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, text, sizeof(text) - 1), count = 0;

	text[len > 0 ? len : 0] = 0;
	for (char *at = text; (at = strstr(at, words)); at++)
		count++;
	return len < 0 ? -1 : count;
}

static int count_accusations(void)
{
	return count_lines("the host broke the protocol");
}

/* What comes with MP_BUSY is the state of no channel [protocol.md 6.1]: nothing was cut off. */
static int busy_says_no_more(void)
{
	int ret = tell_attack("busy_with_state"), fd;

	for (int i = 0; i < 2; i++) {
		fd = open(VICTIM, O_RDWR);
		if (fd < 0 || write(fd, "data", 5) >= 0 || errno != EBUSY) {
			printf("# busy with a state: %s\n", strerror(errno));
			ret = -1;
		}
		close(fd);
	}
	return tell_attack("none") || ret || wait_for_nothing_left("vport0p1");
}

/* A channel that is closed with bytes unsent, and that the host closes by its limit. */
static int closed_by_the_limit(void)
{
	int before = count_accusations(), fd, ret = tell_attack("lingering");

	for (int i = 0; i < 5; i++) {
		fd = victim_open(VICTIM, "quiet", 0);
		fill(0, SMALL);
		if (fd < 0 || write(fd, io_buf, SMALL) != SMALL)
			ret = -1;
		close(fd);
		if (wait_for_nothing_left("vport0p1"))
			ret = -1;
	}
	if (tell("hits")) {
		printf("# no WRITE came behind the close\n");
		ret = -1;
	}
	if (before < 0 || count_accusations() != before) {
		printf("# the host was accused\n");
		ret = -1;
	}
	return tell_attack("none") || ret;
}

/* Reads what is there, and looks at each byte. Returns bytes, or -1. */
static ssize_t read_checked(int fd, uint64_t at)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };
	ssize_t n;

	poll(&entry, 1, 100);
	n = read(fd, io_buf, 32768);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	for (ssize_t i = 0; i < n; i++)
		if (io_buf[i] != pattern(at + i))
			return -1;
	return n ? n : -1;
}

/* READs of one stream whose answers come in another order than they were asked. */
static int answers_swapped(void)
{
	uint64_t limit = now_ms() + LIMIT_MS * time_factor, at = 0;
	int fd = victim_open(VICTIM, "data", 0), ret = tell_attack("swapped");
	ssize_t n = 0;

	if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK))
		return -1;
	while (!ret && n >= 0 && now_ms() < limit && tell("hits"))
		for (int i = 0; i < 16 && n >= 0; i++, at += n > 0 ? n : 0)
			n = read_checked(fd, at);
	if (n < 0) {
		printf("# wrong byte or error behind %llu: %s\n", (unsigned long long)at,
		       strerror(errno));
		ret = -1;
	}
	if (tell("hits")) {
		printf("# no two READs were in flight\n");
		ret = -1;
	}
	close(fd);
	return tell_attack("none") || ret || wait_for_nothing_left("vport0p1");
}

/* --- The answer to BYE finds a broken queue: it is given up ------------------------- */

static int count_unsent(void)
{
	return count_lines("was not sent: error -5");
}

static int bye_has_no_answer(void)
{
	int before = count_unsent(), after, ret = tell_attack("bye_without_answer");
	uint64_t limit = now_ms() + LIMIT_MS * time_factor;

	while (!ret && count_unsent() == before && now_ms() < limit)
		moment();
	/* Ten times would it be tried again. */
	for (limit = now_ms() + 1000; now_ms() < limit;)
		moment();
	after = count_unsent();
	if (after != before + 1)
		printf("# %d answers failed\n", after - before);
	return tell_attack("none") || recover() || ret || after != before + 1;
}

const struct play plays_answers[] = {
	{ "closed_by_the_limit", closed_by_the_limit },
	{ "busy_says_no_more", busy_says_no_more },
	{ "answers_swapped", answers_swapped },
	{ "connect_is_broken", connect_is_broken },
	{ "small_write_is_broken", small_write_is_broken },
	{ "large_write_is_broken", large_write_is_broken },
	{ "small_read_is_broken", small_read_is_broken },
	{ "large_read_is_broken", large_read_is_broken },
	{ "cancel_is_broken", cancel_is_broken },
	{ "shutdown_is_broken", shutdown_is_broken },
	{ "close_is_broken", close_is_broken },
	{ "abort_is_broken", abort_is_broken },
	{ "bye_has_no_answer", bye_has_no_answer },
	{ NULL, NULL },
};
