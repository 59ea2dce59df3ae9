/* SPDX-License-Identifier: MIT */
/*
 * A program of an exec: service, from its start until it is reaped.
 *
 * A child outlives its stream: close() is over at once, a program may take
 * longer. It leads a session and process group of its own, and what is left of
 * the group when the stream is closed and the program has ended is killed.
 * The program stays a zombie until then, so that its number, and the number of
 * its group, cannot become another process's.
 */
#ifndef HOST_SERVICE_EXEC_CHILD_H
#define HOST_SERVICE_EXEC_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include <manyport/service.h>

#include "base/list.h"
#include "base/text.h"
#include "loop/loop.h"
#include "service/exec_start.h"
#include "service/exec_stderr.h"

struct log_limit;

#define EXEC_LABEL_SIZE 256

struct exec_child {
	struct list link;		/* in the service's list of children */
	struct loop *loop;
	/* Of the service: what a program says must not hide how it ended. */
	struct log_limit *limit, *err_limit;
	const struct text_statuses *success;
	struct exec_start start;
	pid_t pid;			/* 0: there is nothing to wait for */
	int pidfd;
	bool is_program;		/* it has started */
	bool exited;
	enum mp_reason failure;		/* how, or NONE: with a status of success */
	bool released;			/* no stream holds it: it ends on its own */
	/*
	 * started(): the program runs, and @socket, which is the callee's from now on, is the other
	 * end of its 0 and 1; or @error is -errno, and there is no program. exit(): the program
	 * has exited. Neither is called after exec_child_release().
	 */
	void (*started)(void *context, int error, int socket);
	void (*exit)(void *context);
	void *context;
	struct loop_watch pid_watch;
	struct exec_stderr err;
	struct loop_timer kill_timer;
	unsigned int *releasing;	/* the service's count of released children */
	char label[EXEC_LABEL_SIZE];	/* which channel, for the log */
};

/* Names the channel as the channel core does in its log lines. */
void exec_child_set_label(struct exec_child *child, const struct mp_opener *opener);

/*
 * Begins to start @command in @environment, which becomes the start's. The caller has set loop,
 * limit, err_limit, success, started, exit, context, label and releasing. A child is over by
 * release only.
 */
void exec_child_start(struct exec_child *child, struct list *children,
		      const struct spawn_words *command, struct spawn_words *environment);

/*
 * Writes a child; reads one, for which the caller has set what exec_child_start() needs but the
 * label. Returns 0 or -errno: then it is freed, and its program killed.
 */
void exec_child_save(struct exec_child *child, struct record *record);
int exec_child_restore(struct exec_child *child, struct list *children,
		       const struct spawn_words *command, struct record *record);

/* The stream is closed: the child ends, by force if need be, and frees itself. */
void exec_child_release(struct exec_child *child);

/* Kills all of @children now, waits for them for a bounded time, frees them. */
void exec_child_end_all(struct list *children);

#endif
