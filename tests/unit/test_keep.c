// SPDX-License-Identifier: MIT
/*
 * Descriptors that outlive a process, with a service manager that the test plays: it holds what it
 * is sent and gives it to the next process, as systemd does. Each process is a copy of this one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "keep/keep.h"

#define MAX_HELD	16
#define MAGIC		"MPSTATE1"

/* The manager. */
static struct {
	int socket;
	struct {
		char name[64];
		int fd;
		bool is_polled;
	} held[MAX_HELD];
	int count;
	int thrown_away;	/* the same file a second time */
} manager;

static int begin(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(address);
	char path[sizeof(address.sun_path) + 1];

	(void)state;
	manager.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* A name of its own, made by the kernel. */
	assert_int_equal(bind(manager.socket, (void *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(manager.socket, (void *)&address, &len), 0);
	snprintf(path, sizeof(path), "@%s", address.sun_path + 1);
	setenv("NOTIFY_SOCKET", path, 1);
	unsetenv("FDSTORE");
	return 0;
}

static int end(void **state)
{
	(void)state;
	while (manager.count)
		close(manager.held[--manager.count].fd);
	close(manager.socket);
	memset(&manager, 0, sizeof(manager));
	return 0;
}

static bool is_held(int fd)
{
	for (int i = 0; i < manager.count; i++) {
		if (!syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, manager.held[i].fd))
			return true;
	}
	return false;
}

static void manager_removes(const char *name)
{
	for (int i = manager.count; i-- > 0;) {
		if (strcmp(manager.held[i].name, name))
			continue;
		close(manager.held[i].fd);
		manager.held[i] = manager.held[--manager.count];
	}
}

static void manager_does(const char *text, int fd)
{
	const char *name = strstr(text, "FDNAME=");

	assert_non_null(name);
	name += strlen("FDNAME=");
	if (strstr(text, "FDSTOREREMOVE=1\n") == text) {
		manager_removes(name);
	} else if (is_held(fd)) {
		manager.thrown_away++;
		close(fd);
	} else {
		assert_ptr_equal(strstr(text, "FDSTORE=1\n"), text);
		assert_true(fd >= 0 && manager.count < MAX_HELD);
		manager.held[manager.count].fd = fd;
		manager.held[manager.count].is_polled = !strstr(text, "\nFDPOLL=0");
		snprintf(manager.held[manager.count++].name, 64, "%.*s",
			 (int)strcspn(name, "\n"), name);
	}
}

static void manager_reads(void)
{
	char text[256], control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *rights;
	ssize_t len;
	int fd;

	for (;;) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		len = recvmsg(manager.socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (len < 0)
			break;
		text[len] = '\0';
		rights = CMSG_FIRSTHDR(&message);
		fd = -1;
		if (rights)
			memcpy(&fd, CMSG_DATA(rights), sizeof(fd));
		manager_does(text, fd);
	}
	assert_int_equal(errno, EAGAIN);
}

/* In the new process: what is held lies from 3 on. */
static void lay_out(void)
{
	char number[16], names[1024] = "";

	for (int i = 0; i < manager.count; i++)
		manager.held[i].fd = fcntl(manager.held[i].fd, F_DUPFD, 100);
	for (int i = 0; i < manager.count; i++) {
		dup2(manager.held[i].fd, 3 + i);
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s",
			 i ? ":" : "", manager.held[i].name);
	}
	snprintf(number, sizeof(number), "%d", getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof(number), "%d", manager.count);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

static void expect(bool is_true, const char *what, int line)
{
	if (is_true)
		return;
	fprintf(stderr, "# line %d: not true: %s (errno %d)\n", line, what, errno);
	_exit(1);
}
#define EXPECT(what) expect(what, #what, __LINE__)

/* A process that does @work, and ends in the middle of it all. */
static void live(void (*work)(struct keep *keep))
{
	int status, pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		lay_out();
		log_setup(LOG_LEVEL_ERROR);
		work(keep_create());
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	manager_reads();
}

static int memory(const char *content)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	EXPECT(write(fd, content, strlen(content)) == (ssize_t)strlen(content));
	return fd;
}

static bool has(int fd, const char *content)
{
	char bytes[64];

	return pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)strlen(content) &&
	       !memcmp(bytes, content, strlen(content));
}

/* --- Hold, take, drop -------------------------------------------------------------- */

static void holds_three(struct keep *keep)
{
	int pair[2];

	EXPECT(keep);
	EXPECT(keep_hold(keep, memory("one")) == 1);
	EXPECT(keep_hold(keep, memory("two")) == 2);
	keep_drop(keep, 2);
	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	EXPECT(keep_hold(keep, pair[0]) == 3);
	EXPECT(keep_hold(keep, eventfd(5, 0)) == 4);
	EXPECT(keep_take(keep, 2) < 0 && keep_take(keep, 5) < 0 && keep_take(keep, 0) < 0);
	keep_drop(keep, 0);
	keep_drop(keep, 77);
	keep_destroy(keep);
}

static void takes_one(struct keep *keep)
{
	uint64_t value;
	int fd = keep_take(keep, 1);

	EXPECT(has(fd, "one") && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	EXPECT(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID") && !getenv("LISTEN_FDNAMES"));
	fd = keep_take(keep, 4);
	EXPECT(read(fd, &value, sizeof(value)) == sizeof(value) && value == 5);
	keep_drop_rest(keep);
	/* Above all that is held, also by the process before. */
	EXPECT(keep_hold(keep, memory("five")) == 5);
	/* What was held since is no rest. */
	keep_drop_rest(keep);
}

static void test_lives(void **state)
{
	(void)state;
	live(holds_three);
	assert_int_equal(manager.count, 3);
	assert_string_equal(manager.held[0].name, "mp1");
	assert_string_equal(manager.held[1].name, "mp3");
	/* The socket alone is dropped when the other side has hung up. */
	assert_true(manager.held[1].is_polled);
	assert_false(manager.held[0].is_polled || manager.held[2].is_polled);
	live(takes_one);
	assert_int_equal(manager.count, 3);
	assert_string_equal(manager.held[0].name, "mp1");
	assert_string_equal(manager.held[1].name, "mp4");
	assert_string_equal(manager.held[2].name, "mp5");
}

/* --- One open file, many times ----------------------------------------------------- */

static void holds_twice(struct keep *keep)
{
	int fd = memory("one"), again = dup(fd);

	EXPECT(keep_hold(keep, fd) == 1);
	EXPECT(keep_hold(keep, memory("two")) == 2);
	close(fd);
	EXPECT(keep_hold(keep, again) == 1);
	close(again);
	keep_drop(keep, 1);
}

static void takes_twice(struct keep *keep)
{
	int first = keep_take(keep, 1), second = keep_take(keep, 1);

	EXPECT(first != second && has(first, "one") && has(second, "one"));
	EXPECT(keep_hold(keep, first) == 1);
	keep_drop(keep, 1);
	keep_drop(keep, 1);
	keep_drop_rest(keep);
	EXPECT(keep_take(keep, 1) >= 0 && keep_take(keep, 2) < 0);
	keep_drop(keep, 1);
}

static void drops_last(struct keep *keep)
{
	EXPECT(keep_take(keep, 1) >= 0);
	keep_drop(keep, 1);
	EXPECT(keep_take(keep, 1) < 0);
}

static void test_same_file(void **state)
{
	(void)state;
	live(holds_twice);
	assert_int_equal(manager.count, 2);
	assert_int_equal(manager.thrown_away, 0);
	live(takes_twice);
	assert_int_equal(manager.count, 1);
	live(drops_last);
	assert_int_equal(manager.count, 0);
}

/* --- The state --------------------------------------------------------------------- */

static void holds_states(struct keep *keep)
{
	/* The guest's memory can begin as it likes. */
	EXPECT(keep_hold(keep, memory(MAGIC "forged")) == 1);
	EXPECT(!keep_find(keep, MAGIC));
	EXPECT(keep_hold_state(keep, memory(MAGIC "older")) == 2);
	EXPECT(keep_hold_state(keep, memory(MAGIC "newer")) == 3);
	EXPECT(keep_hold_state(keep, memory("MPSTATE2 unknown")) == 4);
	EXPECT(keep_hold(keep, memory(MAGIC "forged, too")) == 5);
}

static void finds_state(struct keep *keep)
{
	uint32_t number = keep_find(keep, MAGIC);

	EXPECT(number == 3 && has(keep_take(keep, number), MAGIC "newer"));
	EXPECT(!keep_find(keep, "MPSTATE3"));
	keep_drop_rest(keep);
}

static void test_state(void **state)
{
	(void)state;
	live(holds_states);
	live(finds_state);
	assert_int_equal(manager.count, 1);
	assert_string_equal(manager.held[0].name, "mp3-state");
}

/* --- What is none of ours ---------------------------------------------------------- */

static void ignores_foreign(struct keep *keep)
{
	EXPECT(keep_take(keep, 1) < 0 && keep_take(keep, 7) < 0);
	keep_drop_rest(keep);
	keep_destroy(keep);
	/* They are open still, close-on-exec. */
	for (int i = 0; i < manager.count; i++)
		EXPECT(fcntl(3 + i, F_GETFD) == FD_CLOEXEC);
}

static void test_foreign(void **state)
{
	static const char *const names[] = {
		"unknown", "connection", "mp", "mp0", "mp01", "mp+1", "mp 1", "mp7x", "mp7-",
		"mp7-stat",
		"mp7-state-", "mp4294967296", "mp-1", "stored",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		manager.held[i].fd = eventfd(0, EFD_CLOEXEC);
		snprintf(manager.held[i].name, sizeof(manager.held[i].name), "%s", names[i]);
		manager.count++;
	}
	live(ignores_foreign);
	assert_int_equal(manager.count, sizeof(names) / sizeof(names[0]));
}

/* For another process: sd_listen_fds(3) says that these are not ours then. */
static void test_other_process(void **state)
{
	struct keep *keep;

	(void)state;
	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "mp1", 1);
	keep = keep_create();
	assert_non_null(keep);
	assert_int_equal(keep_take(keep, 1), -1);
	keep_destroy(keep);
}

/* Here it is held all the same: for another program in the process. */
static void has_none(struct keep *keep)
{
	int fd = memory("one"), inherited = dup(fd);

	EXPECT(keep_is_alone(keep));
	EXPECT(keep_hold(keep, fd) == 1 && keep_hold_state(keep, memory(MAGIC)) == 2);
	EXPECT(has(keep_take(keep, 1), "one") && keep_find(keep, MAGIC) == 2);
	keep_drop(keep, 2);
	EXPECT(keep_take(keep, 2) < 0 && !keep_find(keep, MAGIC));
	keep_drop_rest(keep);
	EXPECT(!keep_pass(keep, true) && !keep_pass(keep, false));
	EXPECT(fcntl(inherited, F_GETFD) == 0);
	keep_destroy(keep);
}

static void test_no_holder(void **state)
{
	(void)state;
	setenv("FDSTORE", "0", 1);
	live(has_none);
	unsetenv("FDSTORE");
	unsetenv("NOTIFY_SOCKET");
	live(has_none);
}

/* The holder is given up: it holds nothing, and hears of nothing any more. */
static void gives_up(struct keep *keep)
{
	EXPECT(!keep_is_alone(keep));
	EXPECT(keep_hold(keep, memory("one")) == 1);
	EXPECT(keep_hold_state(keep, memory(MAGIC)) == 2);
	keep_be_alone(keep);
	EXPECT(keep_is_alone(keep));
	EXPECT(has(keep_take(keep, 1), "one") && keep_find(keep, MAGIC) == 2);
	for (uint32_t number = 3; number < 10; number++)
		EXPECT(keep_hold(keep, memory("more")) == number);
	keep_drop(keep, 2);
}

static void test_gives_up(void **state)
{
	(void)state;
	setenv("FDSTORE", "3", 1);
	live(gives_up);
	assert_int_equal(manager.count, 0);
}

/* --- Sockets that listen ------------------------------------------------------------ */

static int listener(void)
{
	const struct sockaddr_un any = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	EXPECT(!bind(fd, (const void *)&any, sizeof(sa_family_t)) && !listen(fd, 1));
	return fd;
}

static void holds_listeners(struct keep *keep)
{
	uint32_t number;

	EXPECT(keep_hold(keep, listener()) == 1);
	EXPECT(keep_hold(keep, memory("none")) == 2);
	EXPECT(keep_hold(keep, listener()) == 3);
	/* These are of this process. */
	EXPECT(keep_take_listener(keep, &number) < 0 && !number);
}

/* Each of them once; one that is held again is none that is left. */
static void takes_listeners(struct keep *keep)
{
	uint32_t number;
	int fd = keep_take_listener(keep, &number);

	EXPECT(fd >= 0 && number == 1);
	EXPECT(keep_hold(keep, fd) == 1);
	EXPECT(keep_take_listener(keep, &number) >= 0 && number == 3);
	EXPECT(keep_take_listener(keep, &number) < 0 && !number);
	keep_drop(keep, 3);
	keep_drop_rest(keep);
}

static void test_listeners(void **state)
{
	(void)state;
	live(holds_listeners);
	assert_int_equal(manager.count, 3);
	live(takes_listeners);
	assert_int_equal(manager.count, 1);
}

/* --- No room ----------------------------------------------------------------------- */

static void meets_limit(struct keep *keep)
{
	int first = memory("one");

	EXPECT(keep_hold(keep, first) == 1 && keep_hold(keep, memory("two")) == 2);
	EXPECT(!keep_hold(keep, memory("three")) && errno == ENOSPC);
	EXPECT(keep_hold(keep, first) == 1);
	keep_drop(keep, 2);
	EXPECT(keep_hold(keep, memory("four")) == 3);
}

static void finds_no_descriptor(struct keep *keep)
{
	struct rlimit limit;
	int fd = memory("one");

	EXPECT(!getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = fd + 1;
	EXPECT(!setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT(!keep_hold(keep, fd) && errno == EMFILE);
	/* Of two that it needs. */
	limit.rlim_cur = fd + 2;
	EXPECT(!setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT(!keep_hold(keep, fd) && errno == EMFILE);
	limit.rlim_cur = fd + 3;
	EXPECT(!setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT(keep_hold(keep, fd));
}

static void reaches_none(struct keep *keep)
{
	setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
	EXPECT(!keep_hold(keep, memory("one")) && errno == ENOENT);
	EXPECT(keep_take(keep, 1) < 0);
	unsetenv("NOTIFY_SOCKET");
	EXPECT(!keep_hold(keep, memory("one")) && errno == ENOTCONN);
}

static void test_no_room(void **state)
{
	(void)state;
	setenv("FDSTORE", "2", 1);
	live(meets_limit);
	assert_int_equal(manager.count, 2);
	unsetenv("FDSTORE");
	end(NULL);
	begin(NULL);
	live(finds_no_descriptor);
	assert_int_equal(manager.count, 1);
	live(reaches_none);
	assert_int_equal(manager.count, 1);
}

/* --- Another program in the same process --------------------------------------------- */

/* Descriptors that another program would get. */
static int count_inherited(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += !fcntl(fd, F_GETFD);
	return count;
}

static void passes(struct keep *keep)
{
	char *const none[] = { "none", NULL }, *const again[] = { "test_keep", "again", NULL };
	int inherited = count_inherited();

	if (getenv("WITH_NO_HOLDER"))
		keep_be_alone(keep);
	EXPECT(keep_hold(keep, memory("one")) == 1);
	EXPECT(keep_hold_state(keep, memory(MAGIC "state")) == 2);
	EXPECT(!keep_pass(keep, true));
	EXPECT(count_inherited() == inherited + 2);
	EXPECT(execv("/nonexistent", none) < 0 && !keep_pass(keep, false));
	EXPECT(count_inherited() == inherited);
	EXPECT(!getenv("MANYPORTD_HELD"));
	EXPECT(!keep_pass(keep, true));
	execv("/proc/self/exe", again);
	EXPECT(false);
}

/* The new program. */
static int after_execve(void)
{
	struct keep *keep = keep_create();
	int fd = keep_take(keep, 1);

	EXPECT(has(fd, "one") && fcntl(fd, F_GETFD) == FD_CLOEXEC && !getenv("MANYPORTD_HELD"));
	EXPECT(keep_is_alone(keep) == !!getenv("WITH_NO_HOLDER"));
	EXPECT(keep_find(keep, MAGIC) == 2);
	EXPECT(keep_hold(keep, memory("three")) == 3);
	keep_drop_rest(keep);
	EXPECT(keep_take(keep, 2) < 0);
	keep_destroy(keep);
	return 0;
}

static void test_pass(void **state)
{
	(void)state;
	live(passes);
	assert_int_equal(manager.count, 2);
	assert_string_equal(manager.held[0].name, "mp1");
	assert_string_equal(manager.held[1].name, "mp3");
	end(NULL);
	begin(NULL);
	setenv("WITH_NO_HOLDER", "1", 1);
	live(passes);
	unsetenv("WITH_NO_HOLDER");
	assert_int_equal(manager.count, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lives, begin, end),
		cmocka_unit_test_setup_teardown(test_same_file, begin, end),
		cmocka_unit_test_setup_teardown(test_state, begin, end),
		cmocka_unit_test_setup_teardown(test_foreign, begin, end),
		cmocka_unit_test_setup_teardown(test_other_process, begin, end),
		cmocka_unit_test_setup_teardown(test_no_holder, begin, end),
		cmocka_unit_test_setup_teardown(test_gives_up, begin, end),
		cmocka_unit_test_setup_teardown(test_listeners, begin, end),
		cmocka_unit_test_setup_teardown(test_no_room, begin, end),
		cmocka_unit_test_setup_teardown(test_pass, begin, end),
	};

	if (argc > 1 && !strcmp(argv[1], "again"))
		return after_execve();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
