// SPDX-License-Identifier: MIT
/* Runs the tests and reports them. See harness.h. */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_SECONDS 60
#define KILL_MS 30000
#define EXIT_SKIP 77

static struct test *tests;
static int report = -1;			/* where a test's process writes its reasons */

void test_register(struct test *test)
{
	struct test **at = &tests;

	while (*at && (strcmp((*at)->file, test->file) < 0 ||
		       (!strcmp((*at)->file, test->file) && (*at)->line < test->line)))
		at = &(*at)->next;
	test->next = *at;
	*at = test;
}

unsigned int test_slow(void)
{
	const char *text = getenv("TEST_SLOW");
	int factor = text ? atoi(text) : 1;

	return factor > 0 ? factor : 1;
}

/* One write per line: lines of several processes do not mix. */
static void write_line(const char *prefix, const char *format, va_list args)
{
	char line[1024];
	int len = snprintf(line, sizeof(line), "%s", prefix);

	len += vsnprintf(line + len, sizeof(line) - len, format, args);
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	if (write(report, line, len) < 0)
		_exit(2);
}

void test_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line("", format, args);
	va_end(args);
}

void test_fail(const char *file, int line, const char *format, ...)
{
	char prefix[256];
	va_list args;

	snprintf(prefix, sizeof(prefix), "%s:%d: ", file, line);
	va_start(args, format);
	write_line(prefix, format, args);
	va_end(args);
	_exit(1);
}

void test_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line("SKIP ", format, args);
	va_end(args);
	_exit(EXIT_SKIP);
}

pid_t spawn(void (*run)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid < 0)
		FAIL("fork: %s", strerror(errno));
	if (pid)
		return pid;
	run(arg);
	_exit(0);
}

void join_at(const char *file, int line, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			test_fail(file, line, "waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		test_fail(file, line, "process ended by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		test_fail(file, line, "process ended with status %d", WEXITSTATUS(status));
}

void kill_and_wait(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

/* ---- the runner ---- */

static const char *base_name(const struct test *test, char *buf, size_t size)
{
	const char *file = strrchr(test->file, '/');
	int len;

	file = file ? file + 1 : test->file;
	if (!strncmp(file, "test_", 5))
		file += 5;
	len = strcspn(file, ".");
	snprintf(buf, size, "%.*s/%s", len, file, test->name);
	return buf;
}

/* For one test; $TEST_LIMIT is for a developer who knows that something hangs. */
static unsigned int limit_seconds(void)
{
	const char *text = getenv("TEST_LIMIT");

	return text && atoi(text) > 0 ? (unsigned int)atoi(text) : LIMIT_SECONDS * test_slow();
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void print_file(const char *pid, const char *name)
{
	char path[300], text[2048], *line, *rest = text;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
	fd = open(path, O_RDONLY);
	len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = '\0';
	while ((line = strsep(&rest, "\n")))
		if (*line)
			printf("#   %s %s: %s\n", pid, name, line);
}

/* Says where each process of the group sleeps. */
static void print_stacks(pid_t group)
{
	struct dirent *entry;
	DIR *dir = opendir("/proc");

	while (dir && (entry = readdir(dir))) {
		if (atoi(entry->d_name) <= 0 || getpgid(atoi(entry->d_name)) != group)
			continue;
		print_file(entry->d_name, "wchan");
		print_file(entry->d_name, "syscall");
		print_file(entry->d_name, "stack");
	}
	if (dir)
		closedir(dir);
}

/* Takes all children away, those that lost their parent included. */
static bool reap_all(void)
{
	const struct timespec step = { .tv_nsec = 100 * 1000 * 1000 };
	int64_t end = now_ms() + KILL_MS * test_slow();
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0) {
		if (pid)
			continue;
		if (now_ms() > end)
			return false;
		sigtimedwait(&set, NULL, &step);
	}
	return true;
}

static void __attribute__((noreturn)) run_child(const struct test *test, int fd)
{
	sigset_t none;

	report = fd;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	test->run();
	_exit(0);
}

/* Prints what the test says until it ends. Returns false when its time is up. */
static bool follow(int process, int from, char *reason, size_t reason_size)
{
	struct pollfd fds[2] = { { .fd = process, .events = POLLIN },
				 { .fd = from, .events = POLLIN } };
	int64_t end = now_ms() + limit_seconds() * 1000LL, left;
	char text[4096];
	ssize_t len;

	for (;;) {
		left = end - now_ms();
		if (left <= 0)
			return false;
		if (poll(fds, 2, left) < 0)
			continue;
		/* The pipe first: the end of the process comes after its words. */
		if (fds[1].revents) {
			len = read(from, text, sizeof(text) - 1);
			if (len > 0) {
				text[len] = '\0';
				if (!strncmp(text, "SKIP ", 5))
					snprintf(reason, reason_size, "%.*s",
						 (int)strcspn(text + 5, "\n"), text + 5);
				else
					printf("# %s", text);
				fflush(stdout);
				continue;
			}
			fds[1].fd = -1;
		}
		if (fds[0].revents)
			return true;
	}
}

enum outcome { PASSED, FAILED, SKIPPED, STUCK };

static enum outcome run_one(const struct test *test, char *reason, size_t reason_size)
{
	int pipes[2], process, status = 0;
	bool in_time;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC))
		return FAILED;
	fflush(stdout);
	pid = fork();
	if (!pid)
		run_child(test, pipes[1]);
	setpgid(pid, pid);
	close(pipes[1]);
	process = syscall(SYS_pidfd_open, pid, 0);
	in_time = follow(process, pipes[0], reason, reason_size);
	if (!in_time) {
		printf("# not done after %u s:\n", limit_seconds());
		print_stacks(pid);
	} else {
		waitpid(pid, &status, 0);
	}
	kill(-pid, SIGKILL);
	close(process);
	close(pipes[0]);
	if (!reap_all()) {
		print_stacks(pid);
		return STUCK;
	}
	if (in_time && WIFSIGNALED(status))
		printf("# ended by signal %d\n", WTERMSIG(status));
	if (!in_time || !WIFEXITED(status))
		return FAILED;
	return WEXITSTATUS(status) == EXIT_SKIP ? SKIPPED : WEXITSTATUS(status) ? FAILED : PASSED;
}

static bool is_wanted(const char *name, char **filters)
{
	bool wanted = !*filters || **filters == '^';

	for (; *filters; filters++) {
		if (**filters != '^')
			wanted |= !strncmp(name, *filters, strlen(*filters));
		else if (!strncmp(name, *filters + 1, strlen(*filters + 1)))
			return false;
	}
	return wanted;
}

static int run_all(char **filters)
{
	unsigned int count = 0, failed = 0, skipped = 0;
	char name[128], reason[256];
	enum outcome outcome;
	int64_t begin;

	for (struct test *test = tests; test; test = test->next)
		count += is_wanted(base_name(test, name, sizeof(name)), filters);
	printf("TAP version 13\n1..%u\n", count);
	count = 0;
	for (struct test *test = tests; test; test = test->next) {
		if (!is_wanted(base_name(test, name, sizeof(name)), filters))
			continue;
		begin = now_ms();
		reason[0] = '\0';
		outcome = run_one(test, reason, sizeof(reason));
		failed += outcome == FAILED || outcome == STUCK;
		skipped += outcome == SKIPPED;
		printf("%sok %u - %s", outcome == FAILED || outcome == STUCK ? "not " : "",
		       ++count, name);
		if (outcome == SKIPPED)
			printf(" # SKIP %s", reason);
		printf(" # %lld ms\n", (long long)(now_ms() - begin));
		if (outcome == STUCK) {
			printf("Bail out! a process cannot be killed\n");
			return 1;
		}
	}
	printf("# %u run, %u failed, %u skipped\n", count, failed, skipped);
	return failed || !count ? 1 : 0;
}

int main(int argc, char **argv)
{
	char name[128];
	sigset_t set;

	if (argc > 1 && !strcmp(argv[1], "--list")) {
		for (struct test *test = tests; test; test = test->next)
			puts(base_name(test, name, sizeof(name)));
		return 0;
	}
	if (argc > 1 && argv[1][0] == '-') {
		printf("usage: %s [--list] [FILE[/NAME]|^FILE[/NAME]...]\n", argv[0]);
		return strcmp(argv[1], "--help") ? 2 : 0;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	/*
	 * The guest has a serial device for each of the two, and nothing orders their bytes: what a
	 * command said would come in the middle of a line of TAP.
	 */
	dup2(STDOUT_FILENO, STDERR_FILENO);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return run_all(argv + 1);
}
