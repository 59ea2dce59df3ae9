// SPDX-License-Identifier: MIT
/* Processes that use the victims in every way while the host lies, until they are killed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <manyport/ioctl.h>

#include "bad_host_guest.h"

static void on_alarm(int signal)
{
	(void)signal;
}

/* Every wait for data or room ends at this signal. */
static void arm_alarm(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval often = { { 0, 20000 }, { 0, 20000 } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

/* A channel, or -1; whatever the error, there is another attempt. */
int victim_open(const char *path, const char *service, int flags)
{
	int fd = open(path, O_RDWR | flags);

	if (fd < 0) {
		moment();
		return -1;
	}
	if (service && write(fd, service, strlen(service)) < 0 && errno != EAGAIN) {
		close(fd);
		return -1;
	}
	return fd;
}

static void use_small(void)
{
	struct manyport_info info;
	int fd = victim_open(VICTIM, "data", 0);
	uint64_t at = 0;

	if (fd < 0)
		return;
	for (int i = 0; i < 20; i++) {
		fill(at, SMALL);
		at += SMALL;
		if (write(fd, io_buf, SMALL) != SMALL || read(fd, io_buf, SMALL) <= 0)
			break;
		ioctl(fd, MANYPORT_IOC_INFO, &info);
	}
	fsync(fd);
	close(fd);
}

static void use_large(const char *path, const char *service, int which)
{
	int fd = victim_open(path, service, 0);
	uint64_t at = 0;
	ssize_t n;

	if (fd < 0)
		return;
	for (int i = 0; i < 4; i++) {
		fill(at, LARGE);
		n = which & 1 ? write(fd, io_buf, LARGE) : 0;
		if (n < 0)
			break;
		at += n;
		if (which & 2 && read(fd, io_buf, LARGE) <= 0)
			break;
	}
	close(fd);
}

static void use_large_write(void)
{
	use_large(VICTIM, "data", 1);
}

static void use_large_read(void)
{
	use_large(VICTIM, "data", 2);
}

static void use_large_both(void)
{
	use_large(VICTIM, "data", 3);
}

static void use_nonblocking(void)
{
	int fd = victim_open(VICTIM, "data", O_NONBLOCK);
	struct pollfd entry = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };

	if (fd < 0)
		return;
	for (int i = 0; i < 30; i++) {
		if (poll(&entry, 1, 20) > 0 && entry.revents & POLLOUT &&
		    write(fd, "data", 5) < 0 && errno != EAGAIN && errno != EINTR)
			break;
		if (entry.revents & POLLIN &&
		    read(fd, io_buf, i & 1 ? SMALL : LARGE) <= 0 && errno != EAGAIN)
			break;
	}
	close(fd);
}

void try_read(int fd, size_t len)
{
	if (read(fd, io_buf, len) < 0)
		return;
}

void try_write(int fd, size_t len)
{
	if (write(fd, io_buf, len) < 0)
		return;
}

/* Waits that only a signal ends: a parked READ, a full service, a cancelled READ. */
static void use_quiet(void)
{
	int fd = victim_open(VICTIM, "quiet", 0);

	if (fd < 0)
		return;
	try_read(fd, SMALL);
	try_read(fd, LARGE);
	try_write(fd, SMALL);
	try_write(fd, LARGE);
	ioctl(fd, MANYPORT_IOC_SHUTDOWN, SHUT_WR);
	try_read(fd, SMALL);
	close(fd);
}

/* Two processes at one channel; the directions are shut down under them. */
static void use_shared(void)
{
	int fd = victim_open(VICTIM, "data", 0);
	pid_t pid;

	if (fd < 0)
		return;
	pid = fork();
	if (!pid) {
		arm_alarm();
		for (int i = 0; i < 10 && read(fd, io_buf, i & 1 ? SMALL : LARGE) > 0; i++)
			;
		_exit(0);
	}
	for (int i = 0; i < 4 && write(fd, io_buf, LARGE) > 0; i++)
		;
	ioctl(fd, MANYPORT_IOC_SHUTDOWN, SHUT_RD);
	ioctl(fd, MANYPORT_IOC_SHUTDOWN, SHUT_WR);
	close(fd);
	if (pid > 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
}

static void use_fixed(void)
{
	int fd = victim_open(FIXED, NULL, 0);
	uint64_t at = 0;
	ssize_t n;

	if (fd < 0)
		return;
	for (int i = 0; i < 10; i++) {
		size_t len = i & 1 ? LARGE : SMALL;

		fill(at, len);
		n = write(fd, io_buf, len);
		at += n > 0 ? n : 0;
		try_read(fd, len);
	}
	close(fd);
}

static void (*const uses[])(void) = {
	use_small, use_large_write, use_large_read, use_large_both, use_nonblocking, use_quiet,
	use_shared, use_fixed,
};
#define USERS (sizeof(uses) / sizeof(uses[0]))

static pid_t users[USERS];

void start_users(void)
{
	fflush(stdout);
	for (size_t i = 0; i < USERS; i++) {
		users[i] = fork();
		if (users[i])
			continue;
		setpgid(0, 0);
		arm_alarm();
		for (;;)
			uses[i]();
	}
}

void show_stack(pid_t pid)
{
	char path[64], text[2048];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		printf("# %s\n", line);
	if (fd >= 0)
		close(fd);
}

/* Returns how many do not die. */
int kill_users(void)
{
	uint64_t limit = now_ms() + LIMIT_MS * time_factor;
	int left = 0;

	for (size_t i = 0; i < USERS; i++) {
		kill(-users[i], SIGKILL);
		kill(users[i], SIGKILL);
	}
	for (size_t i = 0; i < USERS; i++) {
		while (waitpid(users[i], NULL, WNOHANG) == 0 && now_ms() <= limit)
			moment();
		if (!kill(users[i], 0)) {
			printf("# user %zu (process %d) is not killed\n", i, users[i]);
			show_stack(users[i]);
			left++;
		}
	}
	/* Its own child, of use_shared(), is ours now or gone. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return left;
}
