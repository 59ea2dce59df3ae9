// SPDX-License-Identifier: MIT
#include "renderer.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>


#define START_MS	10000	/* until the program listens */
#define TRY_MS		5

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

int renderer_connect(struct renderer *renderer, const char *path)
{
	renderer->pid = 0;
	renderer->fd = connect_to(path);
	if (renderer->fd >= 0)
		return 0;
	warn("%s: no renderer", path);
	return -1;
}

/* Its output is not the client's, and its errors go where ours do. */
static void __attribute__((noreturn))
become_renderer(char **command, pid_t parent, const sigset_t *signals)
{
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigprocmask(SIG_SETMASK, signals, NULL);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0)
		execvp(command[0], command);
	warn("cannot run %s", command[0]);
	_exit(127);
}

/* Nothing tells when the program has begun to listen, but its end is told. */
static int connect_when_it_listens(pid_t pid, const char *path)
{
	struct pollfd ended = { .events = POLLIN };
	int fd = -1;

	ended.fd = pidfd_open(pid, 0);
	for (int waited = 0; ended.fd >= 0 && waited < START_MS; waited += TRY_MS) {
		fd = connect_to(path);
		if (fd >= 0 || (errno != ENOENT && errno != ECONNREFUSED))
			break;
		errno = ETIMEDOUT;
		if (poll(&ended, 1, TRY_MS) > 0) {
			errno = ECHILD;	/* its status says more */
			break;
		}
	}
	if (ended.fd >= 0)
		close(ended.fd);
	return fd;
}

static int start_in(struct renderer *renderer, char **command, int count, const char *folder,
		    const sigset_t *signals)
{
	char path[PATH_MAX], option[PATH_MAX + 16];
	pid_t parent = getpid();

	snprintf(path, sizeof(path), "%s/vtest", folder);
	snprintf(option, sizeof(option), "--socket-path=%s", path);
	command[count] = "--no-loop-or-fork";
	command[count + 1] = option;
	renderer->pid = fork();
	if (!renderer->pid)
		become_renderer(command, parent, signals);
	if (renderer->pid < 0) {
		warn("cannot start %s", command[0]);
		return -1;
	}
	renderer->fd = connect_when_it_listens(renderer->pid, path);
	if (renderer->fd < 0) {
		bool has_ended = errno == ECHILD;

		warn("%s does not listen", command[0]);
		if (!has_ended)
			kill(renderer->pid, SIGKILL);
		renderer_end(renderer);
	}
	unlink(path);
	return renderer->fd < 0 ? -1 : 0;
}

int renderer_start(struct renderer *renderer, char **command, int count)
{
	const char *place = getenv("TMPDIR");
	char folder[PATH_MAX - 16];
	sigset_t all, signals;
	int ret;

	snprintf(folder, sizeof(folder), "%s/manyport-vtest.XXXXXX", place ? place : "/tmp");
	/* A signal to end waits until the folder is removed. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &signals);
	if (mkdtemp(folder)) {
		ret = start_in(renderer, command, count, folder, &signals);
		rmdir(folder);
	} else {
		warn("%s", folder);
		ret = -1;
	}
	sigprocmask(SIG_SETMASK, &signals, NULL);
	return ret;
}

void renderer_stop(struct renderer *renderer)
{
	renderer->is_stopped = renderer->pid && !kill(renderer->pid, SIGKILL);
}

int renderer_end(struct renderer *renderer)
{
	int status;

	if (renderer->fd >= 0)
		close(renderer->fd);
	if (!renderer->pid || waitpid(renderer->pid, &status, 0) < 0 || renderer->is_stopped)
		return 0;
	if (WIFSIGNALED(status))
		warnx("the renderer was ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		warnx("the renderer ended with status %d", WEXITSTATUS(status));
	return status ? -1 : 0;
}
