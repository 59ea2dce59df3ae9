// SPDX-License-Identifier: MIT
#include "keep/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "keep/closer.h"
#include "keep/notice.h"
#include "keep/orphans.h"
#include "keep/store.h"

/* So many crashes in so many seconds: there is no use in another start. */
#define CRASHES_MAX	10
#define CRASHES_S	10
/* A queue of datagrams is never longer, though other processes may fill it again. */
#define NOTICES_MAX	4096
#define NOTICES_AT_ONCE	64
#define ROOM_MS		100	/* to the next look whether there is room for descriptors */
/* For the program: "PID FD". */
#define KEPT		"MANYPORTD_KEPT"

static const int passed_on[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM };

_Static_assert(CLOSER_SIZE >= STORE_MAX + 2 * (NOTICE_MAX_FDS + 1), "see has_room()");

struct keeper {
	const struct keeper_config *config;
	struct store store;
	struct rlimit files;		/* as the program should have it */
	sigset_t signals;		/* blocked, and read from signal_fd */
	int signal_fd, notice_fd;
	char address[NOTICE_ADDRESS_SIZE];
	pid_t child;			/* 0: none */
	bool was_ready, is_ending;
	time_t crashes[CRASHES_MAX];	/* the newest ones, around */
	unsigned int crash_count;
	bool is_over;
	int result;
};

/* --- Starting it ------------------------------------------------------------------ */

static int set_environment(const struct keeper *keeper, int fd)
{
	char room[16], kept[32];

	snprintf(room, sizeof(room), "%d", STORE_MAX);
	snprintf(kept, sizeof(kept), "%d %d", getpid(), fd);
	return setenv("NOTIFY_SOCKET", keeper->address, true) || setenv("FDSTORE", room, true) ||
	       setenv(KEPT, kept, true) ? -errno : 0;
}

/*
 * The program, in a process group of its own: a terminal's signals come from us, once. Those
 * which we pass on stay blocked: one that comes before the program is ready for it waits.
 */
static void __attribute__((noreturn)) become_child(struct keeper *keeper)
{
	int fd = keeper->config->fd, ret;
	sigset_t child;

	setpgid(0, 0);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &child, NULL);
	ret = store_lay_out(&keeper->store, &fd);
	if (!ret)
		ret = set_environment(keeper, fd);
	if (!ret) {
		setrlimit(RLIMIT_NOFILE, &keeper->files);
		/* A newer program may lie at the path by now; while it is replaced, none may. */
		execv(keeper->config->path, keeper->config->argv);
		ret = -errno;
		execv("/proc/self/exe", keeper->config->argv);
	}
	/* The log's descriptor may be one that is held, by now. */
	dprintf(STDERR_FILENO, "%s: cannot start %s: %s\n", program_invocation_short_name,
		keeper->config->path, strerror(-ret));
	_exit(EXIT_FAILURE);
}

static void end_with(struct keeper *keeper, int result)
{
	keeper->is_over = true;
	keeper->result = result;
}

static void start(struct keeper *keeper)
{
	pid_t pid = fork();

	if (!pid)
		become_child(keeper);
	keeper->child = pid > 0 ? pid : 0;
	if (pid > 0)
		return;
	log_error("cannot start the daemon: %s", strerror(errno));
	end_with(keeper, EXIT_FAILURE);
}

/* --- What it says ----------------------------------------------------------------- */

static void pass_notice(struct keeper *keeper, const struct notice *notice)
{
	keeper->was_ready |= notice->ready;
	if (notice->reloading)
		sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%s", notice->monotonic);
	if (*notice->status)
		sd_notifyf(0, "STATUS=%s", notice->status);
	if (notice->ready)
		sd_notify(0, "READY=1");
	if (notice->stopping)
		sd_notify(0, "STOPPING=1");
}

/* While descriptors that wait for their close are many, no more are taken. */
static bool has_room(void)
{
	return closer_room() > NOTICE_MAX_FDS + 1;
}

/* At most @max: other processes must not keep us here. */
static void read_notices(struct keeper *keeper, int max)
{
	struct notice notice;

	while (max-- && has_room()) {
		int ret = notice_receive(keeper->notice_fd, keeper->child, &notice, &keeper->store);

		if (!ret)
			return;
		if (ret == -EPERM)
			continue;
		if (ret < 0)
			log_limited_here(LOG_LEVEL_WARNING, "cannot hold what the daemon sent: %s",
					 strerror(-ret));
		pass_notice(keeper, &notice);
	}
}

/* --- Its end ---------------------------------------------------------------------- */

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static bool crashes_too_often(struct keeper *keeper)
{
	time_t now = now_s(), *oldest = &keeper->crashes[keeper->crash_count % CRASHES_MAX];

	keeper->crash_count++;
	*oldest = now;
	/* The next one around is now the oldest. */
	oldest = &keeper->crashes[keeper->crash_count % CRASHES_MAX];
	return keeper->crash_count >= CRASHES_MAX && now - *oldest < CRASHES_S &&
	       !keeper->config->may_crash;
}

static void start_again(struct keeper *keeper, const char *how)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	if (keeper->is_ending) {
		log_error("the daemon was to end, and ended by a failure (%s)", how);
	} else if (crashes_too_often(keeper)) {
		log_error("the daemon has ended by a failure (%s) %d times within %d s: not "
			  "started again", how, CRASHES_MAX, CRASHES_S);
	} else {
		log_warning("the daemon has ended by a failure (%s): it starts again", how);
		sd_notifyf(0, "STATUS=Starts again after a failure (%s)", how);
		if (orphans_end(&stop)) {
			start(keeper);
			return;
		}
	}
	orphans_end(NULL);
	end_with(keeper, EXIT_FAILURE);
}

/* It is a zombie still: no other process has its number. */
static void child_ended(struct keeper *keeper, const siginfo_t *info)
{
	const int status = info->si_status;
	const bool has_exited = info->si_code == CLD_EXITED;
	char how[32];

	read_notices(keeper, NOTICES_MAX);
	waitpid(keeper->child, NULL, 0);
	keeper->child = 0;
	snprintf(how, sizeof(how), "%s %d", has_exited ? "status" : "signal", status);
	if (has_exited && (!status || status == EX_USAGE || status == EX_CONFIG))
		end_with(keeper, status);
	else if (has_exited && !keeper->was_ready)
		end_with(keeper, status);
	else if (!has_exited && keeper->is_ending && (status == SIGTERM || status == SIGINT))
		end_with(keeper, EXIT_SUCCESS);
	else
		start_again(keeper, how);
}

static void reap(struct keeper *keeper)
{
	while (!keeper->is_over) {
		siginfo_t info = { 0 };

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
			return;
		if (info.si_pid == keeper->child)
			child_ended(keeper, &info);
		else
			waitpid(info.si_pid, NULL, WNOHANG);
	}
}

/* --- The loop --------------------------------------------------------------------- */

static void read_signals(struct keeper *keeper)
{
	struct signalfd_siginfo info;

	while (read(keeper->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD || !keeper->child)
			continue;
		keeper->is_ending |= info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
		kill(keeper->child, info.ssi_signo);
	}
}

static void serve(struct keeper *keeper)
{
	struct pollfd fds[] = {
		{ .fd = keeper->notice_fd, .events = POLLIN },
		{ .fd = keeper->signal_fd, .events = POLLIN },
	};

	while (!keeper->is_over) {
		fds[0].events = has_room() ? POLLIN : 0;
		if (poll(fds, 2, has_room() ? -1 : ROOM_MS) < 0 && errno != EINTR) {
			log_error("cannot wait: %s", strerror(errno));
			end_with(keeper, EXIT_FAILURE);
			return;
		}
		read_notices(keeper, NOTICES_AT_ONCE);
		read_signals(keeper);
		reap(keeper);
	}
}

/* Room for all that may be held, beside what the program may have. */
static void raise_limit(struct keeper *keeper)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &keeper->files))
		return;
	limit = keeper->files;
	if (limit.rlim_cur < 3 * STORE_MAX)
		limit.rlim_cur = limit.rlim_max < 3 * STORE_MAX ? limit.rlim_max : 3 * STORE_MAX;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Returns 0 or -errno. */
static int prepare(struct keeper *keeper)
{
	int ret;

	/* As the daemon: what we hold is not for other processes of our user. */
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NAME, "manyportd-keep");
	/* What our own service manager gave us is not the program's. */
	sd_listen_fds(true);
	raise_limit(keeper);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&keeper->signals);
	sigaddset(&keeper->signals, SIGCHLD);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
		sigaddset(&keeper->signals, passed_on[i]);
	if (sigprocmask(SIG_BLOCK, &keeper->signals, NULL))
		return -errno;
	keeper->signal_fd = signalfd(-1, &keeper->signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (keeper->signal_fd < 0)
		return -errno;
	keeper->notice_fd = notice_socket(keeper->address);
	if (keeper->notice_fd < 0)
		return keeper->notice_fd;
	if (keeper->config->fd >= 0 && fcntl(keeper->config->fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	ret = closer_start();
	return ret ? ret : orphans_adopt();
}

int keeper_run(const struct keeper_config *config)
{
	static struct keeper keeper;
	int ret;

	keeper = (struct keeper){ .config = config, .signal_fd = -1, .notice_fd = -1 };
	ret = prepare(&keeper);
	if (ret) {
		log_error("cannot start the daemon: %s", strerror(-ret));
		keeper.result = EXIT_FAILURE;
	} else {
		start(&keeper);
		serve(&keeper);
	}
	store_clear(&keeper.store);
	closer_finish();
	if (keeper.notice_fd >= 0) {
		notice_remove(keeper.address);
		close(keeper.notice_fd);
	}
	if (keeper.signal_fd >= 0)
		close(keeper.signal_fd);
	return keeper.result;
}

bool keeper_is_parent(int *fd)
{
	const char *text = getenv(KEPT);
	int pid;

	return text && sscanf(text, "%d %d", &pid, fd) == 2 && pid == getpid();
}
