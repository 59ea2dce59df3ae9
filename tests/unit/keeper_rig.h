/* SPDX-License-Identifier: MIT */
/*
 * The keeper, with small programs: the test itself, started again with the name of a part. Each
 * writes into a file what it sees, and the test reads it when the keeper has ended.
 */
#ifndef TESTS_UNIT_KEEPER_RIG_H
#define TESTS_UNIT_KEEPER_RIG_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "keep/keep.h"
#include "keep/keeper.h"
#include "keep/store.h"

#define RECORD	(2 * STORE_MAX)

/* What the programs write; inherited by all of them. */
static int record;

static inline void expect(bool is_true, const char *what, int line)
{
	if (is_true)
		return;
	dprintf(record, "line %d: not true: %s (errno %d)\n", line, what, errno);
	_exit(EXIT_SUCCESS);
}
#define EXPECT(what) expect(what, #what, __LINE__)

static inline int count_fds(void)
{
	DIR *list = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(list))
		count++;
	closedir(list);
	return count;
}

static inline int memory(const char *content)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	EXPECT(write(fd, content, strlen(content)) == (ssize_t)strlen(content));
	return fd;
}

/* --- Parts ------------------------------------------------------------------------- */

/* How a life ends. */
static inline void die(int how)
{
	sigset_t none;

	if (how <= 0)
		_exit(-how);
	signal(how, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	raise(how);
	pause();
}

struct part {
	const char *name;		/* NULL: the last one */
	void (*act)(char **args);
};

static inline void play(const struct part *part, char **args)
{
	record = atoi(args[0]);
	log_setup(LOG_LEVEL_ERROR);
	for (; part->name; part++) {
		if (!strcmp(part->name, args[1]))
			part->act(args + 2);
	}
}

/* --- The test ------------------------------------------------------------------------ */

static char words[16][16];
static int given = -1;

static inline pid_t begin(const char *line)
{
	char *args[16] = { "test_keeper", words[0] };
	struct keeper_config config = { .path = "/proc/self/exe", .argv = args, .fd = given };
	int count = 2, before, pid;

	/* Where no descriptor comes to lie that a program gets. */
	pid = memfd_create("record", MFD_CLOEXEC);
	record = fcntl(pid, F_DUPFD, RECORD);
	assert_true(record >= 0);
	close(pid);
	fcntl(record, F_SETFL, O_APPEND);
	snprintf(words[0], sizeof(words[0]), "%d", record);
	for (const char *word = line; *word; word += strcspn(word, " ") + !!strchr(word, ' ')) {
		snprintf(words[count], sizeof(words[0]), "%.*s", (int)strcspn(word, " "), word);
		args[count] = words[count];
		count++;
	}
	config.may_crash = !strncmp(line, "lives", 5);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	log_setup(LOG_LEVEL_ERROR);
	before = count_fds();
	count = keeper_run(&config);
	if (count_fds() != before)
		dprintf(record, "descriptors: %d before, %d after\n", before, count_fds());
	_exit(count);
}

/* Returns its status, and what was recorded. */
static inline int end(pid_t pid, char *text, size_t size)
{
	int status;
	ssize_t len;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	len = pread(record, text, size - 1, 0);
	assert_true(len >= 0);
	text[len] = '\0';
	close(record);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline void expect_play(const char *line, int status, const char *expected)
{
	char text[4096];
	int got = end(begin(line), text, sizeof(text));

	assert_string_equal(text, expected);
	assert_int_equal(got, status);
}

#endif
