/* SPDX-License-Identifier: MIT */
/*
 * The standard error of a program: a pipe whose lines go to the log, limited and escaped.
 *
 * While the limit has nothing left, the pipe is read slowly: a program that floods it waits for
 * room in the pipe, and costs next to nothing here. One that only says much is not held up.
 */
#ifndef HOST_SERVICE_EXEC_STDERR_H
#define HOST_SERVICE_EXEC_STDERR_H

#include <stddef.h>

#include "loop/loop.h"

struct log_limit;

#define EXEC_LINE_SIZE 512

struct exec_stderr {
	struct loop_watch watch;	/* fd -1: over */
	struct loop_timer pause;
	int fd;				/* or -1 */
	const char *label;		/* which program, for the log */
	struct log_limit *limit;
	char line[EXEC_LINE_SIZE];	/* not complete yet */
	size_t len;
};

/* Reads @fd, which it owns from a return of 0 on. Returns 0 or -errno. */
int exec_stderr_open(struct exec_stderr *err, struct loop *loop, int fd, const char *label,
		     struct log_limit *limit);

struct record;
void exec_stderr_save(struct exec_stderr *err, struct record *record);
/* Reads that; @err has fd -1, and what it needs as for exec_stderr_open(). Returns 0 or -errno. */
int exec_stderr_restore(struct exec_stderr *err, struct loop *loop, const char *label,
			struct log_limit *limit, struct record *record);

/* Takes what is left in the pipe, and closes it. Idempotent. */
void exec_stderr_close(struct exec_stderr *err);

#endif
