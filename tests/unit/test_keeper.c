// SPDX-License-Identifier: MIT
/*
 * The keeper, with small programs: this one, started again with the name of a part below. Each
 * writes
 * into a file what it sees, and the test reads it when the keeper has ended.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "keep/keep.h"
#include "keep/keeper.h"
#include "keep/store.h"

#define MAGIC	"LIVES001"
#define RECORD	(2 * STORE_MAX)

/* What the programs write; inherited by all of them. */
static int record;

static void expect(bool is_true, const char *what, int line)
{
	if (is_true)
		return;
	dprintf(record, "line %d: not true: %s (errno %d)\n", line, what, errno);
	_exit(EXIT_SUCCESS);
}
#define EXPECT(what) expect(what, #what, __LINE__)

static int count_fds(void)
{
	DIR *list = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(list))
		count++;
	closedir(list);
	return count;
}

static int memory(const char *content)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	EXPECT(write(fd, content, strlen(content)) == (ssize_t)strlen(content));
	return fd;
}

/* --- Parts ------------------------------------------------------------------------- */

/* How a life ends. */
static void die(int how)
{
	sigset_t none;

	if (how <= 0)
		_exit(-how);
	signal(how, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	raise(how);
	pause();
}

struct lives {
	char magic[8];
	int lives, fds;
	uint32_t counter, memory;	/* held under */
};

static struct lives first_life(struct keep *keep)
{
	struct lives state = { .magic = MAGIC };

	state.counter = keep_hold(keep, eventfd(0, EFD_CLOEXEC));
	state.memory = keep_hold(keep, memory("life 0"));
	EXPECT(state.counter && state.memory);
	return state;
}

/* Each life finds what the last one has held, and holds something of its own. */
static void next_life(struct keep *keep, struct lives *state)
{
	char text[32], expected[32];
	uint64_t count;
	int fd = keep_take(keep, state->counter);
	uint32_t number;

	EXPECT(read(fd, &count, sizeof(count)) == sizeof(count) && count == 1);
	fd = keep_take(keep, state->memory);
	snprintf(expected, sizeof(expected), "life %d", state->lives - 1);
	EXPECT(pread(fd, text, sizeof(text), 0) == (ssize_t)strlen(expected));
	EXPECT(!memcmp(text, expected, strlen(expected)));
	close(fd);
	keep_drop_rest(keep);
	snprintf(expected, sizeof(expected), "life %d", state->lives);
	fd = memory(expected);
	number = keep_hold(keep, fd);
	close(fd);
	EXPECT(number > state->memory);
	keep_drop(keep, state->memory);
	state->memory = number;
}

/* lives COUNT HOW...: so many lives, which end as said, in turns; the last one well. */
static void part_lives(char **args)
{
	struct keep *keep = keep_create();
	uint32_t number = keep_find(keep, MAGIC);
	int fd = number ? keep_take(keep, number) : memory(""), ways = 0;
	const uint64_t one = 1;
	struct lives state;

	EXPECT(keep && number == keep_find(keep, MAGIC));
	if (number) {
		EXPECT(pread(fd, &state, sizeof(state), 0) == sizeof(state));
		next_life(keep, &state);
	} else {
		state = first_life(keep);
	}
	if (!number)
		EXPECT(pwrite(fd, &state, sizeof(state), 0) == sizeof(state) &&
		       keep_hold_state(keep, fd));
	if (state.lives == 1)
		state.fds = count_fds();
	EXPECT(state.lives < 1 || state.fds == count_fds());
	state.lives++;
	EXPECT(pwrite(fd, &state, sizeof(state), 0) == sizeof(state));
	fd = keep_take(keep, state.counter);
	EXPECT(write(fd, &one, sizeof(one)) == sizeof(one));
	sd_notify(0, "READY=1");
	if (state.lives == atoi(args[0])) {
		dprintf(record, "%d lives\n", state.lives);
		_exit(0);
	}
	while (args[1 + ways])
		ways++;
	die(atoi(args[1 + (state.lives - 1) % ways]));
}

/* dies HOW: says that it has begun, and is ready unless HOW has a minus more. */
static void part_dies(char **args)
{
	dprintf(record, "begun\n");
	if (args[1])
		sd_notify(0, "READY=1");
	die(atoi(args[0]));
}

/* signals: says which come; ends with SIGTERM. */
static void part_signals(char **args)
{
	int number;
	sigset_t set;

	(void)args;
	/* One that comes now waits until it is asked for. */
	dprintf(record, "begun\n");
	sigfillset(&set);
	do {
		number = sigwaitinfo(&set, NULL);
		dprintf(record, "signal %d\n", number);
	} while (number != SIGTERM);
	EXPECT(getpgid(0) == getpid());
}

/* stubborn HOW: does not end by SIGTERM well, but by a failure or a signal. */
static void part_stubborn(char **args)
{
	sigset_t set;
	int number;

	dprintf(record, "begun\n");
	sd_notify(0, "READY=1");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &number);
	die(atoi(args[0]));
}

/* given: finds "given" at the descriptor that its keeper was given, in three lives. */
static void part_given(char **args)
{
	struct keep *keep = keep_create();
	uint32_t number = keep_find(keep, MAGIC);
	char text[6];
	int fd = -1;

	(void)args;
	EXPECT(keeper_is_parent(&fd) && fd > 2);
	EXPECT(pread(fd, text, sizeof(text), 0) == 5 && !memcmp(text, "given", 5));
	sd_notify(0, "READY=1");
	/* More and more of those that lie from 3 on. */
	for (int i = 0; i < 20; i++)
		EXPECT(keep_hold(keep, memory("more")));
	dprintf(record, "given\n");
	if (number > 21)
		_exit(0);
	EXPECT(keep_hold_state(keep, memory(MAGIC)));
	die(SIGKILL);
}

static pid_t spawn(void (*work)(void))
{
	int ready[2], pid;
	char byte;

	EXPECT(!pipe(ready));
	pid = fork();
	if (!pid) {
		work();
		EXPECT(write(ready[1], "", 1) == 1);
		for (;;)
			pause();
	}
	EXPECT(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void become_polite(void)
{
	sigset_t none;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_stubborn(void)
{
	setsid();
	signal(SIGTERM, SIG_IGN);
}

static void become_parents(void)
{
	setsid();
	/* In a session of its own, as its child. */
	EXPECT(spawn(become_stubborn) > 0);
}

static int count_processes(pid_t *all)
{
	char path[64];
	FILE *list;
	int count = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", getppid(), getppid());
	list = fopen(path, "re");
	EXPECT(list);
	while (fscanf(list, "%d", all) == 1)
		count++;
	fclose(list);
	return count;
}

/* programs: leaves some, and in its second life there is none. */
static void part_programs(char **args)
{
	struct keep *keep = keep_create();
	pid_t last;

	(void)args;
	EXPECT(count_processes(&last) == 1 && last == getpid());
	if (keep_find(keep, MAGIC)) {
		dprintf(record, "alone\n");
		_exit(0);
	}
	EXPECT(keep_hold_state(keep, memory(MAGIC)));
	sd_notify(0, "READY=1");
	dprintf(record, "%d\n", spawn(become_polite));
	dprintf(record, "%d\n", spawn(become_stubborn));
	dprintf(record, "%d\n", spawn(become_parents));
	die(SIGKILL);
}

static void send_raw(const char *text, size_t len, const int *fds, int count)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *name = getenv("NOTIFY_SOCKET");
	union {
		char space[CMSG_SPACE(253 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (void *)text, len };
	struct msghdr message = {
		.msg_name = &address, .msg_iov = &iov, .msg_iovlen = 1,
		.msg_namelen = offsetof(struct sockaddr_un, sun_path) + strlen(name),
	};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	memcpy(address.sun_path, name, strlen(name));
	if (count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		CMSG_FIRSTHDR(&message)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&message)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), fds, count * sizeof(int));
	}
	EXPECT(sendmsg(fd, &message, 0) == (ssize_t)len);
	close(fd);
}

static void send_text(const char *text, const int *fds, int count)
{
	send_raw(text, strlen(text), fds, count);
}

/* Another process of the same user. */
static void send_from_another(void)
{
	int fd = memory("foreign"), pid = fork();

	if (!pid) {
		send_text("FDSTORE=1\nFDNAME=mp50", &fd, 1);
		send_text("READY=1\nSTATUS=foreign", NULL, 0);
		_exit(0);
	}
	EXPECT(waitpid(pid, NULL, 0) == pid);
	close(fd);
}

static void send_nonsense(void)
{
	static char huge[100000];
	int fds[253], fd = memory("nonsense");

	for (int i = 0; i < 253; i++)
		fds[i] = fd;
	memset(huge, 'x', sizeof(huge));
	send_raw(huge, sizeof(huge), &fd, 1);
	memcpy(huge, "FDSTORE=1\nFDNAME=", 17);
	send_raw(huge, sizeof(huge), &fd, 1);
	huge[0] = '\0';
	send_raw(huge, 1000, fds, 253);
	send_text("FDNAME=mp60", &fd, 1);
	send_text("FDSTORE=1", NULL, 0);
	send_text("FDSTORE=1\nFDNAME=a:b", &fd, 1);
	/* What no successor would know, and drop. */
	send_text("FDSTORE=1\nFDNAME=mp8-other", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=mp", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=x9", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=a\tb", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=a-name-that-has-more-than-31-bytes", &fd, 1);
	send_text("FDSTOREREMOVE=1\nFDSTORE=1\nFDNAME=mp61", &fd, 1);
	send_text("FDSTORE=2\nFDNAME=mp62", &fd, 1);
	send_text("MAINPID=1\nBUSERROR=x\nWATCHDOG_USEC=1\nNOTIFYACCESS=all", NULL, 0);
	send_text("FDSTORE=1\nFDNAME=mp7", fds, 253);
	send_text("FDSTORE=1\nFDNAME=mp7", &fd, 1);
	send_text("FDSTORE=1", &fd, 1);
}

/* hostile: says all that it should not. */
static void part_hostile(char **args)
{
	const char *names = getenv("LISTEN_FDNAMES");

	(void)args;
	if (*names) {
		dprintf(record, "%s\n", names);
		_exit(0);
	}
	send_from_another();
	send_nonsense();
	send_text("STATUS=is well\nREADY=1", NULL, 0);
	send_text("RELOADING=1\nMONOTONIC_USEC=12\n", NULL, 0);
	send_text("MONOTONIC_USEC=12x\nRELOADING=1", NULL, 0);
	send_text("STOPPING=1", NULL, 0);
	die(SIGKILL);
}

/* full: holds as much as there is room for, twice. */
static void part_full(char **args)
{
	int count = atoi(getenv("LISTEN_FDS"));
	struct keep *keep = keep_create();

	(void)args;
	EXPECT(atoi(getenv("FDSTORE") ?: "0") == STORE_MAX);
	if (count) {
		dprintf(record, "%d\n", count);
		_exit(0);
	}
	while (count < STORE_MAX) {
		int fd = eventfd(0, EFD_CLOEXEC);

		/* By other means: keep.c holds a copy of each, and there may not be so many. */
		char text[64];

		snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=mp%d", ++count);
		send_text(text, &fd, 1);
		close(fd);
	}
	EXPECT(keep_hold(keep, eventfd(0, EFD_CLOEXEC)));
	die(SIGKILL);
}

/* A connection whose close waits for a minute: the test takes nothing of it. */
static int make_lingering(const char *port)
{
	const struct linger minute = { .l_onoff = 1, .l_linger = 60 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(port)),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static char bytes[1 << 16];

	EXPECT(!connect(fd, (void *)&address, sizeof(address)));
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	EXPECT(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &minute, sizeof(minute)));
	return fd;
}

static void send_lingering(const char *port, const char *text)
{
	int fd = make_lingering(port);

	send_text(text, &fd, 1);
	close(fd);
}

/*
 * lingers PORT: sends what cannot be closed at once, while the keeper sleeps, so that its close is
 * the last.
 */
static void part_lingers(char **args)
{
	struct keep *keep = keep_create();
	int pid;

	if (keep_find(keep, MAGIC)) {
		dprintf(record, "again\n");
		_exit(0);
	}
	EXPECT(keep_hold_state(keep, memory(MAGIC)));
	sd_notify(0, "READY=1");
	kill(getppid(), SIGSTOP);
	pid = fork();
	if (!pid) {
		send_lingering(args[0], "FDSTORE=1\nFDNAME=mp50");
		_exit(0);
	}
	EXPECT(waitpid(pid, NULL, 0) == pid);
	send_lingering(args[0], "FDSTORE=1\nFDNAME=no name");
	send_lingering(args[0], "FDSTORE=1\nFDNAME=mp51");
	send_text("FDSTOREREMOVE=1\nFDNAME=mp51", NULL, 0);
	kill(getppid(), SIGCONT);
	die(SIGKILL);
}

/* place: says how the folder of its socket looks. */
static void part_place(char **args)
{
	char *path = getenv("NOTIFY_SOCKET");
	struct stat st;

	(void)args;
	EXPECT(!stat(path, &st) && S_ISSOCK(st.st_mode));
	*strrchr(path, '/') = '\0';
	EXPECT(!stat(path, &st));
	dprintf(record, "%o %d\n", st.st_mode & 0777, st.st_uid == geteuid());
	_exit(0);
}

static const struct {
	const char *name;
	void (*act)(char **args);
} parts[] = {
	{ "lives", part_lives }, { "dies", part_dies }, { "signals", part_signals },
	{ "stubborn", part_stubborn }, { "given", part_given }, { "programs", part_programs },
	{ "hostile", part_hostile }, { "full", part_full }, { "lingers", part_lingers },
	{ "place", part_place },
};

static void play(char **args)
{
	record = atoi(args[0]);
	log_setup(LOG_LEVEL_ERROR);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!strcmp(parts[i].name, args[1]))
			parts[i].act(args + 2);
	}
}

/* --- The tests ---------------------------------------------------------------------- */

static char words[16][16];
static int given = -1;

static pid_t begin(const char *line)
{
	char *args[16] = { "test_keeper", words[0] };
	struct keeper_config config = { .path = "/proc/self/exe", .argv = args, .fd = given };
	int count = 2, before, pid;

	/* Where no descriptor comes to lie that a program gets. */
	pid = memfd_create("record", MFD_CLOEXEC);
	record = fcntl(pid, F_DUPFD, RECORD);
	assert_true(record >= 0);
	close(pid);
	fcntl(record, F_SETFL, O_APPEND);
	snprintf(words[0], sizeof(words[0]), "%d", record);
	for (const char *word = line; *word; word += strcspn(word, " ") + !!strchr(word, ' ')) {
		snprintf(words[count], sizeof(words[0]), "%.*s", (int)strcspn(word, " "), word);
		args[count] = words[count];
		count++;
	}
	config.may_crash = !strncmp(line, "lives", 5);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	log_setup(LOG_LEVEL_ERROR);
	before = count_fds();
	count = keeper_run(&config);
	if (count_fds() != before)
		dprintf(record, "descriptors: %d before, %d after\n", before, count_fds());
	_exit(count);
}

/* Returns its status, and what was recorded. */
static int end(pid_t pid, char *text, size_t size)
{
	int status;
	ssize_t len;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	len = pread(record, text, size - 1, 0);
	assert_true(len >= 0);
	text[len] = '\0';
	close(record);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void expect_play(const char *line, int status, const char *expected)
{
	char text[4096];
	int got = end(begin(line), text, sizeof(text));

	assert_string_equal(text, expected);
	assert_int_equal(got, status);
}

static void test_ways(void **state)
{
	(void)state;
	/* Signals, and failures by -STATUS. */
	expect_play("lives 12 9 11 6 7 8 4 15 1 2 -1 -70", 0, "12 lives\n");
}

static void test_many(void **state)
{
	const char *many = getenv("KEEPER_LIVES") ?: "100";
	char line[32], lives[32];

	(void)state;
	snprintf(line, sizeof(line), "lives %s 9", many);
	snprintf(lives, sizeof(lives), "%s lives\n", many);
	expect_play(line, 0, lives);
}

static void test_statuses(void **state)
{
	(void)state;
	expect_play("dies -0 ready", 0, "begun\n");
	expect_play("dies -64 ready", 64, "begun\n");
	expect_play("dies -78 ready", 78, "begun\n");
	/* A start that fails is told at once. */
	expect_play("dies -1", 1, "begun\n");
	expect_play("dies -5", 5, "begun\n");
}

static void test_loop(void **state)
{
	const char *ten = "begun\nbegun\nbegun\nbegun\nbegun\nbegun\nbegun\nbegun\nbegun\nbegun\n";

	(void)state;
	expect_play("dies 11 ready", 1, ten);
	expect_play("dies 9", 1, ten);
	expect_play("dies -1 ready", 1, ten);
}

static void await(const char *what)
{
	char text[4096];
	ssize_t len;

	do {
		usleep(1000);
		len = pread(record, text, sizeof(text) - 1, 0);
		text[len] = '\0';
	} while (!strstr(text, what));
}

static void test_signals(void **state)
{
	static const int numbers[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGINT, SIGTERM };
	char text[4096], expected[4096] = "begun\n";
	pid_t pid = begin("signals");

	(void)state;
	await("begun\n");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		char line[32];

		snprintf(line, sizeof(line), "signal %d\n", numbers[i]);
		strcat(expected, line);
		kill(pid, numbers[i]);
		await(line);
	}
	assert_int_equal(end(pid, text, sizeof(text)), 0);
	assert_string_equal(text, expected);
}

/* One that was to end is not started again, however it ends. */
static void test_end(void **state)
{
	static const struct {
		const char *line;
		int status;
	} ends[] = {
		{ "stubborn 15", 0 }, { "stubborn -0", 0 }, { "stubborn -1", 1 },
		{ "stubborn 11", 1 },
	};
	char text[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		pid_t pid = begin(ends[i].line);

		await("begun\n");
		kill(pid, SIGTERM);
		assert_int_equal(end(pid, text, sizeof(text)), ends[i].status);
		assert_string_equal(text, "begun\n");
	}
}

static void test_given(void **state)
{
	int fd = -1;

	(void)state;
	assert_false(keeper_is_parent(&fd));
	given = memory("given");
	expect_play("given", 0, "given\ngiven\ngiven\n");
	close(given);
	given = -1;
}

static void test_programs(void **state)
{
	char text[4096], *at = text;
	int status = end(begin("programs"), text, sizeof(text)), pid, len;

	(void)state;
	assert_int_equal(status, 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sscanf(at, "%d\n%n", &pid, &len), 1);
		assert_true(kill(pid, 0) < 0 && errno == ESRCH);
		at += len;
	}
	assert_string_equal(at, "alone\n");
}

/* The keeper's own manager. */
static int outer_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char name[sizeof(address.sun_path) + 1];
	socklen_t len = sizeof(address);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (void *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(fd, (void *)&address, &len), 0);
	snprintf(name, sizeof(name), "@%s", address.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void test_hostile(void **state)
{
	static const char *const expected[] = {
		"STATUS=is well", "READY=1", "RELOADING=1\nMONOTONIC_USEC=12",
		"RELOADING=1\nMONOTONIC_USEC=", "STOPPING=1",
		"STATUS=Starts again after a failure (signal 9)",
	};
	char text[4096];
	int outer = outer_socket();
	ssize_t len;

	(void)state;
	expect_play("hostile", 0, "mp7\n");
	unsetenv("NOTIFY_SOCKET");
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		len = recv(outer, text, sizeof(text) - 1, MSG_DONTWAIT);
		assert_true(len > 0);
		text[len] = '\0';
		assert_string_equal(text, expected[i]);
	}
	assert_true(recv(outer, text, sizeof(text), MSG_DONTWAIT) < 0);
	close(outer);
}

static void test_full(void **state)
{
	char expected[16];

	(void)state;
	snprintf(expected, sizeof(expected), "%d\n", STORE_MAX);
	expect_play("full", 0, expected);
}

/* A close that waits keeps the keeper from nothing. */
static void test_lingers(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	time_t begun = time(NULL);
	socklen_t len = sizeof(address);
	char line[32], text[4096];

	(void)state;
	assert_int_equal(bind(listener, (void *)&address, len), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(getsockname(listener, (void *)&address, &len), 0);
	snprintf(line, sizeof(line), "lingers %d", ntohs(address.sin_port));
	assert_int_equal(end(begin(line), text, sizeof(text)), 0);
	assert_memory_equal(text, "again\n", 6);
	assert_in_range(time(NULL) - begun, 0, 30);
	close(listener);
}

static int look_for_socket(const char *path)
{
	DIR *list = opendir(path);
	struct dirent *entry;
	int count = 0;

	assert_non_null(list);
	while ((entry = readdir(list)))
		count += entry->d_name[0] != '.';
	closedir(list);
	return count;
}

/* No other user comes near the socket, and nothing is left of it. */
static void test_place(void **state)
{
	char folder[] = "/tmp/test_keeper.XXXXXX", long_path[200];

	(void)state;
	assert_non_null(mkdtemp(folder));
	setenv("RUNTIME_DIRECTORY", folder, 1);
	expect_play("place", 0, "700 1\n");
	assert_int_equal(look_for_socket(folder), 0);
	assert_int_equal(rmdir(folder), 0);
	/* Where that is no place there is another one. */
	expect_play("place", 0, "700 1\n");
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	setenv("RUNTIME_DIRECTORY", long_path, 1);
	expect_play("place", 0, "700 1\n");
	unsetenv("RUNTIME_DIRECTORY");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_given),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_lingers),
		cmocka_unit_test(test_place),
	};

	if (argc > 2) {
		play(argv + 1);
		return 0;
	}
	unsetenv("NOTIFY_SOCKET");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
