// SPDX-License-Identifier: MIT
#include "service/exec_start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * ASK_PER_ROUND: starts that one round of the loop hands to the spawner; each takes a dozen system
 * calls. ASKED_MAX: starts that the spawner may have at once; each holds descriptors in flight, of
 * which a user may have a limited number.
 */
#define ASK_PER_ROUND	4
#define ASKED_MAX	16

#define SEND_BYTES	(1 << 20)

/* Of the process, which serves one guest in one loop. */
static struct list queue = LIST_HEAD_INIT(queue);
static unsigned int asked;
static struct loop_task ask_task;	/* queued only while the queue is not empty */

static void ask_soon(void)
{
	if (!list_is_empty(&queue) && asked < ASKED_MAX)
		loop_task_queue(&ask_task);
}

static void close_all(const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		close(fds[i]);
}

/* --- The end ------------------------------------------------------------ */

static void close_status(struct exec_start *start)
{
	int fd = start->watch.fd;

	if (fd < 0)
		return;
	loop_watch_remove(&start->watch);
	close(fd);
}

static void finish(struct exec_start *start, int error)
{
	if (start->state == EXEC_START_ASKED)
		asked--;
	start->state = EXEC_START_NONE;
	/* Its number is free for a descriptor of the process. */
	close_status(start);
	if (!error && start->is_aborted)
		error = -ECANCELED;
	if (error) {
		close(start->socket);
		close(start->stderr_fd);
	}
	ask_soon();
	start->done(start, error);
}

/* Takes what the pipe has. Returns true when it is over. */
static bool take_status(struct exec_start *start)
{
	struct spawn_status status;
	ssize_t len;

	for (;;) {
		len = read(start->watch.fd, &status, sizeof(status));
		if (len < 0 && errno == EINTR)
			continue;
		if (len != sizeof(status))
			return len >= 0 || errno != EAGAIN;
		start->error = -status.error;
		if (!status.pid || start->state != EXEC_START_ASKED)
			continue;
		start->pid = status.pid;
		start->state = EXEC_START_BEGUN;
		asked--;
		ask_soon();
		if (start->is_aborted)
			kill(start->pid, SIGKILL);
	}
}

static void status_ready(struct loop_watch *watch, uint32_t events)
{
	struct exec_start *start = container_of(watch, struct exec_start, watch);

	(void)events;
	if (!take_status(start))
		return;
	/* The pipe ended without a status: the spawner has died, or had no descriptor. */
	finish(start, start->error || start->pid ? start->error : -EAGAIN);
}

/* --- The beginning ------------------------------------------------------ */

/* Our ends and the program's. Returns 0 or -errno. */
static int make_fds(int ours[SPAWN_FDS], int theirs[SPAWN_FDS])
{
	const int bytes = SEND_BYTES;
	int pairs[SPAWN_FDS][2], made = 0, ret = 0;

	for (; made < SPAWN_FDS && !ret; made += !ret) {
		int *pair = pairs[made];

		if (made == SPAWN_STDIO)
			ret = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
		else
			ret = pipe2(pair, O_CLOEXEC);
		if (ret)
			ret = -errno;
	}
	for (int i = 0; i < made; i++) {
		ours[i] = pairs[i][0];
		theirs[i] = pairs[i][1];
		if (!ret && i != SPAWN_STDIO && fcntl(ours[i], F_SETFL, O_NONBLOCK))
			ret = -errno;
	}
	if (ret) {
		close_all(ours, made);
		close_all(theirs, made);
		return ret;
	}
	/* The program can write as much at once as one read of a guest can take. */
	setsockopt(theirs[SPAWN_STDIO], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return 0;
}

/* Hands @start to the spawner. Returns 0, -EAGAIN or -errno. */
static int ask(struct exec_start *start)
{
	int ours[SPAWN_FDS], theirs[SPAWN_FDS];
	int ret = make_fds(ours, theirs);

	if (ret)
		return ret;
	ret = loop_watch_add(start->loop, &start->watch, ours[SPAWN_STATUS], EPOLLIN, status_ready);
	if (!ret) {
		ret = spawner_ask(start->command, &start->environment, theirs);
		if (ret)
			loop_watch_remove(&start->watch);
	}
	close_all(theirs, SPAWN_FDS);
	if (ret) {
		close_all(ours, SPAWN_FDS);
		return ret;
	}
	start->socket = ours[SPAWN_STDIO];
	start->stderr_fd = ours[SPAWN_STDERR];
	start->state = EXEC_START_ASKED;
	asked++;
	return 0;
}

static void drop_wish(struct exec_start *start)
{
	list_del(&start->link);
	free(start->environment.text);
	start->environment.text = NULL;
	if (list_is_empty(&queue))
		loop_task_cancel(&ask_task);
}

/* done() may abort any other start: each turn takes the first of the queue again. */
static void ask_some(struct loop_task *task)
{
	struct exec_start *start;

	(void)task;
	for (int i = 0; i < ASK_PER_ROUND && asked < ASKED_MAX; i++) {
		int ret;

		start = list_first(&queue, struct exec_start, link);
		if (!start)
			return;
		ret = ask(start);
		/* When the spawner is done with an earlier start, this one is tried again. */
		if (ret == -EAGAIN && asked)
			return;
		drop_wish(start);
		if (!ret)
			continue;
		start->state = EXEC_START_NONE;
		start->done(start, ret);
	}
	ask_soon();
}

void exec_start_begin(struct exec_start *start, struct loop *loop,
		      const struct spawn_words *command, struct spawn_words *environment,
		      void (*done)(struct exec_start *start, int error))
{
	memset(start, 0, sizeof(*start));
	start->state = EXEC_START_QUEUED;
	start->loop = loop;
	start->command = command;
	start->environment = *environment;
	environment->text = NULL;
	start->watch.fd = start->socket = start->stderr_fd = -1;
	start->done = done;
	list_init(&start->link);
	if (list_is_empty(&queue))
		loop_task_init(loop, &ask_task, ask_some);
	list_add_tail(&queue, &start->link);
	ask_soon();
}

bool exec_start_abort(struct exec_start *start)
{
	if (start->state == EXEC_START_QUEUED) {
		drop_wish(start);
		start->state = EXEC_START_NONE;
		return true;
	}
	start->is_aborted = true;
	/* The process may be the program already, if the end of its status pipe is still unread. */
	if (start->pid)
		kill(start->pid, SIGKILL);
	return false;
}

void exec_start_wait(struct exec_start *start, int *ms)
{
	struct pollfd fd = { .fd = start->watch.fd, .events = POLLIN };

	while (poll(&fd, 1, *ms) > 0) {
		if (take_status(start)) {
			finish(start, -ECANCELED);
			return;
		}
	}
	/* A start that uses the limit up leaves a millisecond to each of the others. */
	*ms = 1;
	finish(start, -ETIMEDOUT);
}
