// SPDX-License-Identifier: MIT
/* The host's side, as a test moves it. See channel.h and host_control.c. */
#include "channel.h"

#include <stdarg.h>

static char answer[256];

/* One control channel per process: a forked one makes its own. */
static int control_fd(bool *is_first)
{
	static int fd = -1;
	static pid_t owner, test;

	if (!test)
		test = getpgrp();
	*is_first = fd < 0 && getpid() == test;
	if (fd < 0 || owner != getpid()) {
		fd = channel_open("control", 0);
		owner = getpid();
	}
	return fd;
}

static void ask(int fd, const char *line, size_t len)
{
	size_t got = 0;
	ssize_t ret;

	write_all(fd, line, len);
	for (;;) {
		ret = read(fd, answer + got, sizeof(answer) - 1 - got);
		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0)
			FAIL("the host's side has gone: %zd, errno %d", ret, errno);
		got += ret;
		answer[got] = '\0';
		if (answer[got - 1] == '\n')
			break;
	}
	answer[got - 1] = '\0';
}

static const char *ctl_line(char *line, size_t len)
{
	bool is_first;
	int fd = control_fd(&is_first);

	if (is_first)
		ask(fd, "begin\n", 6);
	line[len++] = '\n';
	ask(fd, line, len);
	return !strncmp(answer, "ok", 2) ? answer + 2 + (answer[2] == ' ') : NULL;
}

const char *ctl_try(const char *format, ...)
{
	char line[200];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 2, format, args);
	va_end(args);
	return ctl_line(line, len);
}

const char *ctl(const char *format, ...)
{
	char line[200];
	const char *text;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 2, format, args);
	va_end(args);
	text = ctl_line(line, len);
	if (!text)
		FAIL("'%.*s' was answered '%s'", len, line, answer);
	return text;
}

void barrier(void)
{
	ctl("count");
}

unsigned int puppet_next(void)
{
	return atoi(ctl("count"));
}

void puppet_await(unsigned int index)
{
	ctl("accepted %u", index + 1);
}

static void begin(void *arg)
{
	(void)arg;
	ctl("begin");
}

void puppets_forget(void)
{
	JOIN(spawn(begin, NULL));
}

struct puppet puppet_open_at(const char *service, int flags)
{
	struct puppet puppet = { .index = puppet_next() };

	puppet.fd = channel_open(service, flags);
	puppet_await(puppet.index);
	return puppet;
}

struct puppet puppet_open(int flags)
{
	return puppet_open_at("puppet", flags);
}

void expect_arrived(const struct puppet *puppet, uint64_t len, uint64_t seed)
{
	char wanted[80];
	const char *text;

	snprintf(wanted, sizeof(wanted), "%llu end good", (unsigned long long)len);
	ctl("expect %u %llu", puppet->index, (unsigned long long)seed);
	ctl("read %u all", puppet->index);
	text = ctl("eof %u", puppet->index);
	if (strcmp(text, wanted))
		FAIL("the host got '%s', expected '%s'", text, wanted);
}

uint64_t expect_over(const struct puppet *puppet, uint64_t seed, const char *how)
{
	unsigned long long count;
	char wanted[80];
	const char *text;

	ctl("expect %u %llu", puppet->index, (unsigned long long)seed);
	ctl("read %u all", puppet->index);
	text = ctl("eof %u", puppet->index);
	count = strtoull(text, NULL, 10);
	snprintf(wanted, sizeof(wanted), "%llu %s good", count, how);
	if (strcmp(text, wanted))
		FAIL("the host got '%s', expected '%s'", text, wanted);
	return count;
}

void expect_got(const struct puppet *puppet, uint64_t len, uint64_t seed)
{
	char wanted[80];
	const char *text;

	snprintf(wanted, sizeof(wanted), "%llu good", (unsigned long long)len);
	ctl("expect %u %llu", puppet->index, (unsigned long long)seed);
	ctl("read %u all", puppet->index);
	text = ctl("got %u %llu", puppet->index, (unsigned long long)len);
	if (strcmp(text, wanted))
		FAIL("the host got '%s', expected '%s'", text, wanted);
}
