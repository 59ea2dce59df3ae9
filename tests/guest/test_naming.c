// SPDX-License-Identifier: MIT
/* The first write names the service. */
#include <signal.h>
#include <sys/uio.h>

#include "channel.h"

/* Names a new channel by one write, which must be taken whole. */
static int name_by(const void *text, size_t len)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_EQ(write(fd, text, len), len);
	CHECK_EQ(channel_info(fd).state, MANYPORT_CONNECTED);
	return fd;
}

static void expect_no_name(const void *text, size_t len, int error)
{
	int fd = port_open(PORT_MULTI, 0);
	ssize_t ret = write(fd, text, len);

	if (ret != -1 || errno != error)
		FAIL("write of \"%s\" gave %zd, errno %d, expected errno %d", (const char *)text,
		     ret, errno, error);
	close(fd);
}

TEST(ends_at_the_nul)
{
	int fd = name_by("echo\0data", 9);
	char back[4];

	read_all(fd, back, 4);
	CHECK(!memcmp(back, "data", 4));
	CHECK(!strcmp(channel_info(fd).service, "echo"));
}

TEST(ends_with_the_write)
{
	echo_once(name_by("echo", 4), "next write");
}

TEST(nul_alone_carries_no_data)
{
	echo_once(name_by("echo", 5), "first");
}

TEST(one_newline_is_dropped)
{
	int fd = name_by("echo\n", 5);

	CHECK(!strcmp(channel_info(fd).service, "echo"));
	echo_once(fd, "data");
	expect_no_name("echo\n\n", 6, EINVAL);
}

TEST(pipe_prefix_is_ignored)
{
	int fd = name_by("pipe:echo", 10);

	CHECK(!strcmp(channel_info(fd).service, "echo"));
	echo_once(fd, "data");
}

TEST(segments_make_one_write)
{
	struct iovec parts[] = { { "ec", 2 }, { "", 0 }, { "ho\0da", 5 }, { "ta", 2 } };
	int fd = port_open(PORT_MULTI, 0);
	char back[4];

	CHECK_EQ(writev(fd, parts, 4), 9);
	read_all(fd, back, 4);
	CHECK(!memcmp(back, "data", 4));
}

TEST(much_data_behind_the_name)
{
	struct puppet puppet = { .index = puppet_next() };
	size_t name = sizeof("puppet"), len = name + (1 << 20);
	char *buf = malloc(len);

	puppet.fd = port_open(PORT_MULTI, 0);
	memcpy(buf, "puppet", name);
	pattern_fill(buf + name, len - name, 5, 0);
	/* The host reads during the write: it needs the puppet's number. */
	pid_t pid = fork();
	CHECK_GE(pid, 0);
	if (!pid) {
		CHECK_EQ(write(puppet.fd, buf, len), len);
		_exit(0);
	}
	puppet_await(puppet.index);
	expect_got(&puppet, len - name, 5);
	JOIN(pid);
}

/* The environment of a program that an exec: service runs. */
static void read_report(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t ret;

	while ((ret = read(fd, text + len, size - 1 - len)) > 0)
		len += ret;
	CHECK_EQ(ret, 0);
	text[len] = '\0';
}

static void expect_line(const char *text, const char *line)
{
	size_t len = strlen(line);
	const char *at = text;

	while ((at = strstr(at, line))) {
		if ((at == text || at[-1] == '\n') && at[len] == '\n')
			return;
		at += len;
	}
	FAIL("no line '%s' in:\n%s", line, text);
}

TEST(argument_follows_the_plus)
{
	char text[4096];
	int fd = name_by("report+a b+c", 13);

	CHECK(!strcmp(channel_info(fd).service, "report+a b+c"));
	read_report(fd, text, sizeof(text));
	expect_line(text, "MANYPORT_SERVICE=report");
	expect_line(text, "MANYPORT_ARGUMENT=a b+c");
}

TEST(an_argument_may_be_utf_8)
{
	char text[4096];
	int fd = name_by("report+\xc3\xa4 \xe2\x82\xac", 13);

	CHECK(!strcmp(channel_info(fd).service, "report+\xc3\xa4 \xe2\x82\xac"));
	read_report(fd, text, sizeof(text));
	expect_line(text, "MANYPORT_ARGUMENT=\xc3\xa4 \xe2\x82\xac");
}

TEST(longest_name)
{
	char name[300] = "pipe:report+", text[4096], line[300];
	int fd;

	memset(name + 12, 'x', 255 - 7);
	fd = name_by(name, 5 + 255 + 1);
	CHECK_EQ(strlen(channel_info(fd).service), 255);
	read_report(fd, text, sizeof(text));
	snprintf(line, sizeof(line), "MANYPORT_ARGUMENT=%s", name + 12);
	expect_line(text, line);
}

/* As programs of Windows and its files write lines. */
TEST(one_cr_lf_is_dropped)
{
	char name[300] = "report+", text[4096];
	int fd = name_by("echo\r\n", 6);

	CHECK(!strcmp(channel_info(fd).service, "echo"));
	echo_once(fd, "data");
	expect_no_name("echo\r\r\n", 7, EINVAL);
	expect_no_name("echo\r", 5, EINVAL);
	expect_no_name("echo\n\r\n", 7, EINVAL);
	expect_no_name("\r\n", 2, EINVAL);
	memset(name + 7, 'x', 255 - 7);
	memcpy(name + 255, "\r\n", 2);
	fd = name_by(name, 257);
	CHECK_EQ(strlen(channel_info(fd).service), 255);
	read_report(fd, text, sizeof(text));
}

TEST(too_long)
{
	char name[1000] = "report+";

	memset(name + 7, 'x', sizeof(name) - 7);
	expect_no_name(name, 256, ENAMETOOLONG);
	expect_no_name(name, sizeof(name), ENAMETOOLONG);
	name[256] = '\0';
	expect_no_name(name, 257, ENAMETOOLONG);
	name[0] = '\0';
}

TEST(not_a_name)
{
	expect_no_name("", 1, EINVAL);
	expect_no_name("\n", 1, EINVAL);
	expect_no_name("pipe:", 6, EINVAL);
	expect_no_name("+argument", 10, EINVAL);
	expect_no_name("ec ho", 6, EINVAL);
	expect_no_name("ec\tho", 6, EINVAL);
	expect_no_name("ec\x7fho", 6, EINVAL);
	expect_no_name("\xc3\xa9" "cho", 6, EINVAL);
	expect_no_name("echo+\x1b", 7, EINVAL);
}

TEST(an_empty_write_names_nothing)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_EQ(write(fd, "", 0), 0);
	CHECK_EQ(channel_info(fd).state, MANYPORT_UNNAMED);
	channel_name(fd, "echo");
	echo_once(fd, "data");
}

TEST(a_bad_pointer_names_nothing)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_FAILS(write(fd, no_memory(), 10), EFAULT);
	CHECK_EQ(channel_info(fd).state, MANYPORT_UNNAMED);
	channel_name(fd, "echo");
	echo_once(fd, "data");
}

TEST(compared_byte_by_byte)
{
	expect_no_name("Echo", 5, ENOENT);
	expect_no_name("ech", 4, ENOENT);
	expect_no_name("echo2", 6, ENOENT);
}

/* ---- without blocking ---- */

TEST(nonblocking_consumes_nothing_until_answered)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);
	char back[4];

	CHECK_FAILS(write(fd, "echo\0data", 9), EAGAIN);
	AWAIT_POLL(fd, POLLOUT);
	CHECK_EQ(write(fd, "echo\0data", 9), 9);
	read_all(fd, back, 4);
	CHECK(!memcmp(back, "data", 4));
	write_all(fd, "more", 4);
	read_all(fd, back, 4);
	CHECK(!memcmp(back, "more", 4));
}

TEST(nonblocking_repeats_eagain_while_connecting)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	ctl("fill backlog");
	CHECK_FAILS(write(fd, "backlog\0data", 12), EAGAIN);
	CHECK_FAILS(write(fd, "backlog\0data", 12), EAGAIN);
	barrier();
	CHECK_POLL(fd, 0);
	CHECK_FAILS(write(fd, "backlog\0data", 12), EAGAIN);
	ctl("drain backlog");
	AWAIT_POLL(fd, POLLOUT);
	/* The data of the repeat counts, and only once. */
	CHECK_EQ(write(fd, "backlog\0DATAS", 13), 13);
	puppet_await(0);
	ctl("keep 0");
	ctl("read 0 all");
	ctl("got 0 5");
	ctl("reflect 0");
	char back[5];
	read_all(fd, back, 5);
	CHECK(!memcmp(back, "DATAS", 5));
}

TEST(nonblocking_refusal_is_given_by_the_repeat)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	CHECK_FAILS(write(fd, "nothing", 8), EAGAIN);
	wait_poll(fd, POLLOUT);
	CHECK_FAILS(write(fd, "nothing", 8), ENOENT);
	AWAIT_POLL(fd, POLLOUT | POLLERR);
}

TEST(ealready_for_another_name)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	ctl("fill backlog");
	CHECK_FAILS(write(fd, "backlog", 8), EAGAIN);
	CHECK_FAILS(write(fd, "echo", 5), EALREADY);
	CHECK_FAILS(write(fd, "backlog+x", 10), EALREADY);
	set_nonblock(fd, false);
	CHECK_FAILS(write(fd, "echo", 5), EALREADY);
	set_nonblock(fd, true);
	ctl("drain backlog");
	wait_poll(fd, POLLOUT);
	CHECK_FAILS(write(fd, "echo", 5), EALREADY);
	CHECK_EQ(write(fd, "backlog", 8), 8);
}

TEST(a_blocking_repeat_waits_for_the_answer)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	CHECK_FAILS(write(fd, "echo", 5), EAGAIN);
	set_nonblock(fd, false);
	CHECK_EQ(write(fd, "echo", 5), 5);
	echo_once(fd, "data");
}

struct interrupted {
	int fd;
	volatile int is_done;
};

static void write_until_interrupted(void *arg)
{
	struct interrupted *shared = arg;

	catch_usr1(false);
	CHECK_FAILS(write(shared->fd, "backlog\0data", 12), EINTR);
	shared->is_done = 1;
}

TEST(interrupted_consumes_nothing)
{
	struct interrupted *shared = shared_alloc(sizeof(*shared));
	pid_t pid;

	signal(SIGUSR1, SIG_IGN);
	ctl("fill backlog");
	shared->fd = port_open(PORT_MULTI, 0);
	pid = spawn(write_until_interrupted, shared);
	nag(pid, &shared->is_done);
	JOIN(pid);
	ctl("drain backlog");
	CHECK_EQ(write(shared->fd, "backlog\0data", 12), 12);
	puppet_await(0);
	ctl("read 0 all");
	close(shared->fd);
	CHECK(!strcmp(ctl("eof 0"), "4 end good"));
}

static void name_backlog(void *arg)
{
	channel_name(*(int *)arg, "backlog");
}

TEST(a_killed_namer_does_not_hurt_the_others)
{
	int fd = port_open(PORT_MULTI, 0);
	pid_t pid;

	ctl("fill backlog");
	pid = spawn(name_backlog, &fd);
	await_state(fd, MANYPORT_CONNECTING);
	kill_and_wait(pid);
	ctl("drain backlog");
	AWAIT_POLL(fd, POLLOUT);
	channel_name(fd, "backlog");
	write_pattern(fd, 100, 1, 0);
	puppet_await(0);
	close(fd);
	expect_arrived(&(struct puppet){ -1, 0 }, 100, 1);
}

TEST(close_while_connecting)
{
	int fd = port_open(PORT_MULTI, O_NONBLOCK);

	ctl("fill backlog");
	CHECK_FAILS(write(fd, "backlog", 8), EAGAIN);
	close(fd);
	/* The next channel, perhaps in the same slot, is not touched by the old one. */
	fd = channel_open("echo", 0);
	ctl("drain backlog");
	echo_once(fd, "data");
}

TEST(the_service_learns_who_opened)
{
	char text[4096], line[100];
	int fd = name_by("report", 7);

	read_report(fd, text, sizeof(text));
	snprintf(line, sizeof(line), "MANYPORT_UID=%u", getuid());
	expect_line(text, line);
	snprintf(line, sizeof(line), "MANYPORT_GID=%u", getgid());
	expect_line(text, line);
	snprintf(line, sizeof(line), "MANYPORT_PID=%u", getpid());
	expect_line(text, line);
	expect_line(text, "MANYPORT_PORT=" PORT_MULTI);
	expect_line(text, "MANYPORT_COMM=manyport-guest-");
}
