// SPDX-License-Identifier: MIT
#include "keep/orphans.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

/* A guest's processes wait as long. */
#define GRACE_MS	200
#define PATIENCE_MS	5000
/* An orphan whose parent has just ended is seen at the next look. */
#define LOOK_MS		5

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

int orphans_adopt(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1) ? -errno : 0;
}

/* A program leads a session of its own: all that is in its group is asked, too. */
static void signal_one(pid_t pid, int number)
{
	kill(pid, number);
	if (getpgid(pid) == pid)
		kill(-pid, number);
}

/* The list is exact: a child leaves it only when we wait for it. */
static void signal_all(int number)
{
	char path[64];
	FILE *list;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	list = fopen(path, "re");
	if (!list) {
		log_limited_here(LOG_LEVEL_WARNING, "cannot end the programs that the daemon left: "
				 "%s: %s", path, strerror(errno));
		return;
	}
	while (fscanf(list, "%d", &pid) == 1)
		signal_one(pid, number);
	fclose(list);
}

/* Returns false when there is no child any more. */
static bool reap(void)
{
	pid_t pid;

	do {
		pid = waitpid(-1, NULL, WNOHANG);
	} while (pid > 0);
	return pid == 0 || errno != ECHILD;
}

static bool is_pending(const sigset_t *stop)
{
	sigset_t pending, both;

	sigpending(&pending);
	sigandset(&both, &pending, stop);
	return !sigisemptyset(&both);
}

/* Until a child ends, or for a moment. */
static void wait_for_child(void)
{
	const struct timespec moment = { .tv_nsec = LOOK_MS * 1000000 };
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigtimedwait(&child, NULL, &moment);
}

bool orphans_end(const sigset_t *stop)
{
	const uint64_t begin = now_ms();
	bool is_told = false;

	if (!reap())
		return true;
	signal_all(SIGTERM);
	while (reap()) {
		uint64_t passed = now_ms() - begin;

		if (stop ? is_pending(stop) : passed >= PATIENCE_MS)
			return false;
		if (passed >= GRACE_MS)
			signal_all(SIGKILL);
		if (passed >= PATIENCE_MS && !is_told) {
			log_warning("programs that the daemon left do not end: it starts after "
				    "them");
			is_told = true;
		}
		wait_for_child();
	}
	return true;
}
