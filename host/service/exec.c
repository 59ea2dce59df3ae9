// SPDX-License-Identifier: MIT
/*
 * exec:COMMAND runs a program on each channel, with one socket as its
 * standard input and output.
 *
 * The command is split into words when the configuration is read; no shell
 * ever sees it, and nothing of a guest becomes part of it. Who opened the
 * channel, and the argument of its name, are in the environment.
 *
 * The end of a channel is the end of its bytes and the exit of its program:
 * status 0 is an end, anything else a failure behind the last byte.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "service/exec_child.h"
#include "service/leave.h"
#include "service/registry.h"
#include "service/socket_stream.h"
#include "service/text.h"

#define SEARCH_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SEND_BYTES  (1 << 20)

/*
 * Programs that were told to end and have not: beyond this many no other is
 * started, so a guest that opens and closes cannot pile them up.
 */
#define MAX_RELEASING 64

struct exec_service {
	struct mp_service service;
	struct loop *loop;
	const char *name;
	char **words;
	struct rlimit files;		/* as it was when the service was made */
	struct list children;
	unsigned int releasing;
	struct log_limit limit, err_limit;
};

struct exec_stream {
	struct socket_stream socket;	/* first: what the core holds */
	struct exec_service *owner;
	struct exec_child *child;
};

/* --- Environment -------------------------------------------------------- */

#define ENVIRONMENT_MAX 16

struct environment {
	char *list[ENVIRONMENT_MAX + 1];
	int count;
	bool failed;
};

static void __attribute__((format(printf, 2, 3)))
environment_add(struct environment *environment, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (environment->count == ENVIRONMENT_MAX ||
	    vasprintf(&environment->list[environment->count], format, args) < 0) {
		environment->list[environment->count] = NULL;
		environment->failed = true;
	} else {
		environment->list[++environment->count] = NULL;
	}
	va_end(args);
}

/* A number that the guest gave, or nothing where a classic driver gave none. */
static void environment_add_id(struct environment *environment, const char *name, uint32_t id)
{
	if (id == UINT32_MAX)
		environment_add(environment, "%s=", name);
	else
		environment_add(environment, "%s=%" PRIu32, name, id);
}

static void environment_fill(struct environment *environment, const struct mp_opener *opener)
{
	memset(environment, 0, sizeof(*environment));
	environment_add(environment, "PATH=" SEARCH_PATH);
	environment_add(environment, "MANYPORT_GUEST=%s", opener->guest);
	environment_add(environment, "MANYPORT_PORT=%s", opener->port);
	environment_add(environment, "MANYPORT_SERVICE=%s", opener->service);
	environment_add(environment, "MANYPORT_ARGUMENT=%s", opener->argument);
	environment_add(environment, "MANYPORT_CHANNEL=%" PRIu32, opener->channel);
	environment_add(environment, "MANYPORT_COMM=%s", opener->comm);
	environment_add_id(environment, "MANYPORT_UID", opener->uid);
	environment_add_id(environment, "MANYPORT_GID", opener->gid);
	environment_add_id(environment, "MANYPORT_PID", opener->pid);
}

static void environment_free(struct environment *environment)
{
	for (int i = 0; i < environment->count; i++)
		free(environment->list[i]);
}

/* --- Program ------------------------------------------------------------ */

static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

/* Where the program @name lies; @path has @size bytes. Returns 0 or -ENOENT. */
static int find_program(const char *name, char *path, size_t size)
{
	const char *dir = SEARCH_PATH;

	if (strchr(name, '/')) {
		if (strlen(name) >= size)
			return -ENOENT;
		strcpy(path, name);
		return is_program(path) ? 0 : -ENOENT;
	}
	while (*dir) {
		size_t len = strcspn(dir, ":");

		if ((size_t)snprintf(path, size, "%.*s/%s", (int)len, dir, name) < size &&
		    is_program(path))
			return 0;
		dir += len + (dir[len] == ':');
	}
	return -ENOENT;
}

static int start_in(struct exec_service *owner, struct exec_child *child,
		    const struct mp_opener *opener, int stdio)
{
	struct environment environment;
	char path[4096];
	struct exec_command command = { .path = path, .argv = owner->words, .stdio = stdio,
					.files = &owner->files };
	int ret = find_program(owner->words[0], path, sizeof(path));

	if (ret)
		return ret;
	environment_fill(&environment, opener);
	command.envp = environment.list;
	ret = environment.failed ? -ENOMEM : exec_child_start(child, &command);
	environment_free(&environment);
	return ret;
}

/* --- Streams ------------------------------------------------------------ */

static void program_exited(void *context)
{
	struct exec_stream *stream = context;

	/* What readv() held back may be said now. */
	if (stream->socket.owes_readable)
		socket_stream_report_readable(&stream->socket);
}

static ssize_t exec_readv(struct mp_stream *base, const struct iovec *iov, int count)
{
	struct exec_stream *stream = (struct exec_stream *)base;
	ssize_t len = socket_stream_readv(base, iov, count);

	if (len > 0 || len == -EAGAIN || len == -EFAULT)
		return len;
	/*
	 * No more bytes come. A reset only says that the program left input
	 * unread, which is its right: what counts is how it exits.
	 */
	if (!stream->child->exited) {
		stream->socket.owes_readable = true;
		return -EAGAIN;
	}
	return stream->child->failed ? -ECONNRESET : 0;
}

/* The program is told before its input ends: to it a cut must not look like an end. */
static void end_left(void *context, int fd, enum mp_end how)
{
	(void)how;
	exec_child_release(context);
	close(fd);
}

static bool has_exited(void *context)
{
	return ((struct exec_child *)context)->exited;
}

static void nobody_cares(void *context)
{
	(void)context;
}

/* Keeps program and socket until the program has read its input, or, with WHOLE, has exited. */
static bool exec_leave(struct exec_stream *stream, enum mp_end how, const struct mp_place *place)
{
	struct leave leave = {
		.loop = stream->child->loop, .name = stream->owner->name, .fd = stream->socket.fd,
		.how = how, .end = end_left, .has_exited = has_exited, .context = stream->child,
	};

	if (how == MP_END_ABORT || stream->child->exited || !leave_begin(&leave, place))
		return false;
	stream->child->exit = nobody_cares;
	socket_stream_take(&stream->socket);
	return true;
}

static bool exec_close(struct mp_stream *base, enum mp_end how, const struct mp_place *place)
{
	struct exec_stream *stream = (struct exec_stream *)base;
	bool is_kept = place && exec_leave(stream, how, place);

	if (!is_kept) {
		exec_child_release(stream->child);
		socket_stream_detach(&stream->socket, how);
	}
	free(stream);
	return is_kept;
}

static uint64_t exec_backlog(struct mp_stream *base, bool *is_kept)
{
	uint64_t backlog = socket_stream_backlog(base, is_kept);

	*is_kept = false;	/* the program is told to end */
	return backlog;
}

static const struct mp_stream_ops exec_stream_ops = {
	.readv = exec_readv,
	.writev = socket_stream_writev,
	.shutdown = socket_stream_shutdown,
	.close = exec_close,
	.backlog = exec_backlog,
};

/* Which channel, in the core's words. */
static void set_label(char *label, size_t size, const struct mp_opener *opener)
{
	char who[96] = "unknown opener";

	if (opener->uid != UINT32_MAX)
		snprintf(who, sizeof(who), "uid %" PRIu32 ", pid %" PRIu32 ", %s", opener->uid,
			 opener->pid, opener->comm);
	snprintf(label, size, "%s: port %s: channel %" PRIu32 ".%" PRIu32 ": %s (%s)",
		 opener->guest, opener->port, opener->channel, opener->generation, opener->service,
		 who);
}

static struct exec_child *child_create(struct exec_service *owner, struct exec_stream *stream,
				       const struct mp_opener *opener)
{
	struct exec_child *child = calloc(1, sizeof(*child));

	if (!child)
		return NULL;
	child->loop = owner->loop;
	child->limit = &owner->limit;
	child->err_limit = &owner->err_limit;
	child->releasing = &owner->releasing;
	child->exit = program_exited;
	child->context = stream;
	set_label(child->label, sizeof(child->label), opener);
	return child;
}

/* Starts the program and gives @stream its end of the socket pair. Returns 0 or -errno. */
static int exec_start(struct exec_service *owner, struct exec_stream *stream,
		      const struct mp_opener *opener)
{
	const int bytes = SEND_BYTES;
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	/* Room for what one read of a guest can take. */
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	ret = socket_stream_attach(&stream->socket, owner->loop, pair[0]);
	if (ret)
		close(pair[0]);
	else
		ret = start_in(owner, stream->child, opener, pair[1]);
	close(pair[1]);
	return ret;
}

static int exec_open(struct mp_service *service, struct mp_peer *peer,
		     const struct mp_opener *opener, struct mp_stream **result)
{
	struct exec_service *owner = (struct exec_service *)service;
	struct exec_stream *stream;
	int ret = -ENOMEM;

	if (owner->releasing >= MAX_RELEASING)
		return -MP_REASON_BUSY;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return -MP_REASON_BUSY;
	socket_stream_init(&stream->socket, &exec_stream_ops, peer);
	stream->owner = owner;
	stream->child = child_create(owner, stream, opener);
	if (stream->child)
		ret = exec_start(owner, stream, opener);
	if (ret) {
		log_limited(&owner->limit, LOG_LEVEL_WARNING, "service %s: %s: %s", owner->name,
			    owner->words[0], strerror(-ret));
		socket_stream_detach(&stream->socket, MP_END_ABORT);
		free(stream->child);
		free(stream);
		return -(int)socket_reason(-ret);
	}
	list_add_tail(&owner->children, &stream->child->link);
	*result = &stream->socket.stream;
	return 1;
}

static void exec_destroy(struct mp_service *service)
{
	struct exec_service *owner = (struct exec_service *)service;

	exec_child_end_all(&owner->children);
	text_free(owner->words);
	free(owner);
}

static const struct mp_service_ops exec_ops = {
	.open = exec_open,
	.destroy = exec_destroy,
};

struct mp_service *exec_create(struct service_setup *setup, const char *rest)
{
	struct exec_service *owner = calloc(1, sizeof(*owner));
	char path[4096];
	int count = owner ? text_split(rest, &owner->words) : -ENOMEM;

	if (count <= 0) {
		service_fail(setup, count == -ENOMEM ? "out of memory" :
			     count ? "a quote is not closed in '%s'" : "exec: needs a command",
			     rest);
		free(count ? NULL : owner->words);
		free(owner);
		return NULL;
	}
	if (find_program(owner->words[0], path, sizeof(path)))
		service_warn(setup, "there is no program %s", owner->words[0]);
	owner->service.ops = &exec_ops;
	owner->loop = setup->loop;
	owner->name = setup->name;
	list_init(&owner->children);
	getrlimit(RLIMIT_NOFILE, &owner->files);
	return &owner->service;
}
