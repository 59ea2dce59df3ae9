// SPDX-License-Identifier: MIT
#include "service/exec_start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/record.h"

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

static void init(struct exec_start *start, struct loop *loop, const struct spawn_words *command,
		 void (*done)(struct exec_start *start, int error))
{
	memset(start, 0, sizeof(*start));
	start->loop = loop;
	start->command = command;
	start->watch.fd = start->socket = start->stderr_fd = -1;
	start->done = done;
	list_init(&start->link);
}

static void wait_in_queue(struct exec_start *start)
{
	start->state = EXEC_START_QUEUED;
	if (list_is_empty(&queue))
		loop_task_init(start->loop, &ask_task, ask_some);
	list_add_tail(&queue, &start->link);
	ask_soon();
}

void exec_start_begin(struct exec_start *start, struct loop *loop,
		      const struct spawn_words *command, struct spawn_words *environment,
		      void (*done)(struct exec_start *start, int error))
{
	init(start, loop, command, done);
	start->environment = *environment;
	environment->text = NULL;
	wait_in_queue(start);
}

/* --- Handing over --------------------------------------------------------- */

static void hand_over(struct exec_start *start, struct record *record)
{
	start->state = record_number(record, start->state, EXEC_START_BEGUN);
	start->pid = record_number(record, start->pid, INT_MAX);
	start->error = -(int)record_number(record, -start->error, INT_MAX);
	record_bool(record, &start->is_aborted);
	start->socket = record_fd(record, start->socket);
	start->stderr_fd = record_fd(record, start->stderr_fd);
}

void exec_start_save(struct exec_start *start, struct record *record)
{
	bool is_begun = start->state == EXEC_START_ASKED || start->state == EXEC_START_BEGUN;
	struct exec_start copy = *start;

	/* Once it is over, these are the child's. */
	if (!is_begun)
		copy.socket = copy.stderr_fd = -1;
	hand_over(&copy, record);
	record_fd(record, is_begun ? start->watch.fd : -1);
	copy.environment.len = start->state == EXEC_START_QUEUED ? start->environment.len : 0;
	record_u32(record, &copy.environment.count);
	record_bytes(record, copy.environment.text, &copy.environment.len);
}

/* Are these @words->count words, each with its NUL? */
static bool are_words(const struct spawn_words *words)
{
	uint32_t count = 0;

	for (size_t i = 0; i < words->len; i++)
		count += !words->text[i];
	return count == words->count && words->len && words->len <= SPAWN_TEXT_MAX &&
	       !words->text[words->len - 1];
}

static int resume(struct exec_start *start, int status)
{
	if (!exec_start_is_child(start->pid) && start->state == EXEC_START_BEGUN)
		return -ECHILD;
	if (start->socket < 0 || start->stderr_fd < 0 || status < 0)
		return -EPROTO;
	return loop_watch_add(start->loop, &start->watch, status, EPOLLIN, status_ready);
}

int exec_start_restore(struct exec_start *start, struct loop *loop,
		       const struct spawn_words *command,
		       void (*done)(struct exec_start *start, int error), struct record *record)
{
	int status, ret = 0;

	init(start, loop, command, done);
	hand_over(start, record);
	status = record_fd(record, -1);
	record_u32(record, &start->environment.count);
	start->environment.text = record_bytes(record, NULL, &start->environment.len);
	if (!record_is_good(record))
		ret = -EPROTO;
	else if (start->state == EXEC_START_QUEUED)
		ret = are_words(&start->environment) ? 0 : -EPROTO;
	else if (start->state != EXEC_START_NONE)
		ret = resume(start, status);
	if (!ret && start->state == EXEC_START_QUEUED) {
		wait_in_queue(start);
		return 0;
	}
	free(start->environment.text);
	start->environment.text = NULL;
	asked += !ret && start->state == EXEC_START_ASKED;
	if (!ret)
		return 0;
	start->state = EXEC_START_NONE;
	close_all((int[]){ start->socket, start->stderr_fd, status }, 3);
	return ret;
}

bool exec_start_is_child(pid_t pid)
{
	siginfo_t info;

	return pid > 1 && !waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT);
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
