// SPDX-License-Identifier: MIT
/*
 * exec:COMMAND runs a program on each channel, with one socket as its
 * standard input and output.
 *
 * The command is split into words when the configuration is read; no shell
 * ever sees it, and nothing of a guest becomes part of it. The channel's opener
 * and the argument of its name are in the environment.
 *
 * A channel ends when its bytes have ended and its program has exited. A status
 * of success (0 always is one) is an end, any other a failure after the last byte.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "service/exec_child.h"
#include "service/exec_environment.h"
#include "service/leave.h"
#include "service/setup.h"
#include "service/socket_stream.h"
#include "service/spawner.h"

#define MS_PER_SEC	1000
#define BURST_MS	10000	/* unused starts are saved up for at most so long */
#define COMMAND_MAX	(SPAWN_TEXT_MAX / 2)	/* the rest is for the environment */

/*
 * How many programs may be told to end and not have ended yet. With more no other program is
 * started: a guest that opens and closes channels could pile them up otherwise.
 */
#define MAX_RELEASING	64

struct exec_service {
	struct mp_service service;
	struct loop *loop;
	const char *name;
	struct spawn_words command;
	struct text_statuses success;
	struct list children;
	bool has_spawner;
	uint32_t starts_per_sec;
	uint64_t starts;		/* starts that are left, in thousandths */
	uint64_t filled_ms;
	unsigned int releasing;
	struct log_limit limit, err_limit;
};

struct exec_stream {
	struct socket_stream socket;	/* first: what the core holds */
	struct exec_service *owner;
	struct exec_child *child;
};

/* --- Limit of starts ---------------------------------------------------- */

/* Takes one start from the service's budget. False when none is left. */
static bool take_start(struct exec_service *owner)
{
	uint64_t now = loop_now(owner->loop), most = (uint64_t)owner->starts_per_sec * BURST_MS;
	uint64_t elapsed = now - owner->filled_ms;

	owner->filled_ms = now;
	owner->starts = elapsed < BURST_MS ?
			owner->starts + elapsed * owner->starts_per_sec : most;
	if (owner->starts > most)
		owner->starts = most;
	if (owner->starts < MS_PER_SEC)
		return false;
	owner->starts -= MS_PER_SEC;
	return true;
}

/* --- Streams ------------------------------------------------------------ */

static void program_exited(void *context)
{
	struct exec_stream *stream = context;

	/* exec_readv() gave -EAGAIN instead of the end until now. */
	if (stream->socket.fd >= 0 && stream->socket.owes_readable)
		socket_stream_report_readable(&stream->socket);
}

static ssize_t exec_readv(struct mp_stream *base, const struct iovec *iov, int count)
{
	struct exec_stream *stream = (struct exec_stream *)base;
	ssize_t len = socket_stream_readv(base, iov, count);

	if (len > 0 || len == -EAGAIN || len == -EFAULT || stream->socket.is_broken)
		return len;
	/*
	 * No more bytes come. A reset means only that the program left input unread, which it
	 * may do: whether the channel ends or fails depends on how the program exits.
	 */
	if (!stream->child->exited) {
		stream->socket.owes_readable = true;
		return -EAGAIN;
	}
	return stream->child->failure ? -ECONNRESET : 0;
}

static enum mp_reason exec_reason(struct mp_stream *base)
{
	const struct exec_stream *stream = (const struct exec_stream *)base;

	/* Without an exit that failed it is what the socket met. */
	return stream->child->failure && !stream->socket.is_broken ? stream->child->failure :
								     MP_REASON_RESET;
}

/* SIGTERM comes before the end of input: the program must not take cut input for the whole. */
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

	if (how == MP_END_ABORT || !stream->child->is_program || stream->child->exited ||
	    !leave_begin(&leave, place))
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

	*is_kept = false;	/* close() ends the program by SIGTERM */
	return backlog;
}

static const struct mp_stream_ops exec_stream_ops = {
	.readv = exec_readv,
	.writev = socket_stream_writev,
	.shutdown = socket_stream_shutdown,
	.close = exec_close,
	.backlog = exec_backlog,
	.reason = exec_reason,
};

/* Names the channel as the device core does in its log lines. */
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

static void log_failure(struct exec_service *owner, int error)
{
	log_limited(&owner->limit, LOG_LEVEL_WARNING, "service %s: %s: %s", owner->name,
		    owner->command.text, strerror(error));
}

/* The reason that the guest is told. A file that may not be executed counts as no program. */
static enum mp_reason start_reason(int error)
{
	enum mp_reason reason = socket_reason(error);

	return reason == MP_REASON_DENIED ? MP_REASON_NOT_LISTENING : reason;
}

static void program_started(void *context, int error, int socket)
{
	struct exec_stream *stream = context;
	struct mp_peer *peer = stream->socket.peer;

	if (!error) {
		error = socket_stream_attach(&stream->socket, stream->owner->loop, socket);
		if (error)
			close(socket);
	}
	if (!error) {
		peer->ops->connected(peer);
		return;
	}
	log_failure(stream->owner, -error);
	peer->ops->refused(peer, start_reason(-error));
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
	child->success = &owner->success;
	child->releasing = &owner->releasing;
	child->started = program_started;
	child->exit = program_exited;
	child->context = stream;
	set_label(child->label, sizeof(child->label), opener);
	return child;
}

static bool may_start(struct exec_service *owner)
{
	if (owner->releasing >= MAX_RELEASING) {
		log_limited(&owner->limit, LOG_LEVEL_WARNING,
			    "service %s: %u programs were told to end and have not", owner->name,
			    owner->releasing);
		return false;
	}
	if (!take_start(owner)) {
		log_limited(&owner->limit, LOG_LEVEL_WARNING,
			    "service %s: more than MaxStartsPerSec=%u", owner->name,
			    owner->starts_per_sec);
		return false;
	}
	return true;
}

static int exec_open(struct mp_service *service, struct mp_peer *peer,
		     const struct mp_opener *opener, struct mp_stream **result)
{
	struct exec_service *owner = (struct exec_service *)service;
	struct spawn_words environment;
	struct exec_stream *stream;

	if (!may_start(owner))
		return -MP_REASON_BUSY;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return -MP_REASON_BUSY;
	socket_stream_init(&stream->socket, &exec_stream_ops, peer, owner->name);
	stream->owner = owner;
	stream->child = child_create(owner, stream, opener);
	if (!stream->child || exec_environment_make(&environment, opener)) {
		log_failure(owner, ENOMEM);
		free(stream->child);
		free(stream);
		return -MP_REASON_BUSY;
	}
	exec_child_start(stream->child, &owner->children, &owner->command, &environment);
	*result = &stream->socket.stream;
	return 0;
}

static void exec_destroy(struct mp_service *service)
{
	struct exec_service *owner = (struct exec_service *)service;

	exec_child_end_all(&owner->children);
	if (owner->has_spawner)
		spawner_drop();
	free(owner->command.text);
	free(owner);
}

static const struct mp_service_ops exec_ops = {
	.open = exec_open,
	.destroy = exec_destroy,
};

/* --- The service -------------------------------------------------------- */

static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

/* Is there a program @name, as things are? */
static bool is_found(const char *name)
{
	const char *dir = SPAWN_PATH;
	char path[4096];

	if (strchr(name, '/'))
		return is_program(name);
	while (*dir) {
		size_t len = strcspn(dir, ":");

		if ((size_t)snprintf(path, sizeof(path), "%.*s/%s", (int)len, dir, name) <
		    sizeof(path) && is_program(path))
			return true;
		dir += len + (dir[len] == ':');
	}
	return false;
}

/* Puts the words of @text after one another. Returns 0, or -ENOENT: there is none, or -errno. */
static int make_command(struct spawn_words *command, const char *text)
{
	char **words;
	int count = text_split(text, &words), ret = 0;

	if (count < 0)
		return count;
	/* Splitting makes nothing longer, but for the NUL after the last word. */
	command->text = malloc(strlen(text) + 1);
	if (!command->text)
		ret = -ENOMEM;
	for (int i = 0; i < count && !ret; i++) {
		memcpy(command->text + command->len, words[i], strlen(words[i]) + 1);
		command->len += strlen(words[i]) + 1;
	}
	command->count = count;
	text_free(words);
	if (!ret && !count)
		ret = -ENOENT;
	return !ret && command->len > COMMAND_MAX ? -E2BIG : ret;
}

static struct mp_service *fail(struct service_setup *setup, struct exec_service *owner, int error,
			       const char *rest)
{
	switch (error) {
	case -EINVAL:
		service_fail(setup, "a quote is not closed in '%s'", rest);
		break;
	case -ENOENT:
		service_fail(setup, "exec: needs a command");
		break;
	case -E2BIG:
		service_fail(setup, "the command is longer than %d bytes", COMMAND_MAX);
		break;
	default:
		service_fail(setup, "%s", strerror(-error));
	}
	if (owner)
		free(owner->command.text);
	free(owner);
	return NULL;
}

struct mp_service *exec_create(struct service_setup *setup, const char *rest)
{
	struct exec_service *owner = calloc(1, sizeof(*owner));
	int ret = owner ? make_command(&owner->command, rest) : -ENOMEM;

	if (!ret && !setup->check_only)
		ret = spawner_use(setup->loop);
	if (ret)
		return fail(setup, owner, ret, rest);
	if (!is_found(owner->command.text))
		service_warn(setup, "there is no program %s", owner->command.text);
	owner->service.ops = &exec_ops;
	owner->loop = setup->loop;
	owner->name = setup->name;
	owner->has_spawner = !setup->check_only;
	owner->success = setup->success;
	owner->starts_per_sec = setup->starts_per_sec ? setup->starts_per_sec :
				SERVICE_STARTS_PER_SEC;
	owner->starts = (uint64_t)owner->starts_per_sec * BURST_MS;
	owner->filled_ms = loop_now(setup->loop);
	list_init(&owner->children);
	return &owner->service;
}
