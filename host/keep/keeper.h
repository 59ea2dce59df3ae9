/* SPDX-License-Identifier: MIT */
/*
 * A service manager for one process: manyportd --keep.
 *
 * The keeper starts a program, holds the descriptors that it sends (keep.h), and starts it again
 * when a signal or a failure has ended it: with these descriptors, and when all that the program
 * has left running has ended. Signals go to the program. What it tells a service manager goes on to
 * the keeper's own, if there is one.
 *
 * A guest may have taken the program over. So the keeper reads of it only what notice.h names, in
 * bounds, and gives it nothing that is not its own.
 */
#ifndef HOST_KEEP_KEEPER_H
#define HOST_KEEP_KEEPER_H

#include <stdbool.h>

struct keeper_config {
	const char *path;		/* of the program */
	char *const *argv;
	int fd;				/* for keeper_is_parent(), the keeper's now; -1: none */
	bool may_crash;			/* as often as it likes */
};

/*
 * Returns the status to exit with: 0, 64 (wrong options) or 78 (wrong configuration), if the
 * program ended with that; its own, if that is a failure and it never was ready; else 1, after a
 * line.
 */
int keeper_run(const struct keeper_config *config);

/* In the program: is this process a keeper's? *fd: where the descriptor is now, or -1. */
bool keeper_is_parent(int *fd);

#endif
