/* SPDX-License-Identifier: MIT */
/*
 * A small process that starts programs for this one, so that the loop waits for no start.
 *
 * fork() copies page tables, and vfork() waits until the program is read from its file system: both
 * hold the caller up. So the daemon forks at its start, when it has no guest's memory: that copy is
 * the spawner. For each program the spawner forks, which is cheap, and its copy waits in execve().
 * The spawner forks with CLONE_PARENT: a program is the daemon's child, as if the daemon had
 * started it.
 *
 * The daemon has one spawner, from the first exec: service to the end of the last. If the spawner
 * dies, the next program gets another.
 */
#ifndef HOST_SERVICE_SPAWNER_H
#define HOST_SERVICE_SPAWNER_H

#include <stddef.h>
#include <stdint.h>

#include "service/spawner_process.h"

struct loop;

/* Words, each with its NUL, one after the other. */
struct spawn_words {
	char *text;
	size_t len;
	uint32_t count;
};

/* One more, or one less, service that needs it. Returns 0 or -errno. */
int spawner_use(struct loop *loop);
void spawner_drop(void);

/*
 * Asks for a program, with @fds as enum spawn_fd has them; they stay the caller's. What comes of
 * it is in the status pipe. Returns 0, -EAGAIN: not now, or -errno.
 */
int spawner_ask(const struct spawn_words *command, const struct spawn_words *environment,
		const int fds[SPAWN_FDS]);

/*
 * Waits until it has begun all that it was asked for, and has ended. The next program gets another.
 */
void spawner_finish(void);

/* The number of the process, or 0: for tests. */
pid_t spawner_pid(void);

#endif
