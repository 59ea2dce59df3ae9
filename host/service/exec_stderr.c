// SPDX-License-Identifier: MIT
#include "service/exec_stderr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/record.h"

/* What an ordinary pipe holds; and how long it is left alone when the limit is spent. */
#define READ_BYTES	65536
#define PAUSE_MS	50

static void log_one_line(struct exec_stderr *err)
{
	char text[2 * EXEC_LINE_SIZE];

	if (!err->len)
		return;
	/* Most of the work is the escaping, which a line that is left out does not need. */
	if (log_limit_is_spent(err->limit))
		log_limit_skip(err->limit, LOG_LEVEL_INFO);
	else
		log_limited(err->limit, LOG_LEVEL_INFO, "%s: stderr: %s", err->label,
			    log_escape(text, sizeof(text), err->line, err->len));
	err->len = 0;
}

static void take_bytes(struct exec_stderr *err, const char *bytes, size_t len)
{
	while (len) {
		size_t room = sizeof(err->line) - err->len, part = len < room ? len : room;
		const char *end = memchr(bytes, '\n', part);

		if (end)
			part = end - bytes;
		memcpy(err->line + err->len, bytes, part);
		err->len += part;
		if (end || err->len == sizeof(err->line))
			log_one_line(err);
		part += !!end;
		bytes += part;
		len -= part;
	}
}

/* One read. Returns false at the end. */
static bool take_some(struct exec_stderr *err)
{
	static char bytes[READ_BYTES];
	ssize_t len = read(err->fd, bytes, sizeof(bytes));

	if (len > 0)
		take_bytes(err, bytes, len);
	return len > 0 || (len < 0 && (errno == EAGAIN || errno == EINTR));
}

static void is_ready(struct loop_watch *watch, uint32_t events)
{
	struct exec_stderr *err = container_of(watch, struct exec_stderr, watch);

	(void)events;
	if (!take_some(err)) {
		exec_stderr_close(err);
	} else if (log_limit_is_spent(err->limit)) {
		loop_timer_start(&err->pause, PAUSE_MS);
		loop_watch_remove(&err->watch);
	}
}

static void pause_ends(struct loop_timer *timer)
{
	struct exec_stderr *err = container_of(timer, struct exec_stderr, pause);

	if (loop_watch_add(timer->loop, &err->watch, err->fd, EPOLLIN, is_ready))
		loop_timer_start(timer, PAUSE_MS);
}

int exec_stderr_open(struct exec_stderr *err, struct loop *loop, int fd, const char *label,
		     struct log_limit *limit)
{
	int ret = loop_watch_add(loop, &err->watch, fd, EPOLLIN, is_ready);

	if (ret)
		return ret;
	loop_timer_init(loop, &err->pause, pause_ends);
	err->fd = fd;
	err->label = label;
	err->limit = limit;
	err->len = 0;
	return 0;
}

void exec_stderr_save(struct exec_stderr *err, struct record *record)
{
	size_t len = err->len;

	record_fd(record, err->fd);
	record_bytes(record, err->line, &len);
}

int exec_stderr_restore(struct exec_stderr *err, struct loop *loop, const char *label,
			struct log_limit *limit, struct record *record)
{
	int fd = record_fd(record, -1), ret = 0;
	size_t len = 0;
	char *line = record_bytes(record, NULL, &len);

	if (fd >= 0)
		ret = exec_stderr_open(err, loop, fd, label, limit);
	if (fd >= 0 && ret)
		close(fd);
	if (line && len < sizeof(err->line)) {
		memcpy(err->line, line, len);
		err->len = len;
	}
	free(line);
	return ret;
}

void exec_stderr_close(struct exec_stderr *err)
{
	if (err->fd < 0)
		return;
	take_some(err);
	log_one_line(err);
	loop_timer_stop(&err->pause);
	loop_watch_remove(&err->watch);
	close(err->fd);
	err->fd = -1;
}
