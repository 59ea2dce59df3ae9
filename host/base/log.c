// SPDX-License-Identifier: MIT
/*
 * The log: standard error, one write per line, never waiting.
 *
 * Standard error is often shared with a shell or with other programs, so its
 * open file must not be made non-blocking: that flag would hold for all of them.
 * A socket (the journal) is asked not to wait call by call. A pipe or terminal
 * is opened a second time, which gives an open file of our own. A regular
 * file never waits for a reader and keeps its shared offset. What is left (no
 * /proc, no permission) is asked with poll() first: a line is never longer than
 * PIPE_BUF, so where poll() sees room it fits.
 *
 * A line that finds no room is counted and dropped; the next one that finds
 * room is preceded by the count.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define LINE_SIZE	1024		/* with the newline; below PIPE_BUF */

_Static_assert(LINE_SIZE <= PIPE_BUF, "a line must go into a pipe as a whole");

enum output {
	OUTPUT_POLL,		/* ask poll() before each line */
	OUTPUT_DIRECT,		/* write() does not wait */
	OUTPUT_SOCKET,		/* send() can be told not to wait */
};

static struct {
	enum log_level level;
	enum output output;
	int fd;
	bool journal;		/* lines carry a priority for the journal */
	bool torn;		/* the last line went out without its end */
	uint64_t lost;		/* since the start */
	uint64_t untold;	/* of these, not yet mentioned in the log */
} state = { .level = LOG_LEVEL_INFO, .output = OUTPUT_POLL, .fd = STDERR_FILENO };

/* Is standard error the stream that the service manager made for the journal? */
static bool is_journal(const struct stat *st)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;

	return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 &&
	       dev == (uintmax_t)st->st_dev && ino == (uintmax_t)st->st_ino;
}

static void reopen(void)
{
	int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return;
	state.fd = fd;
	state.output = OUTPUT_DIRECT;
}

void log_setup(enum log_level level)
{
	struct stat st;

	if (state.fd != STDERR_FILENO && state.fd >= 0)
		close(state.fd);
	state.fd = STDERR_FILENO;
	state.output = OUTPUT_POLL;
	state.level = level;
	state.journal = false;
	if (fstat(STDERR_FILENO, &st) < 0) {
		/* Closed: its number will be another file's, which gets no log. */
		state.fd = -1;
		return;
	}
	state.journal = is_journal(&st);
	if (S_ISSOCK(st.st_mode))
		state.output = OUTPUT_SOCKET;
	else if (S_ISREG(st.st_mode))
		state.output = OUTPUT_DIRECT;
	else
		reopen();
}

uint64_t log_lost(void)
{
	return state.lost;
}

static ssize_t put_once(const char *buf, size_t len)
{
	struct pollfd pfd = { .fd = state.fd, .events = POLLOUT };

	if (state.output == OUTPUT_SOCKET)
		return send(state.fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (state.output == OUTPUT_POLL &&
	    (poll(&pfd, 1, 0) != 1 || !(pfd.revents & POLLOUT))) {
		errno = EAGAIN;
		return -1;
	}
	return write(state.fd, buf, len);
}

/* Did the line go out? A part of it counts: the rest has no place to wait. */
static bool put(const char *buf, size_t len)
{
	ssize_t n;

	if (state.torn && put_once("\n", 1) != 1)
		return false;
	state.torn = false;
	do {
		n = put_once(buf, len);
	} while (n < 0 && errno == EINTR);
	state.torn = n > 0 && (size_t)n < len;
	return n > 0;
}

/* One line is one line: what could end or forge one becomes a question mark. */
static void flatten(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
}

static size_t prefix(char *buf, size_t size, enum log_level level)
{
	static const char *const name[] = { "error: ", "warning: ", "", "debug: " };
	static const int priority[] = { 3, 4, 6, 7 };

	if (state.journal)
		return snprintf(buf, size, "<%d>", priority[level]);
	return snprintf(buf, size, "%s: %s", program_invocation_short_name, name[level]);
}

static void put_text(enum log_level level, const char *text)
{
	char line[LINE_SIZE];
	size_t start = prefix(line, sizeof(line) / 2, level), len;
	bool cut;

	if (start >= sizeof(line) / 2)
		start = sizeof(line) / 2 - 1;
	len = strlen(text);
	cut = len > sizeof(line) - 1 - start;
	if (cut)
		len = sizeof(line) - 1 - start;
	memcpy(line + start, text, len);
	flatten(line + start, len);
	if (cut)
		memcpy(line + start + len - 3, "...", 3);
	line[start + len] = '\n';
	if (!put(line, start + len + 1)) {
		state.lost++;
		state.untold++;
	}
}

/* A line of its own for what was lost, once there is room again. */
static void tell_lost(void)
{
	uint64_t before = state.lost, untold = state.untold;
	char text[64];

	snprintf(text, sizeof(text), "%" PRIu64 " log lines were lost", untold);
	state.untold = 0;
	put_text(LOG_LEVEL_WARNING, text);
	if (state.lost == before)
		return;
	/* The note found no room either: it is not counted as a lost line. */
	state.lost = before;
	state.untold = untold;
}

bool log_level_is_on(enum log_level level)
{
	return level <= state.level;
}

void log_line_v(enum log_level level, const char *format, va_list args)
{
	char text[LINE_SIZE + 1];

	if (!log_level_is_on(level) || vsnprintf(text, sizeof(text), format, args) < 0)
		return;
	if (state.untold)
		tell_lost();
	put_text(level, text);
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line_v(level, format, args);
	va_end(args);
}

char *log_escape(char *dst, size_t size, const void *src, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *in = src;
	size_t at = 0;

	if (!size)
		return dst;
	for (size_t i = 0; i < len; i++) {
		bool plain = in[i] >= 0x20 && in[i] < 0x7f && in[i] != '\\' && in[i] != '"';

		if (at + (plain ? 1 : 4) >= size)
			break;
		if (plain) {
			dst[at++] = in[i];
			continue;
		}
		dst[at++] = '\\';
		dst[at++] = 'x';
		dst[at++] = hex[in[i] >> 4];
		dst[at++] = hex[in[i] & 15];
	}
	dst[at] = '\0';
	return dst;
}
