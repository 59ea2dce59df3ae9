// SPDX-License-Identifier: MIT
/* Attacks that need a choreography. */
#include <signal.h>
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
	uint64_t limit = now_ms() + 5000 * time_factor;

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

/* Until @pid sleeps in the kernel, killable (D) or interruptible (S). */
static void wait_until_asleep(pid_t pid)
{
	uint64_t limit = now_ms() + 2000 * time_factor;
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
		if (state == 'S' || state == 'D')
			return;
	} while (now_ms() < limit);
}

static pid_t in_child(int fd, void (*run)(int fd))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	run(fd);
	_exit(0);
}

static void write_large(int fd)
{
	write(fd, io_buf, LARGE);
}

static void read_large(int fd)
{
	read(fd, io_buf, LARGE);
}

static void shut_write(int fd)
{
	ioctl(fd, MANYPORT_IOC_SHUTDOWN, SHUT_WR);
}

/*
 * Two holders of one channel: the host keeps the pages of one, who is killed; the other
 * waits for what becomes of them, and must go on when the answers come.
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

const struct play plays[] = {
	{ "orphan_write_shutdown", orphan_write_shutdown },
	{ "orphan_write_write", orphan_write_write },
	{ "orphan_read_read", orphan_read_read },
};

const size_t play_count = sizeof(plays) / sizeof(plays[0]);
