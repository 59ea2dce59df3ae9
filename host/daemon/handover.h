/* SPDX-License-Identifier: MIT */
/*
 * A planned restart: another program goes on in this process, by execve() of the path that this one
 * was started by, with the same arguments. So an upgrade, and a changed configuration, cost no
 * channel of the device.
 *
 * First that program looks at the configuration (--check), while this one serves; if it is not
 * content nothing changes. Then everything stops: roads end, rings pause, channels and services
 * become a record (base/record.h), and the memfd's number goes behind the arguments. The front end
 * is taken over as after a crash (vhost/kept.h). If execve() fails all goes on here.
 */
#ifndef HOST_DAEMON_HANDOVER_H
#define HOST_DAEMON_HANDOVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "loop/loop.h"

struct config;
struct guest;
struct options;
struct record;

struct handover {
	struct loop *loop;
	struct guest *guest;
	const struct config *config;
	const struct options *options;
	char **argv;
	const char *path;
	/* After an execve() that failed: opens the roads again. */
	void (*undone)(void *context);
	void *context;
	pid_t pid;			/* of the look at the configuration; 0: none */
	struct loop_watch watch;	/* of its end */
	struct loop_timer limit;	/* of its time; or until the guest can be paused */
	unsigned int tries;
	bool is_asked_again;		/* while this one was under way */
};

/* Everything in it but what is private to handover.c is set by the caller, or zero. */
void handover_init(struct handover *handover);
/*
 * SIGUSR2 has come. What comes of it is in the log. While a restart is under way: if that one
 * fails another one begins, since the look at the configuration may be older than this signal.
 */
void handover_begin(struct handover *handover);
/* Idempotent. */
void handover_stop(struct handover *handover);

/* --- The program that comes next ------------------------------------------------ */

/*
 * Opens the record at @fd, and takes over what belongs to the process: to be called before services
 * are made. NULL after a message.
 */
struct record *handover_open(int fd);
/* Are the ports the same? If not, says so on stderr. */
bool handover_fits(struct record *record, const struct config *config);
/* All was read that is wanted. Accepts NULL. */
void handover_close(struct record *record);

#endif
