// SPDX-License-Identifier: MIT
/*
 * What one port of a guest does, written down: the same program runs on QEMU's own virtio-serial
 * port and on a fixed port of manyportd, under each driver, and test-classic compares what it says.
 *
 *	manyport-classic CELL PORT [CASE...]
 *
 * prints lines "CELL CASE: KEY = VALUE". Each case is a process, and begins with no client of the
 * host. The host's clients are puppets (host_control.c), which commands on the port "control" move;
 * that port is QEMU's own, on another device. A wait has a limit, after which the value
 * is what there is.
 */
#include "classic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CASE_SECONDS 300
#define LIMIT_MS 60000
#define STAYS_MS 400		/* what has not ended by then waits: the guest alone answers it */

const char *port_name;
static const char *cell, *case_name;
static int control = -1;

void say(const char *key, const char *format, ...)
{
	char line[512];
	va_list args;
	int len = snprintf(line, sizeof(line), "%s %s: %s = ", cell, case_name, key);

	va_start(args, format);
	len += vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	va_end(args);
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	if (write(STDOUT_FILENO, line, len) != len)
		_exit(2);
}

void give_up(const char *what)
{
	say("failed", "%s (%s)", what, strerror(errno));
	_exit(1);
}

const char *result(long ret)
{
	static char text[32];

	if (ret < 0)
		return errno == EINTR ? "waits" : strerrorname_np(errno);
	snprintf(text, sizeof(text), "%ld", ret);
	return text;
}

const char *mask_text(short mask)
{
	static const struct { short bit; const char *name; } names[] = {
		{ POLLIN, "IN" }, { POLLOUT, "OUT" }, { POLLRDHUP, "RDHUP" },
		{ POLLHUP, "HUP" }, { POLLERR, "ERR" }, { POLLNVAL, "NVAL" },
	};
	static char text[64];

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (mask & names[i].bit)
			strcat(strcat(text, *text ? " " : ""), names[i].name);
	return *text ? text : "nothing";
}

/* ---- the host ---- */

static bool control_opens(void *fd)
{
	return (*(int *)fd = open("/dev/virtio-ports/control", O_RDWR | O_CLOEXEC)) >= 0;
}

void host_open(void)
{
	if (!within_limit(control_opens, &control))
		give_up("no port 'control'");
}

void host_close(void)
{
	close(control);
	control = -1;
}

const char *host_try(const char *format, ...)
{
	static char answer[256];
	char line[200];
	size_t got = 0;
	va_list args;
	ssize_t len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 2, format, args);
	va_end(args);
	line[len++] = '\n';
	if (write(control, line, len) != len)
		give_up("no control of the host");
	do {
		len = read(control, answer + got, sizeof(answer) - 1 - got);
		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0)
			give_up("no answer of the host");
		got += len;
	} while (answer[got - 1] != '\n');
	answer[got - 1] = '\0';
	if (strncmp(answer, "ok", 2))
		return NULL;
	return answer[2] ? answer + 3 : "";
}

const char *host(const char *format, ...)
{
	const char *answer;
	char line[160];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	answer = host_try("%s", line);
	if (!answer)
		give_up(line);
	return answer;
}

int host_dials(void)
{
	return atoi(host("dial %s", port_name));
}

/* ---- waits ---- */

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000L + now.tv_nsec / 1000000;
}

/* poll() cannot wait until a bit is gone, nor for what is no file: a nap between two looks. */
bool within_limit(bool (*is_so)(void *), void *arg)
{
	long end = now_ms() + LIMIT_MS;

	while (!is_so(arg)) {
		if (now_ms() > end)
			return false;
		usleep(5000);
	}
	return true;
}

short mask_now(int fd)
{
	struct pollfd polled = { fd, POLLIN | POLLOUT | POLLRDHUP, 0 };

	return poll(&polled, 1, 0) < 0 ? POLLNVAL : polled.revents;
}

struct wanted {
	int fd;
	short set, clear;
};

static bool has_mask(void *arg)
{
	struct wanted *wanted = arg;
	short mask = mask_now(wanted->fd);

	return mask & wanted->set && !(mask & wanted->clear);
}

const char *mask_after(int fd, short set, short clear)
{
	struct wanted wanted = { fd, set, clear };

	within_limit(has_mask, &wanted);
	return mask_text(mask_now(fd));
}

static void at_alarm(int signal_number)
{
	(void)signal_number;
}

/* A call between bounded(true) and bounded(false) fails with EINTR when it waits. */
void bounded(bool on)
{
	struct sigaction action = { .sa_handler = at_alarm };
	struct itimerval timer = { .it_value.tv_usec = on ? STAYS_MS * 1000 : 0,
				   .it_interval.tv_usec = on ? 50000 : 0 };
	int error = errno;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	errno = error;
}

void set_nonblock(int fd, bool on)
{
	fcntl(fd, F_SETFL, on ? O_NONBLOCK : 0);
}

bool is_asleep(void *arg)
{
	char path[64], text[256] = "", *end;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", *(pid_t *)arg);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		give_up("no such process");
	close(fd);
	end = strrchr(text, ')');
	return end && end[2] == 'S';
}

/* Starts a process that makes one call and says how the call ended; it is in the call by then. */
pid_t starts(void (*call)(int fd), int fd)
{
	pid_t pid = fork();

	if (pid < 0)
		give_up("fork");
	if (!pid) {
		alarm(CASE_SECONDS);
		call(fd);
		_exit(0);
	}
	within_limit(is_asleep, &pid);
	return pid;
}

static bool has_ended(void *arg)
{
	return waitpid(*(pid_t *)arg, NULL, WNOHANG) != 0;
}

void ends(const char *who, pid_t pid)
{
	if (within_limit(has_ended, &pid))
		return;
	say(who, "waits on");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- the port ---- */

/* The folder of the port in sysfs, or NULL: one buffer. */
const char *port_folder(void)
{
	static const char *const classes[] = { "/sys/class/virtio-ports", "/sys/class/manyport" };
	static char path[300];
	char file[400], name[100];
	struct dirent *entry;
	ssize_t len;

	for (int i = 0; i < 2; i++) {
		DIR *dir = opendir(classes[i]);

		while (dir && (entry = readdir(dir))) {
			snprintf(path, sizeof(path), "%s/%s", classes[i], entry->d_name);
			snprintf(file, sizeof(file), "%s/name", path);
			int fd = open(file, O_RDONLY | O_CLOEXEC);

			if (fd < 0)
				continue;
			len = read(fd, name, sizeof(name) - 1);
			close(fd);
			name[len > 0 ? len : 0] = '\0';
			name[strcspn(name, "\n")] = '\0';
			if (!strcmp(name, port_name)) {
				closedir(dir);
				return path;
			}
		}
		if (dir)
			closedir(dir);
	}
	return NULL;
}

static bool has_link(void *path)
{
	return port_folder() && !access(path, F_OK);
}

const char *port_path(void)
{
	static char path[128];

	snprintf(path, sizeof(path), "/dev/virtio-ports/%s", port_name);
	within_limit(has_link, path);
	return path;
}

int port_open(int flags)
{
	int fd = open(port_path(), flags | O_CLOEXEC);

	if (fd < 0)
		give_up("the port cannot be opened");
	return fd;
}

static void run(const struct classic_case *entry)
{
	int status;
	pid_t pid;

	case_name = entry->name;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		alarm(CASE_SECONDS);
		host_open();
		host("begin");
		entry->run();
		say("done", "yes");
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		say("ended", "by signal %d", WTERMSIG(status));
}

static bool is_wanted(const char *name, char **names)
{
	bool any = !*names;

	for (; *names; names++)
		any |= !strcmp(*names, name);
	return any;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: %s CELL PORT [CASE...]\n", argv[0]);
		return 2;
	}
	cell = argv[1];
	port_name = argv[2];
	case_name = "start";
	signal(SIGPIPE, SIG_IGN);
	if (!port_folder()) {
		say("port", "none");
		return 0;
	}
	for (const struct classic_case *entry = classic_cases; entry->name; entry++)
		if (is_wanted(entry->name, argv + 3))
			run(entry);
	return 0;
}
