// SPDX-License-Identifier: MIT
/* What a keeper is told by its program, also by a hostile one, and what it holds of that. */
#include "keeper_rig.h"

#define MAGIC	"LIVES001"

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
	send_text("FDSTORE=1\nFDNAME=mp0", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=mp007", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=mp4294967296", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=mp18446744073709551623", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=x9", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=a\tb", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=a-name-that-has-more-than-31-bytes", &fd, 1);
	send_text("FDSTOREREMOVE=1\nFDSTORE=1\nFDNAME=mp61", &fd, 1);
	send_text("FDSTORE=2\nFDNAME=mp62", &fd, 1);
	send_text("MAINPID=1\nBUSERROR=x\nWATCHDOG_USEC=1\nNOTIFYACCESS=all", NULL, 0);
	send_text("FDSTORE=1\nFDNAME=mp7", fds, 253);
	send_text("FDSTORE=1\nFDNAME=mp7", &fd, 1);
	send_text("FDSTORE=1\nFDNAME=mp7-state", &fd, 1);
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

/* A connection whose close waits for ten minutes: the test takes nothing of it. */
static int make_lingering(const char *port)
{
	const struct linger long_time = { .l_onoff = 1, .l_linger = 600 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(port)),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static char bytes[1 << 16];

	EXPECT(!connect(fd, (void *)&address, sizeof(address)));
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	EXPECT(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &long_time, sizeof(long_time)));
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

/* holds PORT: what the keeper holds when it ends cannot be closed at once. */
static void part_holds(char **args)
{
	send_lingering(args[0], "FDSTORE=1\nFDNAME=mp51");
	dprintf(record, "held\n");
	_exit(0);
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

static const struct part parts[] = {
	{ "hostile", part_hostile }, { "full", part_full }, { "lingers", part_lingers },
	{ "holds", part_holds }, { "place", part_place },
	{ 0 },
};

/* --- The tests ---------------------------------------------------------------------- */

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

static void play_lingering(const char *part, const char *expected)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	time_t begun = time(NULL);
	socklen_t len = sizeof(address);
	char line[32], text[4096];

	assert_int_equal(bind(listener, (void *)&address, len), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(getsockname(listener, (void *)&address, &len), 0);
	snprintf(line, sizeof(line), "%s %d", part, ntohs(address.sin_port));
	assert_int_equal(end(begin(line), text, sizeof(text)), 0);
	assert_memory_equal(text, expected, strlen(expected));
	assert_in_range(time(NULL) - begun, 0, 300);
	close(listener);
}

/* A close that waits keeps the keeper from nothing. */
static void test_lingers(void **state)
{
	(void)state;
	play_lingering("lingers", "again\n");
}

/* Nor from its end. */
static void test_holds(void **state)
{
	(void)state;
	play_lingering("holds", "held\n");
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
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_lingers),
		cmocka_unit_test(test_holds),
		cmocka_unit_test(test_place),
	};

	if (argc > 2) {
		play(parts, argv + 1);
		return 0;
	}
	unsetenv("NOTIFY_SOCKET");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
