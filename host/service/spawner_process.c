// SPDX-License-Identifier: MIT
#include "service/spawner_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * The daemon may have had threads when it was copied into this process, and each program's
 * process is a copy of this one: so nothing here allocates.
 */
static char text[SPAWN_TEXT_MAX];
static char *words[SPAWN_TEXT_MAX + 2];	/* a word is a byte at least; two lists, each with a NULL */

/* --- In the new process ------------------------------------------------- */

static void say(int fd, pid_t pid, int error)
{
	const struct spawn_status status = { pid, error };

	/* If the write fails, the daemon has closed the pipe, and needs no status. */
	if (write(fd, &status, sizeof(status)) != sizeof(status))
		return;
}

/* Returns why not. No shell takes what is no program, as execvp() would have it. */
static int execute(char **argv, char **envp)
{
	int error = ENOENT;
	char path[4096];

	if (strchr(argv[0], '/')) {
		execve(argv[0], argv, envp);
		return errno;
	}
	for (const char *dir = SPAWN_PATH; *dir;) {
		size_t len = strcspn(dir, ":");

		if ((size_t)snprintf(path, sizeof(path), "%.*s/%s", (int)len, dir, argv[0]) <
		    sizeof(path)) {
			execve(path, argv, envp);
			if (errno != ENOENT && errno != ENOTDIR)
				error = errno;
		}
		dir += len + (dir[len] == ':');
	}
	return error;
}

/* A session of its own, 0 to 2, no signal blocked; all other descriptors close by themselves. */
static void __attribute__((noreturn)) become_program(const int *fds, char **argv, char **envp)
{
	sigset_t none;

	say(fds[SPAWN_STATUS], getpid(), 0);
	setsid();
	sigemptyset(&none);
	if (dup2(fds[SPAWN_STDIO], STDIN_FILENO) < 0 || dup2(fds[SPAWN_STDIO], STDOUT_FILENO) < 0 ||
	    dup2(fds[SPAWN_STDERR], STDERR_FILENO) < 0 ||
	    sigprocmask(SIG_SETMASK, &none, NULL))
		say(fds[SPAWN_STATUS], getpid(), errno);
	else
		say(fds[SPAWN_STATUS], getpid(), execute(argv, envp));
	_exit(127);
}

/* --- In the spawner ----------------------------------------------------- */

/*
 * A copy of this process that is the daemon's child: the daemon waits for it, not we. Not by
 * clone3(): filters cannot look at its flags, so systemd's RestrictNamespaces= and other sandboxes
 * answer ENOSYS.
 */
static pid_t fork_for_daemon(void)
{
#ifdef __s390__
	return syscall(SYS_clone, 0UL, (unsigned long)CLONE_PARENT, 0UL, 0UL, 0UL);
#else
	return syscall(SYS_clone, (unsigned long)CLONE_PARENT, 0UL, 0UL, 0UL, 0UL);
#endif
}

/* Cuts @count strings off *at, which ends at @end, into a list. NULL: they are not there. */
static char **take_list(char ***list, char **at, const char *end, uint32_t count)
{
	char **first = *list;

	while (count--) {
		char *nul = memchr(*at, 0, end - *at);

		if (!nul)
			return NULL;
		*(*list)++ = *at;
		*at = nul + 1;
	}
	*(*list)++ = NULL;
	return first;
}

static void start(const struct spawn_header *header, size_t len, const int *fds)
{
	char **next = words, *at = text;
	char **argv = take_list(&next, &at, text + len, header->argc);
	char **envp = argv ? take_list(&next, &at, text + len, header->envc) : NULL;
	pid_t pid = -1;

	errno = EINVAL;
	if (header->argc && envp)
		pid = fork_for_daemon();
	if (!pid)
		become_program(fds, argv, envp);
	if (pid < 0)
		say(fds[SPAWN_STATUS], 0, errno);
}

/* Serves one message. Returns false when there will be none. */
static bool serve(int fd)
{
	struct spawn_header header;
	struct iovec iov[] = { { &header, sizeof(header) }, { text, sizeof(text) } };
	union {
		char space[CMSG_SPACE(SPAWN_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t len = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *rights = len > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	size_t count = rights ? (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
	int fds[SPAWN_FDS];

	if (len <= 0)
		return len < 0 && errno == EINTR;
	if (count)
		memcpy(fds, CMSG_DATA(rights), count * sizeof(int));
	/* Without descriptors there is no pipe to answer on: the daemon sees the pipe's end. */
	if (count == SPAWN_FDS && len >= (ssize_t)sizeof(header))
		start(&header, len - sizeof(header), fds);
	while (count)
		close(fds[--count]);
	return true;
}

/*
 * Nothing of the daemon's but 0 to 2 and the socket, which becomes 3: a socket that stayed open
 * here would hide its end from whoever is at its other end. Linux before 5.9 has no close_range().
 */
static int close_others(int fd)
{
	const int kept = STDERR_FILENO + 1;
	long count = sysconf(_SC_OPEN_MAX);

	if (fd != kept && dup3(fd, kept, O_CLOEXEC) < 0)
		_exit(1);
	if (!syscall(SYS_close_range, kept + 1, ~0U, 0))
		return kept;
	for (int other = kept + 1; other < count; other++)
		close(other);
	return kept;
}

/*
 * Programs must find signals as a new process has them. This process ends with the daemon
 * and not before: what a terminal or a service manager sends to all of its group is not for it.
 * The kernel is asked: the C library's function leaves the two signals that it uses itself, which
 * the process that started the daemon may have ignored.
 */
static void forget_signals(void)
{
	/* As large as the kernel's structure is anywhere; all zero is the default action. */
	static const char by_default[64];
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int number = 1; number < NSIG; number++)
		syscall(SYS_rt_sigaction, number, by_default, NULL, NSIG / 8);
}

void spawner_process_run(int fd, const struct rlimit *files)
{
	forget_signals();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "manyportd-spawn");
	fd = close_others(fd);
	setrlimit(RLIMIT_NOFILE, files);
	while (serve(fd))
		;
	_exit(0);
}
