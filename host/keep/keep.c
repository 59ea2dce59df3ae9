// SPDX-License-Identifier: MIT
#include "keep/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fd_limit.h"
#include "base/log.h"

#define NAME_SIZE	32
#define MAGIC_SIZE	8
/* What keep_pass() leaves for the next program: "PID FD=NAME FD=NAME ...". */
#define PASSED		"MANYPORTD_HELD"

struct held {
	uint32_t number;
	bool is_state;
	int fd;				/* our copy */
	unsigned int users;		/* 0: not taken over yet */
};

struct keep {
	bool is_alone;			/* there is no holder (any more) */
	struct held *held;		/* in the order of their coming */
	size_t count;
	size_t max;			/* what the holder has room for; SIZE_MAX: unknown */
	uint32_t next;
};

/* --- Names with the holder ------------------------------------------------------- */

static void name_of(char *name, const struct held *held)
{
	snprintf(name, NAME_SIZE, "mp%" PRIu32 "%s", held->number, held->is_state ? "-state" : "");
}

/* Is @name one that name_of() makes? */
static bool parse_name(struct held *held, const char *name)
{
	char again[NAME_SIZE];

	held->is_state = strchr(name, '-');
	if (sscanf(name, "mp%" SCNu32, &held->number) != 1 || !held->number)
		return false;
	name_of(again, held);
	return !strcmp(name, again);
}

/* --- What is held ---------------------------------------------------------------- */

static struct held *find(struct keep *keep, uint32_t number)
{
	for (size_t i = 0; i < keep->count; i++) {
		if (keep->held[i].number == number)
			return &keep->held[i];
	}
	return NULL;
}

/* The one that has the open file of @fd. */
static struct held *find_file(struct keep *keep, int fd)
{
	for (size_t i = 0; i < keep->count; i++) {
		if (!syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, keep->held[i].fd))
			return &keep->held[i];
	}
	return NULL;
}

/* Takes the descriptor of @held over. Returns NULL without memory. */
static struct held *add(struct keep *keep, const struct held *held)
{
	struct held *list = reallocarray(keep->held, keep->count + 1, sizeof(*list));

	if (!list)
		return NULL;
	keep->held = list;
	list[keep->count] = *held;
	if (held->number >= keep->next)
		keep->next = held->number + 1;
	return &list[keep->count++];
}

static void forget(struct keep *keep, struct held *held)
{
	close(held->fd);
	keep->count--;
	memmove(held, held + 1, (keep->held + keep->count - held) * sizeof(*held));
}

/* --- The start ------------------------------------------------------------------- */

/* Returns false if @name is none of ours, or there is no memory: then @fd is still the caller's. */
static bool take_over(struct keep *keep, int fd, const char *name)
{
	struct held held = { .fd = fd };

	return parse_name(&held, name) && !find(keep, held.number) && add(keep, &held);
}

static void take_over_listened(struct keep *keep)
{
	char **names = NULL, text[NAME_SIZE];
	int count = sd_listen_fds_with_names(true, &names);

	for (int i = 0; i < count; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (!take_over(keep, fd, names[i]))
			log_info("descriptor %d (%s) of LISTEN_FDS is none that a daemon has held: "
				 "left alone", fd,
				 log_escape(text, sizeof(text), names[i], strlen(names[i])));
		free(names[i]);
	}
	free(names);
}

/* What keep_pass() of the program before in this process has left. */
static void take_over_passed(struct keep *keep)
{
	char *text = getenv(PASSED), name[NAME_SIZE];
	int pid, fd, len;

	if (text && sscanf(text, "%d%n", &pid, &len) == 1 && pid == getpid()) {
		text += len;
		while (sscanf(text, " %d=%31s%n", &fd, name, &len) == 2) {
			text += len;
			if (take_over(keep, fd, name))
				fcntl(fd, F_SETFD, FD_CLOEXEC);
		}
	}
	unsetenv(PASSED);
}

struct keep *keep_create(void)
{
	const char *room = getenv("FDSTORE");	/* systemd from 254 on; the keeper */
	struct keep *keep = calloc(1, sizeof(*keep));

	if (!keep)
		return NULL;
	keep->is_alone = !getenv("NOTIFY_SOCKET") || (room && !strtoul(room, NULL, 10));
	keep->next = 1;
	keep->max = room && !keep->is_alone ? strtoul(room, NULL, 10) : SIZE_MAX;
	if (!keep->is_alone)
		take_over_listened(keep);
	take_over_passed(keep);
	return keep;
}

bool keep_is_alone(const struct keep *keep)
{
	return keep->is_alone;
}

void keep_destroy(struct keep *keep)
{
	if (!keep)
		return;
	while (keep->count)
		forget(keep, keep->held);
	free(keep->held);
	free(keep);
}

/* --- While this process runs ------------------------------------------------------ */

static int copy_fd(int fd)
{
	int copy;

	fd_limit_open_reserve();
	copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	fd_limit_close_reserve();
	return copy;
}

/* Takes a descriptor for a moment. Returns false with errno set. */
static bool tell(const char *text, const int *fd)
{
	int ret;

	fd_limit_open_reserve();
	ret = sd_pid_notify_with_fds(0, false, text, fd, fd ? 1 : 0);
	fd_limit_close_reserve();
	errno = ret < 0 ? -ret : ENOTCONN;
	return ret > 0;
}

static bool tell_hold(const struct held *held)
{
	char name[NAME_SIZE], text[2 * NAME_SIZE];
	struct stat st;

	name_of(name, held);
	/*
	 * A descriptor that hangs up is dropped by systemd: that is right for the front end's
	 * socket. An eventfd whose counter is full looks alike.
	 */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s%s", name,
		 !fstat(held->fd, &st) && S_ISSOCK(st.st_mode) ? "" : "\nFDPOLL=0");
	return tell(text, &held->fd);
}

static uint32_t hold(struct keep *keep, int fd, bool is_state)
{
	struct held new = { .is_state = is_state, .users = 1 }, *held = find_file(keep, fd);
	int error;

	if (held) {
		held->users++;
		return held->number;
	}
	if (keep->count >= keep->max) {
		errno = ENOSPC;
		return 0;
	}
	/* After 2^32 numbers they begin again. */
	while (!keep->next || find(keep, keep->next))
		keep->next++;
	new.number = keep->next;
	new.fd = copy_fd(fd);
	if (new.fd < 0)
		return 0;
	held = add(keep, &new);
	if (held && (keep->is_alone || tell_hold(held)))
		return new.number;
	error = held ? errno : ENOMEM;
	if (held)
		forget(keep, held);
	else
		close(new.fd);
	errno = error;
	return 0;
}

uint32_t keep_hold(struct keep *keep, int fd)
{
	return hold(keep, fd, false);
}

uint32_t keep_hold_state(struct keep *keep, int fd)
{
	return hold(keep, fd, true);
}

/* A holder that cannot be told holds it until the next start drops it. */
static void tell_drop(const struct held *held)
{
	char name[NAME_SIZE], text[2 * NAME_SIZE];

	name_of(name, held);
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	tell(text, NULL);
}

static void drop(struct keep *keep, struct held *held)
{
	if (!keep->is_alone)
		tell_drop(held);
	forget(keep, held);
}

void keep_drop(struct keep *keep, uint32_t number)
{
	struct held *held = find(keep, number);

	if (held && held->users <= 1)
		drop(keep, held);
	else if (held)
		held->users--;
}

int keep_take(struct keep *keep, uint32_t number)
{
	struct held *held = find(keep, number);
	int fd = held ? copy_fd(held->fd) : -1;

	if (fd >= 0)
		held->users++;
	return fd;
}

uint32_t keep_find(struct keep *keep, const char *magic)
{
	char begin[MAGIC_SIZE];

	for (size_t i = keep->count; i-- > 0;) {
		const struct held *held = &keep->held[i];

		if (held->is_state && pread(held->fd, begin, MAGIC_SIZE, 0) == MAGIC_SIZE &&
		    !memcmp(begin, magic, MAGIC_SIZE))
			return held->number;
	}
	return 0;
}

static bool listens(const struct held *held)
{
	int yes = 0;
	socklen_t len = sizeof(yes);

	return !getsockopt(held->fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) && yes;
}

bool keep_is_own(struct keep *keep, uint32_t number)
{
	const struct held *held = find(keep, number);

	return held && (held->is_state || listens(held));
}

int keep_take_listener(struct keep *keep, uint32_t *number)
{
	*number = 0;
	for (size_t i = 0; i < keep->count; i++) {
		if (keep->held[i].users || !listens(&keep->held[i]))
			continue;
		*number = keep->held[i].number;
		return keep_take(keep, *number);
	}
	return -1;
}

/* The states first: without one no successor looks for the others. */
void keep_be_alone(struct keep *keep)
{
	for (int states = 1; states >= 0 && !keep->is_alone; states--)
		for (size_t i = 0; i < keep->count; i++)
			if (keep->held[i].is_state == states)
				tell_drop(&keep->held[i]);
	keep->is_alone = true;
	keep->max = SIZE_MAX;
	/* For the program that comes next, too. */
	setenv("FDSTORE", "0", true);
}

void keep_drop_rest(struct keep *keep)
{
	for (size_t i = keep->count; i-- > 0;) {
		if (!keep->held[i].users)
			drop(keep, &keep->held[i]);
	}
}

int keep_pass(struct keep *keep, bool pass)
{
	char *text, name[NAME_SIZE];
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int ret;

	if (!out)
		return -errno;
	fprintf(out, "%d", getpid());
	for (size_t i = 0; i < keep->count; i++) {
		name_of(name, &keep->held[i]);
		fprintf(out, " %d=%s", keep->held[i].fd, name);
		fcntl(keep->held[i].fd, F_SETFD, pass ? 0 : FD_CLOEXEC);
	}
	if (fclose(out)) {
		ret = -errno;
		free(text);
		return ret;
	}
	ret = pass ? setenv(PASSED, text, true) : unsetenv(PASSED);
	free(text);
	return ret ? -errno : 0;
}
