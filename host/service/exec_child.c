// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "service/exec_child.h"

#define KILL_MS		5000	/* between SIGTERM and SIGKILL */
#define END_MS		300	/* the same when the daemon ends */
#define ERR_READS	4	/* of a round: a chatty program is not alone here */

/* --- Standard error ---------------------------------------------------- */

static void log_child_line(struct exec_child *child)
{
	char text[2 * EXEC_LINE_SIZE];

	if (child->line_len)
		log_limited(child->err_limit, LOG_LEVEL_INFO, "%s: stderr: %s", child->label,
			    log_escape(text, sizeof(text), child->line, child->line_len));
	child->line_len = 0;
}

static void take_err_bytes(struct exec_child *child, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != '\n')
			child->line[child->line_len++] = bytes[i];
		if (bytes[i] == '\n' || child->line_len == sizeof(child->line))
			log_child_line(child);
	}
}

static void close_err(struct exec_child *child)
{
	if (child->err_fd < 0)
		return;
	log_child_line(child);
	loop_watch_remove(&child->err_watch);
	close(child->err_fd);
	child->err_fd = -1;
}

static void err_ready(struct loop_watch *watch, uint32_t events)
{
	struct exec_child *child = container_of(watch, struct exec_child, err_watch);
	char bytes[4096];
	ssize_t len;

	(void)events;
	for (int i = 0; i < ERR_READS; i++) {
		len = read(child->err_fd, bytes, sizeof(bytes));
		if (len > 0) {
			take_err_bytes(child, bytes, len);
			continue;
		}
		if (!len || (errno != EAGAIN && errno != EINTR))
			close_err(child);
		return;
	}
}

/* --- End ---------------------------------------------------------------- */

static void signal_group(struct exec_child *child, int number)
{
	/* The leader is not reaped, so the number is still the group's. */
	if (child->pid > 0)
		kill(-child->pid, number);
}

/* The program has exited and nobody needs to know any more. */
static void child_free(struct exec_child *child)
{
	siginfo_t info;

	if (child->pid > 0) {
		signal_group(child, SIGKILL);
		waitid(P_PIDFD, child->pidfd, &info, WEXITED | WNOHANG);
	}
	if (child->err_fd >= 0)
		err_ready(&child->err_watch, 0);
	close_err(child);
	loop_timer_stop(&child->kill_timer);
	loop_watch_remove(&child->pid_watch);
	if (child->pidfd >= 0)
		close(child->pidfd);
	if (child->released)
		--*child->releasing;
	list_del(&child->link);
	free(child);
}

/* Notes how the program exited, and leaves it a zombie. */
static void note_exit(struct exec_child *child)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PIDFD, child->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
		return;
	child->exited = true;
	child->failed = info.si_code != CLD_EXITED || info.si_status;
	loop_watch_remove(&child->pid_watch);
	if (info.si_code != CLD_EXITED)
		log_limited(child->limit, LOG_LEVEL_INFO, "%s: ended by signal %d", child->label,
			    info.si_status);
	else if (child->failed)
		log_limited(child->limit, LOG_LEVEL_INFO, "%s: exited with status %d", child->label,
			    info.si_status);
}

static void pid_ready(struct loop_watch *watch, uint32_t events)
{
	struct exec_child *child = container_of(watch, struct exec_child, pid_watch);

	(void)events;
	note_exit(child);
	if (!child->exited)
		return;
	if (child->released)
		child_free(child);
	else
		child->exit(child->context);
}

static void kill_due(struct loop_timer *timer)
{
	struct exec_child *child = container_of(timer, struct exec_child, kill_timer);

	log_limited(child->limit, LOG_LEVEL_WARNING, "%s: did not exit, killed", child->label);
	signal_group(child, SIGKILL);
}

void exec_child_release(struct exec_child *child)
{
	child->released = true;
	++*child->releasing;
	if (!child->exited)
		note_exit(child);
	if (child->exited) {
		child_free(child);
		return;
	}
	signal_group(child, SIGTERM);
	/* A stopped program cannot act on it. */
	signal_group(child, SIGCONT);
	loop_timer_start(&child->kill_timer, KILL_MS);
}

static void wait_for_all(struct list *children, int ms)
{
	struct list *link;

	list_for_each(link, children) {
		struct exec_child *child = list_entry(link, struct exec_child, link);
		struct pollfd end = { .fd = child->pidfd, .events = POLLIN };

		/* One that runs to the limit leaves the others a moment each. */
		if (!child->exited && poll(&end, 1, ms) == 0)
			ms = 1;
	}
}

void exec_child_end_all(struct list *children)
{
	struct list *link, *save;

	list_for_each(link, children)
		signal_group(list_entry(link, struct exec_child, link), SIGTERM);
	wait_for_all(children, END_MS);
	list_for_each(link, children)
		signal_group(list_entry(link, struct exec_child, link), SIGKILL);
	wait_for_all(children, END_MS);
	list_for_each_safe(link, save, children)
		child_free(list_entry(link, struct exec_child, link));
}

/* --- Start -------------------------------------------------------------- */

/* 0 and 1 are the socket, 2 is @err, nothing else is open. */
static int add_files(posix_spawn_file_actions_t *files, int stdio, int err)
{
	int ret = posix_spawn_file_actions_adddup2(files, stdio, STDIN_FILENO);

	if (!ret)
		ret = posix_spawn_file_actions_adddup2(files, stdio, STDOUT_FILENO);
	if (!ret)
		ret = posix_spawn_file_actions_adddup2(files, err, STDERR_FILENO);
	if (!ret)
		ret = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
	return ret;
}

/* A session of its own, no signal blocked or ignored. */
static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t all, none;
	int ret;

	sigfillset(&all);
	sigemptyset(&none);
	ret = posix_spawnattr_setsigdefault(attributes, &all);
	if (!ret)
		ret = posix_spawnattr_setsigmask(attributes, &none);
	if (!ret)
		ret = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID |
					       POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	return ret;
}

/*
 * posix_spawn() rather than fork(): it copies no page tables of the guest's
 * memory, and tells when the program cannot be executed. Returns 0 or -errno.
 */
static int spawn(struct exec_child *child, const struct exec_command *command, int err)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	struct rlimit own;
	int ret = posix_spawn_file_actions_init(&files);

	if (ret)
		return -ret;
	ret = posix_spawnattr_init(&attributes);
	if (ret)
		goto out_files;
	ret = add_files(&files, command->stdio, err);
	if (!ret)
		ret = set_attributes(&attributes);
	/* What we have raised for ourselves is too much for some: it is as we found it. */
	getrlimit(RLIMIT_NOFILE, &own);
	setrlimit(RLIMIT_NOFILE, command->files);
	if (!ret)
		ret = posix_spawn(&child->pid, command->path, &files, &attributes, command->argv,
				  command->envp);
	if (ret)
		child->pid = 0;
	setrlimit(RLIMIT_NOFILE, &own);
	posix_spawnattr_destroy(&attributes);
out_files:
	posix_spawn_file_actions_destroy(&files);
	return -ret;
}

/* Watches a program that runs. Returns 0 or -errno. */
static int watch_child(struct exec_child *child)
{
	int ret;

	child->pidfd = pidfd_open(child->pid, 0);
	if (child->pidfd < 0)
		return -errno;
	ret = loop_watch_add(child->loop, &child->pid_watch, child->pidfd, EPOLLIN, pid_ready);
	if (!ret)
		ret = loop_watch_add(child->loop, &child->err_watch, child->err_fd, EPOLLIN,
				     err_ready);
	return ret;
}

/* Only descriptors or memory for watching were missing: the program goes again. */
static void undo_spawn(struct exec_child *child)
{
	loop_watch_remove(&child->err_watch);
	loop_watch_remove(&child->pid_watch);
	if (child->pidfd >= 0)
		close(child->pidfd);
	child->pidfd = -1;
	signal_group(child, SIGKILL);
	/* It was killed a moment ago: this does not take long. */
	waitpid(child->pid, NULL, 0);
	child->pid = 0;
}

int exec_child_start(struct exec_child *child, const struct exec_command *command)
{
	int err[2], ret;

	list_init(&child->link);
	child->pidfd = child->err_fd = child->pid_watch.fd = child->err_watch.fd = -1;
	loop_timer_init(child->loop, &child->kill_timer, kill_due);
	if (pipe2(err, O_CLOEXEC))
		return -errno;
	child->err_fd = err[0];
	ret = fcntl(err[0], F_SETFL, O_NONBLOCK) ? -errno : spawn(child, command, err[1]);
	close(err[1]);
	if (!ret) {
		ret = watch_child(child);
		if (ret)
			undo_spawn(child);
	}
	if (ret) {
		close(child->err_fd);
		child->err_fd = -1;
	}
	return ret;
}
