/* SPDX-License-Identifier: MIT */
/* The service under test is an exec: one, whose programs end with it. */
#ifndef TESTS_UNIT_PROGRAMS_END_H
#define TESTS_UNIT_PROGRAMS_END_H

#include "service_rig.h"

#include <signal.h>
#include <sys/wait.h>

#define END_MS 300	/* exec_child.c */

/*
 * How long the end of a service takes at least where a child may be left: it waits END_MS for the
 * programs to end by SIGTERM, and so long again for them to end by SIGKILL. Before that it waits
 * END_MS for starts that are under way; what such a start makes later it does not know of.
 */
static uint64_t leaves_after_ms = 2 * END_MS;

static struct mp_service *service;

static inline uint64_t real_ms(void)
{
	struct timespec ts;

	assert_int_equal(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts), 0);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static inline void kill_children(void)
{
	char path[64];
	FILE *list;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	list = fopen(path, "re");
	assert_non_null(list);
	while (fscanf(list, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	fclose(list);
}

/* Ends the service: no child is left, but where the machine was slower than the limits. */
static inline void end_service(void)
{
	uint64_t begin = real_ms(), took;
	pid_t pid;

	service_destroy(service);
	service = NULL;
	took = real_ms() - begin;
	while (!(pid = waitpid(-1, NULL, WNOHANG)) || pid > 0) {
		if (took < leaves_after_ms)
			fail_msg("a child is left after %d ms", (int)took);
		if (real_ms() - begin > RIG_LIMIT_MS)
			fail_msg("a child lives on");
		kill_children();
		usleep(1000);
	}
	assert_int_equal(errno, ECHILD);
}

#endif
