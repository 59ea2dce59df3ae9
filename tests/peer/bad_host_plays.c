// SPDX-License-Identifier: MIT
/* Attacks that need a choreography. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <manyport/ioctl.h>

#include "bad_host_guest.h"

static void wait_for_end(pid_t pid, int *left)
{
	uint64_t limit = now_ms() + LIMIT_MS * time_factor;

	while (!waitpid(pid, NULL, WNOHANG)) {
		if (now_ms() > limit) {
			printf("# process %d does not end\n", pid);
			show_stack(pid);
			++*left;
			kill(pid, SIGKILL);
			return;
		}
		moment();
	}
}

/* Until @pid sleeps in the kernel, killable (D) or interruptible (S), or has ended. */
void wait_until_asleep(pid_t pid)
{
	uint64_t limit = now_ms() + LIMIT_MS * time_factor;
	char path[64], text[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	do {
		FILE *file = fopen(path, "r");
		char state = 0;

		moment();
		if (file && fgets(text, sizeof(text), file) && strrchr(text, ')'))
			state = strrchr(text, ')')[2];
		if (file)
			fclose(file);
		if (state == 'S' || state == 'D' || state == 'Z')
			return;
	} while (now_ms() < limit);
}

pid_t in_child(int fd, void (*run)(int fd))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	run(fd);
	_exit(0);
}

static void write_large(int fd)
{
	try_write(fd, LARGE);
}

static void read_large(int fd)
{
	try_read(fd, LARGE);
}

static void shut_write(int fd)
{
	ioctl(fd, MANYPORT_IOC_SHUTDOWN, SHUT_WR);
}

/*
 * Two holders of one channel: the host keeps the pages of one, which is killed; the other
 * waits for what becomes of the pages, and must continue when the answers come.
 */
static int orphan(void (*killed)(int fd), void (*waits)(int fd))
{
	int fd, left = 0;
	pid_t pid;

	if (tell_attack("late"))
		return -1;
	fd = victim_open(VICTIM, "data", 0);
	fill(0, LARGE);
	pid = in_child(fd, killed);
	wait_until_asleep(pid);
	kill(pid, SIGKILL);
	wait_for_end(pid, &left);
	pid = in_child(fd, waits);
	wait_until_asleep(pid);
	if (tell_attack("none"))
		left++;
	wait_for_end(pid, &left);
	close(fd);
	return left || wait_for_nothing_left("vport0p1");
}

static int orphan_write_shutdown(void)
{
	return orphan(write_large, shut_write);
}

static int orphan_write_write(void)
{
	return orphan(write_large, write_large);
}

static int orphan_read_read(void)
{
	return orphan(read_large, read_large);
}

static void read_small(int fd)
{
	_exit(read(fd, io_buf, SMALL) != 0);	/* the end */
}

static void write_all_large(int fd)
{
	_exit(write(fd, io_buf, LARGE) != LARGE);
}

/* Its status, when it ends by itself within the limit, else -1. */
static int status_of(pid_t pid)
{
	uint64_t limit = now_ms() + LIMIT_MS * time_factor;
	int status;

	while (!waitpid(pid, &status, WNOHANG)) {
		if (now_ms() > limit) {
			show_stack(pid);
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			return -1;
		}
		moment();
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/*
 * Both directions are shut down while a writer's pages are at the host: the call does not wait, the
 * read half has ended for all holders, and the host gets each byte before the end.
 */
static int shutdown_behind_pages(void)
{
	pid_t reader, writer;
	int fd, ret = 0;

	if (tell_attack("late"))
		return -1;
	fd = victim_open(VICTIM, "data", 0);
	reader = in_child(fd, read_small);
	wait_until_asleep(reader);
	fill(0, LARGE);
	writer = in_child(fd, write_all_large);
	wait_until_asleep(writer);
	if (ioctl(fd, MANYPORT_IOC_SHUTDOWN, SHUT_RDWR) || status_of(reader) ||
	    status_of(in_child(fd, read_small)))
		ret = -1;
	/* The host looks at each byte, and at its place in the stream. */
	if (tell_attack("none") || status_of(writer) || write(fd, io_buf, 1) >= 0)
		ret = -1;
	close(fd);
	return ret || wait_for_nothing_left("vport0p1");
}

/* --- Memory that the host cannot reach [protocol.md 6.9] ------------------------ */

/* On a fresh channel nothing was fetched: a large read begins in the reader's own pages. */
static int first_read_is_right(void)
{
	static unsigned char got[LARGE] __attribute__((aligned(4096)));
	int fd = victim_open(VICTIM, "data", 0);
	ssize_t n = read(fd, got, LARGE);

	close(fd);
	fill(0, LARGE);
	if (n > 0 && !memcmp(got, io_buf, n))
		return 0;
	printf("# the first read: %zd bytes\n", n);
	return -1;
}

/* The pages of processes: each byte goes by another way, and no process learns of it. */
static int all_arrives(const char *attack)
{
	int ret;

	if (tell_attack(attack))
		return -1;
	ret = is_served(VICTIM, "data");
	ret |= first_read_is_right();
	if (tell("hits")) {
		printf("# no page was refused\n");
		ret = -1;
	}
	return tell_attack("none") || ret || wait_for_nothing_left("vport0p1");
}

static int fault_copied(void)
{
	return all_arrives("fault_pages");
}

static int fault_copied_rest(void)
{
	return all_arrives("fault_half");
}

static int expect_error(const char *what, ssize_t n, int error)
{
	if (n < 0 && errno == error)
		return 0;
	printf("# %s: %zd (%s), not: %s\n", what, n, strerror(n < 0 ? errno : 0),
	       strerror(error));
	return -1;
}

/* What is accepted before the host answers is accepted: until a call fails. */
static ssize_t write_on(int fd, size_t len)
{
	ssize_t n;

	do {
		n = write(fd, io_buf, len);
	} while (n > 0);
	return n;
}

static ssize_t read_on(int fd, size_t len)
{
	ssize_t n;

	do {
		n = read(fd, io_buf, len);
	} while (n > 0);
	return n;
}

/* Each kind of call ends with @error, each time, on a channel that first does just that. */
static int all_calls_end(const char *attack, int error)
{
	struct pollfd entry = { .events = POLLIN | POLLOUT };
	int ret = 0;

	if (tell_attack(attack))
		return -1;
	entry.fd = victim_open(VICTIM, "data", 0);
	fill(0, LARGE);
	if (write(entry.fd, io_buf, SMALL) != SMALL)
		ret = -1;
	ret |= expect_error("fsync", fsync(entry.fd), error);
	ret |= expect_error("write", write_on(entry.fd, SMALL), error);
	ret |= expect_error("read", read(entry.fd, io_buf, SMALL), error);
	if (poll(&entry, 1, 0) != 1 || !(entry.revents & POLLERR) || !(entry.revents & POLLHUP)) {
		printf("# poll says 0x%x\n", entry.revents);
		ret = -1;
	}
	close(entry.fd);
	for (int i = 0; i < 3; i++) {
		int fd = victim_open(VICTIM, "data", 0);

		if (i == 0)
			ret |= expect_error("large write", write_on(fd, LARGE), error);
		else
			ret |= expect_error("first read", read_on(fd, i == 1 ? SMALL : LARGE),
					    error);
		close(fd);
	}
	return tell_attack("none") || ret || wait_for_nothing_left("vport0p1") ||
	       is_served(VICTIM, "data");
}

static int fault_eio(void)
{
	return all_calls_end("fault_all", EIO);
}

static int fault_broken_rule(void)
{
	return all_calls_end("fault_full", ECONNRESET);
}

static int fault_naming(void)
{
	int fd, ret;

	if (tell_attack("fault_connect"))
		return -1;
	fd = open(VICTIM, O_RDWR);
	ret = expect_error("naming", write(fd, "data", 4), EIO);
	close(fd);
	return tell_attack("none") || ret || wait_for_nothing_left("vport0p1") ||
	       is_served(VICTIM, "data");
}

/* --- A broken ring: every process of the port gets EIO, and so does every open ---------- */

static int read_small_until_error(int fd)
{
	while (read(fd, io_buf, SMALL) > 0)
		;
	return errno;
}

static int read_large_until_error(int fd)
{
	while (read(fd, io_buf, LARGE) > 0)
		;
	return errno;
}

static int write_large_until_error(int fd)
{
	for (uint64_t at = 0; ; at += LARGE) {
		fill(at, LARGE);
		if (write(fd, io_buf, LARGE) < 0)
			return errno;
	}
}

/* 0 when the process ended, and met EIO. */
static int met_eio(pid_t pid)
{
	uint64_t limit = now_ms() + LIMIT_MS * time_factor;
	int status = 0;

	while (!waitpid(pid, &status, WNOHANG)) {
		if (now_ms() > limit) {
			printf("# process %d waits for ever\n", pid);
			show_stack(pid);
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
		moment();
	}
	if (status != EIO << 8)
		printf("# process %d: status %x\n", pid, status);
	return status == EIO << 8 ? 0 : -1;
}

static int break_ring(const char *attack)
{
	static const struct {
		const char *service;
		int (*run)(int fd);
	} users[] = {
		{ "data", read_small_until_error }, { "data", read_large_until_error },
		{ "data", write_large_until_error }, { "quiet", read_small_until_error },
		{ "quiet", read_large_until_error },
	};
	enum { COUNT = sizeof(users) / sizeof(users[0]) };
	int fds[COUNT], bad = 0, unnamed = open(VICTIM, O_RDWR);
	pid_t pids[COUNT];

	for (int i = 0; i < COUNT; i++)
		fds[i] = victim_open(VICTIM, users[i].service, 0);
	fflush(stdout);
	for (int i = 0; i < COUNT; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(users[i].run(fds[i]));
	}
	if (tell_attack(attack))
		bad++;
	for (int i = 0; i < COUNT; i++)
		bad += met_eio(pids[i]) != 0;
	if (write(unnamed, "data", 5) >= 0 || errno != EIO) {
		printf("# an open from before is named: errno %d\n", errno);
		bad++;
	}
	if (open(VICTIM, O_RDWR) >= 0 || errno != EIO) {
		printf("# an open from after: errno %d\n", errno);
		bad++;
	}
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
	close(unnamed);
	bad += recover() || tell_attack("none") || wait_for_nothing_left("vport0p1");
	return bad;
}

static int broken_ring(void)
{
	return break_ring("id_huge") + break_ring("id_out_of_range") + break_ring("id_twice");
}

const struct play plays[] = {
	{ "broken_ring", broken_ring },
	{ "fault_copied", fault_copied },
	{ "fault_copied_rest", fault_copied_rest },
	{ "fault_eio", fault_eio },
	{ "fault_broken_rule", fault_broken_rule },
	{ "fault_naming", fault_naming },
	{ "orphan_write_shutdown", orphan_write_shutdown },
	{ "orphan_write_write", orphan_write_write },
	{ "orphan_read_read", orphan_read_read },
	{ "shutdown_behind_pages", shutdown_behind_pages },
	{ NULL, NULL },
};
