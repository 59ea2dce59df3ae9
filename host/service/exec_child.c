// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/record.h"
#include "service/exec_child.h"

#define KILL_MS		5000	/* between SIGTERM and SIGKILL */
#define END_MS		300	/* between SIGTERM and SIGKILL when the daemon ends */

/* --- End ---------------------------------------------------------------- */

static void signal_group(struct exec_child *child, int number)
{
	/* The leader is not reaped yet, so its number cannot be another group's. */
	if (child->pid > 0)
		kill(-child->pid, number);
}

/* The program has exited, and its stream is gone. */
static void child_free(struct exec_child *child)
{
	siginfo_t info;

	if (child->pid > 0) {
		signal_group(child, SIGKILL);
		waitid(P_PIDFD, child->pidfd, &info, WEXITED | WNOHANG);
	}
	exec_stderr_close(&child->err);
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
	if (info.si_code != CLD_EXITED)
		child->failure = MP_REASON_KILLED | info.si_status;
	else if (!text_has_status(child->success, info.si_status))
		child->failure = MP_REASON_EXITED | info.si_status;
	loop_watch_remove(&child->pid_watch);
	if (!child->is_program)
		return;
	if (info.si_code != CLD_EXITED)
		log_limited(child->limit, LOG_LEVEL_INFO, "%s: ended by signal %d", child->label,
			    info.si_status);
	else if (child->failure)
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
	/* A start that cannot be taken back continues, and start_done() ends the child. */
	if (child->start.state != EXEC_START_NONE && !exec_start_abort(&child->start))
		return;
	if (!child->pid) {
		child_free(child);
		return;
	}
	if (!child->exited)
		note_exit(child);
	if (child->exited) {
		child_free(child);
		return;
	}
	signal_group(child, SIGTERM);
	/* A stopped program acts on SIGTERM only after SIGCONT. */
	signal_group(child, SIGCONT);
	loop_timer_start(&child->kill_timer, KILL_MS);
}

static void wait_for_all(struct list *children, int ms)
{
	struct list *link;

	list_for_each(link, children) {
		struct exec_child *child = list_entry(link, struct exec_child, link);
		struct pollfd end = { .fd = child->pidfd, .events = POLLIN };

		/* A program that uses the limit up leaves a millisecond to each of the others. */
		if (!child->exited && poll(&end, 1, ms) == 0)
			ms = 1;
	}
}

void exec_child_end_all(struct list *children)
{
	struct list *link, *save;
	int ms = END_MS;

	list_for_each_safe(link, save, children) {
		struct exec_child *child = list_entry(link, struct exec_child, link);

		if (child->start.state != EXEC_START_NONE)
			exec_start_wait(&child->start, &ms);
	}
	list_for_each(link, children)
		signal_group(list_entry(link, struct exec_child, link), SIGTERM);
	wait_for_all(children, END_MS);
	list_for_each(link, children)
		signal_group(list_entry(link, struct exec_child, link), SIGKILL);
	wait_for_all(children, END_MS);
	list_for_each_safe(link, save, children)
		child_free(list_entry(link, struct exec_child, link));
}

void exec_child_set_label(struct exec_child *child, const struct mp_opener *opener)
{
	char who[96] = "unknown opener";

	if (opener->uid != UINT32_MAX)
		snprintf(who, sizeof(who), "uid %" PRIu32 ", pid %" PRIu32 ", %s", opener->uid,
			 opener->pid, opener->comm);
	snprintf(child->label, sizeof(child->label),
		 "%s: port %s: channel %" PRIu32 ".%" PRIu32 ": %s (%s)",
		 opener->guest, opener->port, opener->channel, opener->generation, opener->service,
		 who);
}

/* --- Start -------------------------------------------------------------- */

/* Returns 0, or -errno: then the process is killed, and gone. */
static int watch_process(struct exec_child *child)
{
	int ret = 0;

	child->pidfd = pidfd_open(child->pid, 0);
	if (child->pidfd < 0)
		ret = -errno;
	else if (!child->exited)
		ret = loop_watch_add(child->loop, &child->pid_watch, child->pidfd, EPOLLIN,
				     pid_ready);
	if (!ret)
		return 0;
	signal_group(child, SIGKILL);
	kill(child->pid, SIGKILL);
	/* This does not take long, and without a descriptor there is no other way. */
	waitpid(child->pid, NULL, 0);
	child->pid = 0;
	return ret;
}

static void start_done(struct exec_start *start, int error)
{
	struct exec_child *child = container_of(start, struct exec_child, start);
	int ret = 0;

	child->pid = start->pid;
	if (child->pid)
		ret = watch_process(child);
	if (!error && !ret) {
		ret = exec_stderr_open(&child->err, child->loop, start->stderr_fd, child->label,
				       child->err_limit);
		child->is_program = !ret;
	}
	if (!error && ret) {
		signal_group(child, SIGKILL);
		close(start->socket);
		close(start->stderr_fd);
		error = ret;
	}
	if (child->released && !child->pid)
		child_free(child);
	else if (!child->released)
		child->started(child->context, error, start->socket);
}

static void init(struct exec_child *child, struct list *children)
{
	child->pidfd = child->pid_watch.fd = child->err.fd = -1;
	loop_timer_init(child->loop, &child->kill_timer, kill_due);
	list_init(&child->link);
	list_add_tail(children, &child->link);
}

void exec_child_start(struct exec_child *child, struct list *children,
		      const struct spawn_words *command, struct spawn_words *environment)
{
	init(child, children);
	exec_start_begin(&child->start, child->loop, command, environment, start_done);
}

/* --- Handing over --------------------------------------------------------- */

/* The process stays our child, and its number its own: so another pidfd is made of that. */
static void hand_over(struct exec_child *child, uint64_t *kill_ms, struct record *record)
{
	record_text(record, child->label, sizeof(child->label));
	child->pid = record_number(record, child->pid, INT_MAX);
	record_bool(record, &child->is_program);
	record_bool(record, &child->exited);
	child->failure = record_number(record, child->failure, UINT16_MAX);
	record_bool(record, &child->released);
	record_u64(record, kill_ms);
}

void exec_child_save(struct exec_child *child, struct record *record)
{
	uint64_t kill_ms = loop_timer_is_armed(&child->kill_timer) ? child->kill_timer.due.key : 0;

	hand_over(child, &kill_ms, record);
	exec_stderr_save(&child->err, record);
	exec_start_save(&child->start, record);
}

static int resume(struct exec_child *child, uint64_t kill_ms)
{
	uint64_t now = loop_now(child->loop);
	int ret = watch_process(child);

	if (!ret && child->released && kill_ms)
		loop_timer_start(&child->kill_timer, kill_ms > now ? kill_ms - now : 0);
	return ret;
}

int exec_child_restore(struct exec_child *child, struct list *children,
		       const struct spawn_words *command, struct record *record)
{
	uint64_t kill_ms = 0;
	int ret = 0, more;

	init(child, children);
	hand_over(child, &kill_ms, record);
	*child->releasing += child->released;
	if (child->pid && !exec_start_is_child(child->pid)) {
		child->pid = 0;
		ret = -ECHILD;
	} else if (child->pid) {
		ret = resume(child, kill_ms);
	}
	more = exec_stderr_restore(&child->err, child->loop, child->label, child->err_limit,
				   record);
	ret = ret ? ret : more;
	more = exec_start_restore(&child->start, child->loop, command, start_done, record);
	ret = ret ? ret : more;
	if (!ret && (child->pid || child->start.state != EXEC_START_NONE))
		return 0;
	if (child->start.state == EXEC_START_NONE || exec_start_abort(&child->start)) {
		child_free(child);
	} else if (!child->released) {
		child->released = true;		/* start_done() ends it */
		++*child->releasing;
	}
	return ret ? ret : -EPROTO;
}
