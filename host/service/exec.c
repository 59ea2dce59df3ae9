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
#include <unistd.h>

#include "base/log.h"
#include "base/record.h"
#include "base/text.h"
#include "service/exec_budget.h"
#include "service/exec_child.h"
#include "service/exec_command.h"
#include "service/exec_environment.h"
#include "service/leave.h"
#include "service/setup.h"
#include "service/socket_stream.h"
#include "service/spawner.h"

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
	struct exec_budget budget;
	unsigned int releasing;
	struct log_limit limit, err_limit;
};

struct exec_stream {
	struct socket_stream socket;	/* first: what the core holds */
	struct exec_service *owner;
	struct exec_child *child;
};

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

static void save_left(void *context, int fd, struct record *record)
{
	socket_stream_save_taken(fd, record);
	exec_child_save(context, record);
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
		.kind = "exec", .save = save_left,
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

static void exec_save(struct mp_stream *base, struct record *record)
{
	socket_stream_save(base, record);
	exec_child_save(((struct exec_stream *)base)->child, record);
}

static const struct mp_stream_ops exec_stream_ops = {
	.readv = exec_readv,
	.writev = socket_stream_writev,
	.shutdown = socket_stream_shutdown,
	.close = exec_close,
	.backlog = exec_backlog,
	.reason = exec_reason,
	.kind = "exec",
	.save = exec_save,
};

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

/* @stream: NULL when it is released. */
static struct exec_child *child_create(struct exec_service *owner, struct exec_stream *stream)
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
	if (!exec_budget_take(&owner->budget, loop_now(owner->loop))) {
		log_limited(&owner->limit, LOG_LEVEL_WARNING,
			    "service %s: more than MaxStartsPerSec=%u", owner->name,
			    owner->budget.per_sec);
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
	stream->child = child_create(owner, stream);
	if (!stream->child || exec_environment_make(&environment, opener)) {
		log_failure(owner, ENOMEM);
		free(stream->child);
		free(stream);
		return -MP_REASON_BUSY;
	}
	exec_child_set_label(stream->child, opener);
	exec_child_start(stream->child, &owner->children, &owner->command, &environment);
	*result = &stream->socket.stream;
	return 0;
}

/* --- Handing over ------------------------------------------------------- */

static int exec_restore(struct mp_service *service, struct mp_peer *peer, struct record *record,
			struct mp_stream **result)
{
	struct exec_service *owner = (struct exec_service *)service;
	struct exec_stream *stream = calloc(1, sizeof(*stream));
	struct exec_child *child = stream ? child_create(owner, stream) : NULL;
	int ret;

	if (!child) {
		free(stream);
		return -MP_REASON_BUSY;
	}
	socket_stream_init(&stream->socket, &exec_stream_ops, peer, owner->name);
	stream->owner = owner;
	ret = socket_stream_restore(&stream->socket, owner->loop, record);
	if (exec_child_restore(child, &owner->children, &owner->command, record))
		child = NULL;
	/* A start that is under way has the socket. */
	if (child && (ret == 1) == (child->start.state == EXEC_START_NONE)) {
		stream->child = child;
		*result = &stream->socket.stream;
		return ret;
	}
	if (child)
		exec_child_release(child);
	socket_stream_detach(&stream->socket, MP_END_ABORT);
	free(stream);
	return -MP_REASON_RESET;
}

#define FRAME_CHILD 0x4348

/* The programs that no stream has any more, and how many may be started. */
static void exec_hand_over(struct mp_service *service, struct record *record)
{
	struct exec_service *owner = (struct exec_service *)service;
	struct list *link;

	exec_budget_hand_over(&owner->budget, record);
	list_for_each(link, &owner->children) {
		struct exec_child *child = list_entry(link, struct exec_child, link);

		if (record_is_reading(record) || !child->released)
			continue;
		record_begin(record, FRAME_CHILD);
		exec_child_save(child, record);
		record_end(record);
	}
	while (record_is_reading(record) && record_begin(record, FRAME_CHILD)) {
		struct exec_child *child = child_create(owner, NULL);

		if (child && !exec_child_restore(child, &owner->children, &owner->command,
						 record) && !child->released)
			exec_child_release(child);
		record_end(record);
	}
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
	.restore = exec_restore,
	.hand_over = exec_hand_over,
	.destroy = exec_destroy,
};

/* --- The service -------------------------------------------------------- */

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
		service_fail(setup, "the command is longer than %d bytes", EXEC_COMMAND_MAX);
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
	int ret = owner ? exec_command_make(&owner->command, rest) : -ENOMEM;

	if (!ret && !setup->check_only)
		ret = spawner_use(setup->loop);
	if (ret)
		return fail(setup, owner, ret, rest);
	if (!exec_command_is_found(owner->command.text))
		service_warn(setup, "there is no program %s", owner->command.text);
	owner->service.ops = &exec_ops;
	owner->loop = setup->loop;
	owner->name = setup->name;
	owner->has_spawner = !setup->check_only;
	owner->success = setup->success;
	exec_budget_init(&owner->budget, setup->starts_per_sec ? setup->starts_per_sec :
			 SERVICE_STARTS_PER_SEC, loop_now(setup->loop));
	list_init(&owner->children);
	return &owner->service;
}
