// SPDX-License-Identifier: MIT
/*
 * Writes what the tasks of a guest that hangs wait for into the kernel's log. The
 * source is /proc, since sysrq ends User Mode Linux 6.1; /proc/PID/wchan is not
 * read, since KASAN of User Mode Linux complains about that read.
 */
#define _GNU_SOURCE
#include "watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char text[256];
	va_list args;
	size_t len;

	strcpy(text, "<4>world: ");
	len = strlen(text);
	va_start(args, format);
	vsnprintf(text + len, sizeof(text) - len, format, args);
	va_end(args);
	if (log < 0 || write(log, text, strlen(text)) < 0)
		_exit(1);
	close(log);
}

/* Reads a short file of a task, NUL-ended. @text is empty when the file cannot be read. */
static void read_task(char *text, size_t size, int task, const char *name)
{
	char path[64];
	ssize_t len = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", task, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		len = read(fd, text, size - 1);
		close(fd);
	}
	text[len > 0 ? len : 0] = '\0';
}

static void show_task(int task)
{
	char stat[512], stack[4096], command[2];
	char *line, *rest = stack, *state;

	read_task(command, sizeof(command), task, "cmdline");
	read_task(stat, sizeof(stat), task, "stat");
	state = strrchr(stat, ')');
	if (!state || strlen(state) < 3)
		return;
	state += 2;
	/* A thread of the kernel has no command line: it is shown only when it cannot wake (D). */
	if (!*command && *state != 'D')
		return;
	read_task(stack, sizeof(stack), task, "stack");
	state[1] = '\0';
	say("task %s\n", stat);
	while ((line = strsep(&rest, "\n")))
		if (*line)
			say("  %s\n", line);
}

/* Shows all threads of @process, or with 0 all processes and their threads. */
static void show_tasks_in(const char *folder, int process)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[64];
	int task;

	while (dir && (entry = readdir(dir))) {
		task = atoi(entry->d_name);
		if (task <= 0 || task == getpid())
			continue;
		if (process) {
			show_task(task);
		} else {
			snprintf(path, sizeof(path), "/proc/%d/task", task);
			show_tasks_in(path, task);
		}
	}
	if (dir)
		closedir(dir);
}

int watch_start(int seconds)
{
	struct timespec end = { .tv_sec = seconds };
	pid_t child;

	if (!seconds)
		return 0;
	child = fork();
	if (child)
		return child < 0 ? -1 : 0;
	prctl(PR_SET_NAME, "watch");
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
	say("the time is up, the tasks are\n");
	show_tasks_in("/proc", 0);
	reboot(RB_POWER_OFF);
	_exit(0);
}
