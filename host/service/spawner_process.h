/* SPDX-License-Identifier: MIT */
/*
 * The process that starts programs, as seen from inside; see spawner.h.
 *
 * One message on its socket is one program: a header, then the words of the command, then
 * those of the environment, each with its NUL; and three descriptors.
 */
#ifndef HOST_SERVICE_SPAWNER_PROCESS_H
#define HOST_SERVICE_SPAWNER_PROCESS_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define SPAWN_PATH	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SPAWN_TEXT_MAX	65536	/* of command and environment together */

struct spawn_header {
	uint32_t argc, envc;
};

enum spawn_fd { SPAWN_STDIO, SPAWN_STDERR, SPAWN_STATUS, SPAWN_FDS };

/*
 * What comes out of the status pipe. First the new process says its pid; where there is none the
 * spawner says why, with pid 0. Then the pipe ends: the program runs; or a second message says why
 * it does not.
 */
struct spawn_status {
	pid_t pid;
	int error;
};

/* Serves @fd until its other end is closed. Programs get @files as their RLIMIT_NOFILE. */
void spawner_process_run(int fd, const struct rlimit *files) __attribute__((noreturn));

#endif
