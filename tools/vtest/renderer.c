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
#define STAY_MS		5000	/* behind its connection's end, and again behind SIGTERM */
#define NOT_RUN		127	/* a shell's status, too: the last words say all */

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
	warn("no renderer: %s", path);
	return -1;
}

/* Its output is not the client's, and its errors go to @words. */
static void __attribute__((noreturn))
become_renderer(char **command, pid_t parent, int words, const sigset_t *signals)
{
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigprocmask(SIG_SETMASK, signals, NULL);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
	    dup2(words, STDERR_FILENO) >= 0)
		execvp(command[0], command);
	if (errno == ENOENT && !strcmp(command[0], RENDERER_DEFAULT))
		fprintf(stderr, "cannot run %s: install Debian's package virgl-server, or "
			"Fedora's virglrenderer-test-server\n", command[0]);
	else
		fprintf(stderr, "cannot run %s: %s\n", command[0], strerror(errno));
	_exit(NOT_RUN);
}

/* Nothing tells when the program has begun to listen, but its end is told: ECHILD. */
static int connect_when_it_listens(struct renderer *renderer, const char *path)
{
	struct pollfd ended = { .fd = renderer->pidfd, .events = POLLIN };

	for (int waited = 0; waited < START_MS; waited += TRY_MS) {
		int fd = connect_to(path);

		if (fd >= 0 || (errno != ENOENT && errno != ECONNREFUSED))
			return fd;
		if (poll(&ended, 1, TRY_MS) > 0) {
			errno = ECHILD;
			return -1;
		}
	}
	errno = ETIMEDOUT;
	return -1;
}

/* The last line that the program said on standard error, or the empty one, cut to @size. */
static void read_last_words(int fd, char *line, size_t size)
{
	char buf[4096];
	size_t len = 0;
	ssize_t ret;
	bool is_over = true;

	while ((ret = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < ret; i++) {
			if (is_over && buf[i] != '\n')
				len = 0;
			is_over = buf[i] == '\n';
			if (!is_over && len < size - 1)
				line[len++] = buf[i];
		}
	}
	line[len] = '\0';
}

static const char *describe(struct renderer *renderer, int status)
{
	bool is_signal = WIFSIGNALED(status);
	int number = is_signal ? WTERMSIG(status) : WEXITSTATUS(status);
	static char text[300];
	char last[200];

	read_last_words(renderer->words, last, sizeof(last));
	if (!is_signal && number == NOT_RUN && *last)
		snprintf(text, sizeof(text), "%s", last);
	else
		snprintf(text, sizeof(text), "%s %d%s%s%s", is_signal ? "signal" : "status",
			 number, *last ? " (its last words: " : "", last, *last ? ")" : "");
	return text;
}

static void give_up(struct renderer *renderer, const char *name)
{
	int status = 0;

	if (errno != ECHILD) {
		warn("%s does not listen", name);
		renderer_stop(renderer);
		renderer_end(renderer);
		return;
	}
	waitpid(renderer->pid, &status, 0);
	warnx("no renderer: %s", describe(renderer, status));
}

static int start_in(struct renderer *renderer, char **command, int count, const char *folder,
		    const sigset_t *signals)
{
	char path[PATH_MAX], option[PATH_MAX + 16];
	pid_t parent = getpid();
	int words[2];

	if (pipe2(words, O_CLOEXEC | O_NONBLOCK)) {
		warn("cannot start %s", command[0]);
		return -1;
	}
	snprintf(path, sizeof(path), "%s/vtest", folder);
	snprintf(option, sizeof(option), "--socket-path=%s", path);
	command[count] = "--no-loop-or-fork";
	command[count + 1] = option;
	renderer->pid = fork();
	if (!renderer->pid)
		become_renderer(command, parent, words[1], signals);
	close(words[1]);
	renderer->words = words[0];
	renderer->pidfd = renderer->pid > 0 ? pidfd_open(renderer->pid, 0) : -1;
	if (renderer->pidfd < 0) {
		/* One that has begun dies with this process. */
		warn("cannot start %s", command[0]);
		return -1;
	}
	renderer->fd = connect_when_it_listens(renderer, path);
	if (renderer->fd < 0)
		give_up(renderer, command[0]);
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

static bool stays(struct renderer *renderer)
{
	struct pollfd ended = { .fd = renderer->pidfd, .events = POLLIN };

	return !poll(&ended, 1, STAY_MS);
}

const char *renderer_end(struct renderer *renderer)
{
	const char *wrong = NULL;
	int status;

	if (renderer->fd >= 0)
		close(renderer->fd);
	if (!renderer->pid)
		return NULL;
	if (stays(renderer)) {
		wrong = "it stayed, and was told to end";
		kill(renderer->pid, SIGTERM);
		if (stays(renderer)) {
			wrong = "it stayed, and was killed";
			kill(renderer->pid, SIGKILL);
		}
	}
	if (waitpid(renderer->pid, &status, 0) < 0 || renderer->is_stopped)
		return NULL;
	return wrong || !status ? wrong : describe(renderer, status);
}
