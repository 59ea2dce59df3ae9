/* SPDX-License-Identifier: MIT */
/*
 * The start of one program, from the wish until the program runs or is known not to.
 *
 * Starts are queued, and each round of the loop hands only a few of them to the spawner: however
 * many are queued at once, the loop's other work does not wait for them. The new process writes
 * its number to a status pipe, which closes when the program takes the process over.
 */
#ifndef HOST_SERVICE_EXEC_START_H
#define HOST_SERVICE_EXEC_START_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/list.h"
#include "loop/loop.h"
#include "service/spawner.h"

enum exec_start_state {
	EXEC_START_NONE,	/* not begun, or over */
	EXEC_START_QUEUED,	/* nothing was made yet */
	EXEC_START_ASKED,	/* the spawner has it */
	EXEC_START_BEGUN,	/* there is a process, not yet the program */
};

struct exec_start {
	struct list link;		/* in the queue, while QUEUED */
	enum exec_start_state state;
	struct loop *loop;
	const struct spawn_words *command;
	struct spawn_words environment;	/* freed when it was handed over */
	struct loop_watch watch;	/* of the status pipe, from ASKED on */
	pid_t pid;			/* 0: no process is known; a child of ours */
	int error;
	bool is_aborted;
	/*
	 * Our ends, from ASKED on: the socket that is the program's 0 and 1, and a pipe for its 2.
	 * done() with a program takes them over; otherwise they are closed.
	 */
	int socket, stderr_fd;
	/*
	 * It is over, with 0 or -errno; not from inside exec_start_begin(). A process without a
	 * program has a pid too, and is to be waited for.
	 */
	void (*done)(struct exec_start *start, int error);
};

/* Queues the start of @command, which must stay, in @environment, which becomes its own. */
void exec_start_begin(struct exec_start *start, struct loop *loop,
		      const struct spawn_words *command, struct spawn_words *environment,
		      void (*done)(struct exec_start *start, int error));

struct record;
/* Writes a start in any state. The spawner has finished what it was asked for. */
void exec_start_save(struct exec_start *start, struct record *record);
/* Reads one; as for exec_start_begin(). Returns 0 or -errno: then there is no start. */
int exec_start_restore(struct exec_start *start, struct loop *loop,
		       const struct spawn_words *command,
		       void (*done)(struct exec_start *start, int error), struct record *record);

/*
 * Gives the start up. Returns true when it had not begun, and done() is not called; else done()
 * is called, with an error, when the process that was begun is over.
 */
bool exec_start_abort(struct exec_start *start);

/* Is @pid a process that we started and have not reaped? A number that was read may be anything. */
bool exec_start_is_child(pid_t pid);

/* Waits for the end of what was aborted, *ms at most, and ends it: done() is called. */
void exec_start_wait(struct exec_start *start, int *ms);

#endif
