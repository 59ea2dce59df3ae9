// SPDX-License-Identifier: MIT
/*
 * A daemon that is late: a process stops it for a moment, lets it run for a moment, and so on.
 *
 * A request may then lie at the device for as long as a guest's process needs to do something
 * else. The process that does this is a child, which ends with its parent, and never leaves the
 * daemon stopped.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host_puppet.h"

#define STOPPED_US	10000
#define RUNNING_US	2000

static pid_t child, daemon_pid;

static void leave(int sig)
{
	(void)sig;
	kill(daemon_pid, SIGCONT);
	_exit(0);
}

static void __attribute__((noreturn)) stutter(pid_t parent)
{
	struct sigaction action = { .sa_handler = leave };

	sigaction(SIGTERM, &action, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent)
		_exit(1);
	while (!kill(daemon_pid, SIGSTOP)) {
		usleep(STOPPED_US);
		kill(daemon_pid, SIGCONT);
		usleep(RUNNING_US);
	}
	_exit(0);
}

/* @fd: a connection that the daemon has made. */
bool stutter_begin(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	pid_t self = getpid();

	if (child || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return false;
	daemon_pid = peer.pid;
	child = fork();
	if (!child)
		stutter(self);
	return child > 0;
}

void stutter_end(void)
{
	if (child <= 0)
		return;
	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
	child = 0;
}
