// SPDX-License-Identifier: MIT
/* The guest's command and library, as a user meets them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "channel.h"

struct command {
	pid_t pid;
	int in, out, err;		/* our ends of its standard files */
};

/* Runs "manyport ARGUMENT..." (a list that NULL ends). */
static struct command run_command(const char *const *arguments)
{
	int in[2], out[2], err[2];
	struct command command;

	CHECK_OK(pipe2(in, O_CLOEXEC) + pipe2(out, O_CLOEXEC) + pipe2(err, O_CLOEXEC));
	command.pid = fork();
	CHECK_GE(command.pid, 0);
	if (!command.pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		execvp("manyport", (char **)arguments);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	command.in = in[1];
	command.out = out[0];
	command.err = err[0];
	return command;
}

#define RUN(...) run_command((const char *const []){ "manyport", __VA_ARGS__, NULL })
#define CONNECT(...) RUN("connect", "--port", PORT_MULTI, __VA_ARGS__)

static int status_of(const struct command *command)
{
	int status;

	CHECK_EQ(waitpid(command->pid, &status, 0), command->pid);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) == 127)
		test_skip("no manyport command in this guest");
	return WEXITSTATUS(status);
}

/* All that comes until the end, as text. */
static const char *text_of(int fd)
{
	static char text[8192];
	size_t len = 0;
	ssize_t ret;

	while ((ret = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += ret;
	text[len] = '\0';
	return text;
}

static void expect_words(int fd, const char *words)
{
	const char *text = text_of(fd);

	if (!strstr(text, words))
		FAIL("'%s' is not in '%s'", words, text);
}

/* ---- connect ---- */

TEST(connect_echoes)
{
	struct command c = CONNECT("echo");

	CHECK_OK(write(c.in, "hello", 5));
	close(c.in);
	CHECK(!strcmp(text_of(c.out), "hello"));
	CHECK_EQ(status_of(&c), 0);
	CHECK(!strcmp(text_of(c.err), ""));
}

static void write_much(void *arg)
{
	write_pattern(*(int *)arg, 3 * MUCH + 1, 1, 0);
}

TEST(connect_moves_much_both_ways)
{
	struct command c = CONNECT("echo");
	pid_t pid = spawn(write_much, &c.in);

	close(c.in);
	read_pattern(c.out, 3 * MUCH + 1, 1, 0);
	JOIN(pid);
	expect_end(c.out);
	CHECK_EQ(status_of(&c), 0);
}

TEST(connect_goes_on_after_the_end_of_its_input)
{
	unsigned int index = puppet_next();
	struct command c = CONNECT("puppet");

	write_pattern(c.in, 1000, 1, 0);
	close(c.in);
	puppet_await(index);
	expect_arrived(&(struct puppet){ -1, index }, 1000, 1);
	/* It has been told of the end, and only now it speaks. */
	ctl("send %u 1000 2", index);
	read_pattern(c.out, 1000, 2, 0);
	ctl("close %u", index);
	CHECK_EQ(status_of(&c), 0);
}

TEST(connect_ends_with_the_service)
{
	unsigned int index = puppet_next();
	struct command c = CONNECT("puppet");

	puppet_await(index);
	ctl("send %u 1000 1", index);
	ctl("close %u", index);
	read_pattern(c.out, 1000, 1, 0);
	/* Its input stays open: that must not hold it. */
	CHECK_EQ(status_of(&c), 0);
}

TEST(connect_says_why_it_is_refused)
{
	struct command c = CONNECT("nothing");

	CHECK_EQ(status_of(&c), 125);
	expect_words(c.err, "ENOENT");
	c = CONNECT("refused");
	CHECK_EQ(status_of(&c), 125);
	expect_words(c.err, "ECONNREFUSED");
	c = CONNECT("secret");
	CHECK_EQ(status_of(&c), 126);
	expect_words(c.err, "EACCES");
	c = RUN("connect", "--port", "no-such-port", "echo");
	CHECK_EQ(status_of(&c), 125);
	expect_words(c.err, "ENODEV");
}

/* In silence: a message of the command would mean that the status is its own. */
TEST(connect_ends_as_a_program_that_fails)
{
	struct command c = CONNECT("fail");

	read_pattern(c.out, 100000, 1, 0);
	CHECK_EQ(status_of(&c), 3);
	CHECK_EQ(strlen(text_of(c.err)), 0);
}

TEST(connect_to_a_fixed_port)
{
	struct command c = RUN("connect", "--port", PORT_FIXED);

	CHECK_OK(write(c.in, "hello", 5));
	char back[5];
	read_all(c.out, back, 5);
	CHECK(!memcmp(back, "hello", 5));
	kill(c.pid, SIGTERM);
}

TEST(usage_errors)
{
	static const char *const wrong[][4] = {
		{ "manyport", NULL }, { "manyport", "no-such-command", NULL },
		{ "manyport", "connect", "--no-such-option", NULL },
		{ "manyport", "forward", NULL }, { "manyport", "forward", "-L80", NULL },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct command c = run_command(wrong[i]);

		CHECK_EQ(status_of(&c), 2);
		expect_words(c.err, "--help");
	}
}

TEST(help)
{
	struct command c = RUN("--help");

	CHECK_EQ(status_of(&c), 0);
	expect_words(c.out, "forward");
	c = RUN("connect", "--help");
	CHECK_EQ(status_of(&c), 0);
	expect_words(c.out, "--port");
}

TEST(list)
{
	struct command c = RUN("list");
	const char *text;

	CHECK_EQ(status_of(&c), 0);
	text = text_of(c.out);
	CHECK(strstr(text, "multi    " PORT_MULTI "\n"));
	CHECK(strstr(text, "fixed    " PORT_AGENT "\n"));
}

/* ---- forward ---- */

static int connect_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	strcpy(address.sun_path, path);
	CHECK_OK(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

static int connect_tcp(unsigned int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = CHECK_OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	CHECK_OK(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

/* Waits for the line that says a listener is there. Returns a TCP listener's port. */
static unsigned int await_listener(struct command *c)
{
	unsigned int port = 0;
	char line[300];
	size_t len = 0;
	ssize_t ret;

	do {
		ret = read(c->err, line + len, 1);
		if (ret != 1)
			status_of(c);	/* skips where there is no command */
		CHECK_EQ(ret, 1);
	} while (line[len++] != '\n');
	line[len] = '\0';
	CHECK(strstr(line, "forwarding"));
	if (strstr(line, "TCP port "))
		port = atoi(strstr(line, "TCP port ") + 9);
	return port;
}

#define SOCKET "/tmp/forward.sock"
#define FORWARD(...) RUN("forward", "-p", PORT_MULTI, __VA_ARGS__)

TEST(forward_a_unix_socket)
{
	struct command c = FORWARD("-L", SOCKET ":echo");
	int fds[10];

	await_listener(&c);
	for (int i = 0; i < 10; i++)
		fds[i] = connect_unix(SOCKET);
	for (int i = 0; i < 10; i++)
		write_pattern(fds[i], 1000, i, 0);
	for (int i = 0; i < 10; i++)
		read_pattern(fds[i], 1000, i, 0);
	kill(c.pid, SIGTERM);
	CHECK_EQ(status_of(&c), 0);
	CHECK_FAILS(access(SOCKET, F_OK), ENOENT);
}

/* Few connections are served at once, whatever else runs; among many a client is not preempted. */
TEST(forward_gives_way_with_many_connections)
{
	struct command c = FORWARD("-L", SOCKET ":echo");
	int fds[40];

	await_listener(&c);
	for (int i = 0; i < 40; i++) {
		fds[i] = connect_unix(SOCKET);
		write_pattern(fds[i], 1000, i, 0);
		read_pattern(fds[i], 1000, i, 0);
		CHECK_EQ(sched_getscheduler(c.pid), i < 31 ? SCHED_OTHER : SCHED_BATCH);
	}
	for (int i = 0; i < 40; i++)
		close(fds[i]);
	while (CHECK_OK(sched_getscheduler(c.pid)) != SCHED_OTHER)
		sched_yield();
	kill(c.pid, SIGTERM);
	CHECK_EQ(status_of(&c), 0);
}

TEST(forward_tcp)
{
	struct command c = FORWARD("-L", "0:echo");
	unsigned int port = await_listener(&c);
	int fd = connect_tcp(port);
	pid_t pid = spawn(write_much, &fd);

	read_pattern(fd, 3 * MUCH + 1, 1, 0);
	JOIN(pid);
	kill(c.pid, SIGTERM);
}

TEST(forward_passes_each_end_alone)
{
	unsigned int index = puppet_next();
	struct command c = FORWARD("-L", SOCKET ":puppet");
	int fd;

	await_listener(&c);
	fd = connect_unix(SOCKET);
	puppet_await(index);
	write_pattern(fd, 1000, 1, 0);
	CHECK_OK(shutdown(fd, SHUT_WR));
	expect_arrived(&(struct puppet){ -1, index }, 1000, 1);
	ctl("send %u 1000 2", index);
	ctl("end %u", index);
	read_pattern(fd, 1000, 2, 0);
	expect_end(fd);
	kill(c.pid, SIGTERM);
}

TEST(forward_the_other_end_first)
{
	unsigned int index = puppet_next();
	struct command c = FORWARD("-L", SOCKET ":puppet");
	int fd;

	await_listener(&c);
	fd = connect_unix(SOCKET);
	puppet_await(index);
	ctl("send %u 1000 2", index);
	ctl("end %u", index);
	read_pattern(fd, 1000, 2, 0);
	expect_end(fd);
	write_pattern(fd, 1000, 1, 0);
	close(fd);
	expect_arrived(&(struct puppet){ -1, index }, 1000, 1);
	kill(c.pid, SIGTERM);
}

TEST(forward_stops_who_is_not_read)
{
	unsigned int index = puppet_next();
	struct command c = FORWARD("-L", SOCKET ":puppet", "-L", SOCKET "2:echo");
	int stalled, other;
	uint64_t len;

	await_listener(&c);
	await_listener(&c);
	stalled = connect_unix(SOCKET);
	puppet_await(index);
	len = fill(stalled, 1, 0);
	/* Only what fits into buffers was taken, and another connection works. */
	CHECK_LE(len, 3 * MUCH);
	other = connect_unix(SOCKET "2");
	for (int i = 0; i < 100; i++)
		echo_once(other, "goes on");
	close(stalled);
	expect_arrived(&(struct puppet){ -1, index }, len, 1);
	kill(c.pid, SIGTERM);
	status_of(&c);
}

TEST(forward_resets_what_is_refused)
{
	struct command c = FORWARD("-L", "0:nothing");
	unsigned int port = await_listener(&c);
	int fd = connect_tcp(port);
	char byte;

	CHECK_FAILS(read(fd, &byte, 1), ECONNRESET);
	kill(c.pid, SIGTERM);
	CHECK_EQ(status_of(&c), 0);
	expect_words(c.err, "ENOENT");
}

static void reset_client(int fd)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(fd);
}

TEST(forward_aborts_for_a_client_that_resets)
{
	struct command c = FORWARD("-L", "0:tcp");
	unsigned int port = await_listener(&c), index = puppet_next();
	struct puppet p = { connect_tcp(port), index };

	puppet_await(index);
	write_pattern(p.fd, 50000, 1, 0);
	expect_got(&p, 50000, 1);
	reset_client(p.fd);
	CHECK_EQ(expect_over(&p, 1, "reset"), 50000);
	/* And where the service takes nothing: what has not arrived does not. */
	p.index = puppet_next();
	p.fd = connect_tcp(port);
	puppet_await(p.index);
	CHECK_GT(fill(p.fd, 1, 0), 0);
	reset_client(p.fd);
	expect_over(&p, 1, "reset");
	kill(c.pid, SIGTERM);
	CHECK_EQ(status_of(&c), 0);
}

TEST(forward_delivers_an_upload_that_does_not_listen)
{
	struct command c = FORWARD("-L", SOCKET ":puppet");
	unsigned int index;
	struct puppet p;

	await_listener(&c);
	index = puppet_next();
	p = (struct puppet){ connect_unix(SOCKET), index };
	puppet_await(index);
	/* The service talks without end, and takes nothing before that was heard. */
	ctl("send %u 3000000 1", index);
	wait_poll(p.fd, POLLIN);
	write_pattern(p.fd, 200000, 1, 0);
	close(p.fd);
	CHECK(!strcmp(ctl("sent %u", index), "3000000"));
	expect_arrived(&p, 200000, 1);
	kill(c.pid, SIGTERM);
	CHECK_EQ(status_of(&c), 0);
}

static uint64_t read_to_the_reset(int fd, uint64_t seed)
{
	char buf[4096];
	uint64_t len = 0;
	ssize_t ret;

	while ((ret = read(fd, buf, sizeof(buf))) > 0) {
		CHECK_EQ(pattern_check(buf, ret, seed, len), ret);
		len += ret;
	}
	CHECK_EQ(ret, -1);
	CHECK_EQ(errno, ECONNRESET);
	return len;
}

/* The program exits with a status: its client reads slowly, gets all of it, then a reset. */
TEST(forward_delivers_before_a_failure)
{
	struct command c = FORWARD("-L", "0:fail");
	unsigned int port = await_listener(&c);
	const int little = 4096;

	for (int i = 0; i < 5; i++) {
		int fd = connect_tcp(port);

		CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)));
		CHECK_EQ(read_to_the_reset(fd, 1), 100000);
		close(fd);
	}
	kill(c.pid, SIGTERM);
	CHECK_EQ(status_of(&c), 0);
}

TEST(forward_ends_with_the_client)
{
	unsigned int index = puppet_next();
	struct command c = FORWARD("-L", SOCKET ":puppet");
	int fd;

	await_listener(&c);
	fd = connect_unix(SOCKET);
	puppet_await(index);
	close(fd);
	ctl("read %u all", index);
	CHECK(!strcmp(ctl("eof %u", index), "0 end good"));
	kill(c.pid, SIGTERM);
}

TEST(forward_replaces_a_stale_socket)
{
	struct command c = FORWARD("-L", SOCKET ":echo");

	await_listener(&c);
	kill_and_wait(c.pid);
	CHECK_OK(access(SOCKET, F_OK));
	c = FORWARD("-L", SOCKET ":echo");
	await_listener(&c);
	echo_once(connect_unix(SOCKET), "data");
	/* One that is in use is not taken away. */
	struct command second = FORWARD("-L", SOCKET ":echo");
	CHECK_EQ(status_of(&second), 1);
	echo_once(connect_unix(SOCKET), "data");
	kill(c.pid, SIGTERM);
	CHECK_EQ(status_of(&c), 0);
}

/* ---- the library ---- */

TEST(library_finds_ports)
{
	struct manyport_port ports[32];
	int count = manyport_list(ports, 32), multi = -1;
	char path[256], by_node[256];

	CHECK_GE(count, 5);
	for (int i = 0; i < count; i++)
		if (!strcmp(ports[i].name, PORT_MULTI))
			multi = i;
	CHECK_GE(multi, 0);
	CHECK_EQ(ports[multi].kind, MANYPORT_PORT_MULTI);
	CHECK_EQ(manyport_find(ports[multi].node, path, sizeof(path)), 0);
	CHECK(!strcmp(path, ports[multi].node));
	CHECK_EQ(manyport_find(ports[multi].node + 5, by_node, sizeof(by_node)), 0);
	CHECK(!strcmp(path, by_node));
	CHECK_EQ(manyport_find("no-such-port", path, sizeof(path)), -ENODEV);
	CHECK_EQ(manyport_find(PORT_MULTI, path, 3), -ENAMETOOLONG);
}

TEST(connect_aborts_when_its_input_breaks)
{
	unsigned int index = puppet_next();
	int fds[2];
	pid_t pid;

	/* A socket that is closed with bytes unread is an input that gives an error. */
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	pid = fork();
	CHECK_GE(pid, 0);
	if (!pid) {
		dup2(fds[0], 0);
		execlp("manyport", "manyport", "connect", "--port", PORT_MULTI, "tcp", NULL);
		_exit(127);
	}
	CHECK_OK(write(fds[0], "unread", 6));
	close(fds[0]);
	write_pattern(fds[1], 1000, 1, 0);
	puppet_await(index);
	expect_got(&(struct puppet){ -1, index }, 1000, 1);
	close(fds[1]);
	CHECK_EQ(expect_over(&(struct puppet){ -1, index }, 1, "reset"), 1000);
	CHECK_EQ(status_of(&(struct command){ .pid = pid }), 1);
}

TEST(library_opens_channels)
{
	int fd;

	unsetenv(MANYPORT_PORT_ENV);
	fd = manyport_open(NULL, "echo", O_CLOEXEC);
	CHECK_GE(fd, 0);
	echo_once(fd, "data");
	setenv(MANYPORT_PORT_ENV, PORT_TINY, 1);
	CHECK_GE(manyport_open(NULL, "echo", O_CLOEXEC), 0);
	CHECK_EQ(manyport_open(PORT_MULTI, "nothing", 0), -ENOENT);
	CHECK_EQ(manyport_open(PORT_MULTI, "echo", O_TRUNC), -EINVAL);
	CHECK_EQ(manyport_open("no-such-port", "echo", 0), -ENODEV);
	fd = manyport_open(PORT_MULTI, "echo", O_NONBLOCK);
	CHECK_GE(fd, 0);
	wait_poll(fd, POLLOUT);
	CHECK_EQ(manyport_connect(fd, "echo"), 0);
}
