/* SPDX-License-Identifier: MIT */
/*
 * Where front ends come in, one at a time: the listening socket, and what becomes of a second
 * front end while one is attached.
 *
 * A VMM that restarts connects right after its forerunner has closed. The loop may see both events
 * in one round, in either order, so a second front end is kept for a few rounds before it is
 * refused. If the first has sent no message yet (a probe, a VMM that hangs), the second is kept
 * longer, and replaces the first when that has been silent for some seconds.
 */
#ifndef HOST_DAEMON_DOOR_H
#define HOST_DAEMON_DOOR_H

#include <stdbool.h>

#include "base/unix_address.h"
#include "loop/acceptor.h"
#include "loop/loop.h"

#define DOOR_WHO_SIZE 64

struct door_ops {
	bool (*is_attached)(void *context);
	bool (*is_silent)(void *context);	/* the attached front end has sent no message yet */
	void (*send_away)(void *context);	/* ends the attached front end */
	void (*let_in)(void *context, int fd);	/* takes @fd; no front end is attached */
};

struct door {
	struct loop *loop;
	const char *name;		/* of the guest, for the log */
	const struct door_ops *ops;
	void *context;
	struct unix_listener listener;
	struct acceptor acceptor;	/* of the listener */
	struct loop_task decide;
	struct loop_timer silence;	/* ends the patience with a first one that is silent */
	uint64_t since_ms;		/* when the attached front end came */
	char who[DOOR_WHO_SIZE];	/* the process that is the attached front end */
	int second;			/* the second front end's socket, or -1 */
	int rounds;			/* of the loop for which @second still waits at least */
};

void door_init(struct door *door, struct loop *loop, const char *name,
	       const struct door_ops *ops, void *context);
/* The front end at the other end of @fd is attached already. */
void door_take_over(struct door *door, int fd);
/* Listens. Returns 0 or -errno. */
int door_open(struct door *door, const char *path, const struct unix_access *access);
/* To be called when the attached front end has gone by itself. */
void door_is_free(struct door *door);
/* Idempotent. */
void door_close(struct door *door);

/* The process at the other end of @fd, in words. Returns @who, of DOOR_WHO_SIZE bytes. */
char *door_who(char *who, int fd);

#endif
