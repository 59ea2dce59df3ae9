// SPDX-License-Identifier: MIT
#include "daemon/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fd_limit.h"
#include "base/list.h"
#include "base/log.h"
#include "base/record.h"
#include "base/unix_address.h"
#include "daemon/config.h"
#include "daemon/guest.h"
#include "service/spawner.h"
#include "vhost/kept.h"

#define CHECK_MS	60000	/* that the look at the configuration may take */
#define PAUSE_MS	10	/* while the guest cannot be paused, */
#define PAUSE_TRIES	500	/* so many times */
#define OPTION_SIZE	32

#define FRAME_KEPT	0x4b45
#define FRAME_PROCESS	0x5052
#define FRAME_PORTS	0x5054

/* --- What both programs know ------------------------------------------------------ */

/* The front end is in memory of this version, and the next program has to know that. */
static bool hand_over_version(struct record *record)
{
	uint64_t version = record_is_reading(record) ? 0 : KEPT_VERSION;

	if (record_begin(record, FRAME_KEPT)) {
		record_u64(record, &version);
		record_end(record);
	}
	return kept_knows_version(version);
}

static void hand_over_process(struct record *record)
{
	if (!record_begin(record, FRAME_PROCESS)) {
		record_spoil(record);
		return;
	}
	fd_limit_hand_over(record);
	unix_listeners_hand_over(record);
	record_end(record);
}

/* What the driver and the front end know of the ports cannot change. */
static bool hand_over_ports(const struct config *config, struct record *record)
{
	uint64_t binding = config->guest.binding, count = config->port_count;
	bool is_same;

	if (!record_begin(record, FRAME_PORTS))
		return false;
	is_same = record_number(record, binding, UINT64_MAX) == binding;
	is_same &= record_number(record, count, UINT64_MAX) == count;
	for (int i = 0; is_same && i < config->port_count; i++) {
		const struct config_port *port = config->ports[i];
		char name[MP_NAME_MAX + 1] = "";

		snprintf(name, sizeof(name), "%s", port->item.title);
		record_text(record, name, sizeof(name));
		is_same = !strcmp(name, port->item.title) &&
			  record_number(record, port->id, UINT32_MAX) == port->id &&
			  record_number(record, port->kind, UINT32_MAX) == port->kind;
	}
	record_end(record);
	return is_same && record_is_good(record);
}

/* Without @guest: for a look only. NULL with errno set. */
static struct record *write_record(const struct handover *handover, struct guest *guest)
{
	struct record *record = record_create();
	int ret;

	if (!record)
		return NULL;
	hand_over_version(record);
	if (guest) {
		hand_over_process(record);
	} else {
		record_begin(record, FRAME_PROCESS);
		record_end(record);
	}
	hand_over_ports(handover->config, record);
	if (guest)
		guest_hand_over(guest, record);
	ret = record_finish(record);
	if (ret >= 0)
		return record;
	record_destroy(record);
	errno = -ret;
	return NULL;
}

/* --- The program that comes next ------------------------------------------------ */

struct record *handover_open(int fd)
{
	struct record *record = record_open(fd);
	int error = record ? 0 : errno;

	if (record && !hand_over_version(record)) {
		record_destroy(record);
		error = ENOTSUP;
	}
	if (error) {
		log_error("--handover=%d: %s", fd,
			  error == ENOTSUP ? "it is of another version" : strerror(error));
		return NULL;
	}
	hand_over_process(record);
	return record;
}

bool handover_fits(struct record *record, const struct config *config)
{
	if (hand_over_ports(config, record))
		return true;
	fprintf(stderr, "manyportd: the ports or the device are other ones than those of the "
		"daemon that runs: this takes its end, and a new start\n");
	return false;
}

void handover_close(struct record *record)
{
	unix_listeners_forget();
	if (record)
		record_close_rest(record);
	record_destroy(record);
}

/* --- The end of this program ------------------------------------------------------ */

static void tell_manager(bool is_reloading)
{
	if (is_reloading)
		sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, loop_clock_us());
	else
		sd_notify(0, "READY=1");
}

/* What was said before the program's name for a record is dropped, if there is one. */
static char **make_argv(char **argv, char *const more[])
{
	size_t count = 0, extra = 0;
	char **all;

	while (argv[count] && strncmp(argv[count], "--handover=", 11))
		count++;
	while (more[extra])
		extra++;
	all = calloc(count + extra + 1, sizeof(*all));
	if (!all)
		return NULL;
	memcpy(all, argv, count * sizeof(*all));
	memcpy(all + count, more, extra * sizeof(*all));
	return all;
}

static void go_on_here(struct handover *handover, const char *why, int error)
{
	log_error("restart: %s%s%s: the daemon goes on as it is", why, error ? ": " : "",
		  error ? strerror(error) : "");
	tell_manager(false);
	if (handover->is_asked_again)
		handover_begin(handover);
}

/* Returns an errno. */
static int execute(const struct handover *handover, struct record *record)
{
	char option[OPTION_SIZE];
	char *more[] = { option, NULL };
	char **argv;
	int error;

	snprintf(option, sizeof(option), "--handover=%d", record_finish(record));
	argv = make_argv(handover->argv, more);
	if (!argv)
		return ENOMEM;
	error = -guest_pass(handover->guest, true);
	if (!error) {
		record_pass_fds(record, true);
		execve(handover->path, argv, environ);
		error = errno;
		record_pass_fds(record, false);
	}
	guest_pass(handover->guest, false);
	free(argv);
	return error;
}

/* The guest has been paused. Returns only after a failure. */
static void leave(struct handover *handover)
{
	struct record *record;
	int error;

	spawner_finish();
	record = write_record(handover, handover->guest);
	error = errno;
	if (record)
		error = execute(handover, record);
	record_destroy(record);
	guest_resume(handover->guest);
	handover->undone(handover->context);
	unix_listeners_forget();
	go_on_here(handover, handover->path, error);
}

static void try_to_leave(struct handover *handover)
{
	unix_listeners_hold();
	if (guest_pause(handover->guest)) {
		leave(handover);
		return;
	}
	unix_listeners_forget();
	if (handover->tries++ < PAUSE_TRIES)
		loop_timer_start(&handover->limit, PAUSE_MS);
	else
		go_on_here(handover, "the front end cannot be left to another program", 0);
}

/* --- The look at the configuration -------------------------------------------------- */

static void end_check(struct handover *handover)
{
	int fd = handover->watch.fd;

	loop_timer_stop(&handover->limit);
	loop_watch_remove(&handover->watch);
	if (fd >= 0)
		close(fd);
	handover->pid = 0;
}

static void check_ended(struct loop_watch *watch, uint32_t events)
{
	struct handover *handover = container_of(watch, struct handover, watch);
	char why[64];
	int status = 0;

	(void)events;
	if (waitpid(handover->pid, &status, WNOHANG) != handover->pid)
		return;
	end_check(handover);
	if (!status) {
		handover->tries = 0;
		try_to_leave(handover);
		return;
	}
	snprintf(why, sizeof(why), "%s --check has ended with %s %d", "the new program",
		 WIFEXITED(status) ? "status" : "signal",
		 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	go_on_here(handover, why, 0);
}

/* The process is killed, or, without one, the guest is tried again. */
static void limit_has_passed(struct loop_timer *timer)
{
	struct handover *handover = container_of(timer, struct handover, limit);

	if (handover->pid)
		kill(handover->pid, SIGKILL);
	else
		try_to_leave(handover);
}

/* Its output is not ours: that may be the guest's stream. Returns 0 or an errno. */
static int spawn_check(struct handover *handover, char **argv)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int error;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!error)
		error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null",
							 O_WRONLY, 0);
	if (!error)
		error = posix_spawn(&handover->pid, handover->path, &actions, &attributes, argv,
				    environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	if (error)
		handover->pid = 0;
	return error;
}

static int start_check(struct handover *handover)
{
	struct record *record = write_record(handover, NULL);
	char option[OPTION_SIZE], check[] = "--check";
	char *more[] = { check, option, NULL };
	char **argv = NULL;
	int error = record ? 0 : errno, fd;

	if (record) {
		snprintf(option, sizeof(option), "--handover=%d", record_finish(record));
		argv = make_argv(handover->argv, more);
		error = argv ? 0 : ENOMEM;
	}
	if (argv) {
		record_pass_fds(record, true);
		error = spawn_check(handover, argv);
	}
	free(argv);
	record_destroy(record);
	if (error)
		return error;
	fd = pidfd_open(handover->pid, 0);
	error = fd < 0 ? errno : -loop_watch_add(handover->loop, &handover->watch, fd, EPOLLIN,
						 check_ended);
	if (!error)
		return 0;
	kill(handover->pid, SIGKILL);
	waitpid(handover->pid, NULL, 0);
	if (fd >= 0)
		close(fd);
	handover->pid = 0;
	return error;
}

void handover_init(struct handover *handover)
{
	handover->watch.fd = -1;
	loop_timer_init(handover->loop, &handover->limit, limit_has_passed);
}

/*
 * A program is dumpable until it says otherwise, unless its user may not read it. Programs of exec:
 * run on over a restart, and are that user's.
 */
static void warn_of_first_moment(const struct handover *handover)
{
	if (geteuid() && !access(handover->path, R_OK))
		log_limited_here(LOG_LEVEL_WARNING, "restart: processes of this user can look into "
				 "the new program in its first moment: give %s mode 0711, and root "
				 "as its owner", handover->path);
}

void handover_begin(struct handover *handover)
{
	int error;

	if (guest_is_ending(handover->guest)) {
		log_limited_here(LOG_LEVEL_INFO, "restart: the daemon is about to end");
		return;
	}
	if (handover->pid || loop_timer_is_armed(&handover->limit)) {
		log_limited_here(LOG_LEVEL_INFO, "restart: one is under way: another one follows "
				 "if that fails");
		handover->is_asked_again = true;
		return;
	}
	handover->is_asked_again = false;
	log_limited_here(LOG_LEVEL_INFO, "signal %d: restart: %s looks at the configuration",
			 SIGUSR2, handover->path);
	warn_of_first_moment(handover);
	tell_manager(true);
	error = start_check(handover);
	if (error)
		go_on_here(handover, handover->path, error);
	else
		loop_timer_start(&handover->limit, CHECK_MS);
}

void handover_stop(struct handover *handover)
{
	if (handover->pid) {
		kill(handover->pid, SIGKILL);
		waitpid(handover->pid, NULL, 0);
	}
	end_check(handover);
}
