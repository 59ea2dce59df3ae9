/* SPDX-License-Identifier: MIT */
/*
 * A program of an exec: service, from its start until it is reaped.
 *
 * A child outlives its stream: close() is over at once, a program may take
 * longer. It leads a session and process group of its own, and what is left of
 * the group when the stream is closed and the program has ended is killed.
 * The program stays a zombie until then, so that its number, and the number of
 * its group, cannot become somebody else's.
 */
#ifndef HOST_SERVICE_EXEC_CHILD_H
#define HOST_SERVICE_EXEC_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/list.h"
#include "loop/loop.h"

struct log_limit;
struct rlimit;

#define EXEC_LABEL_SIZE 256
#define EXEC_LINE_SIZE	512

struct exec_child {
	struct list link;		/* in the service's list of children */
	struct loop *loop;
	/* Of the service: what a program says must not hide how it ended. */
	struct log_limit *limit, *err_limit;
	pid_t pid;
	int pidfd;
	bool exited, failed;		/* not zero, or by a signal */
	bool released;			/* no stream holds it: it ends on its own */
	void (*exit)(void *context);	/* it has exited; not after release */
	void *context;
	struct loop_watch pid_watch;
	struct loop_watch err_watch;	/* standard error, a pipe */
	int err_fd;
	struct loop_timer kill_timer;
	unsigned int *releasing;	/* the service's count of released children */
	char label[EXEC_LABEL_SIZE];	/* which channel, for the log */
	char line[EXEC_LINE_SIZE];	/* of standard error, not complete yet */
	size_t line_len;
};

/* What to start, and with which end of the socket pair as 0 and 1. */
struct exec_command {
	const char *path;
	char **argv, **envp;
	int stdio;
	const struct rlimit *files;	/* its RLIMIT_NOFILE */
};

/*
 * Starts @command. The caller has set loop, limit, err_limit, exit, context, label and
 * releasing. Returns 0 or -errno.
 */
int exec_child_start(struct exec_child *child, const struct exec_command *command);

/* The stream is closed: the child ends, by force if need be, and frees itself. */
void exec_child_release(struct exec_child *child);

/* Kills all of @children now, waits for them for a bounded time, frees them. */
void exec_child_end_all(struct list *children);

#endif
