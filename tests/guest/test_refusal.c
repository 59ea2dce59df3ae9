// SPDX-License-Identifier: MIT
/* Refused names: each reason, that a refusal stays, and who is admitted. */
#include <sys/stat.h>

#include "channel.h"

static void expect_refused(const char *name, int error)
{
	int fd = port_open(PORT_MULTI, 0);
	ssize_t ret = write(fd, name, strlen(name) + 1);

	if (ret != -1 || errno != error)
		FAIL("write of \"%s\" gave %zd, errno %d, expected errno %d", name, ret, errno,
		     error);
	close(fd);
}

TEST(enoent_for_an_unknown_service)
{
	expect_refused("nothing", ENOENT);
}

TEST(eacces_by_policy)
{
	expect_refused("secret", EACCES);
}

TEST(ebusy_at_the_limit_of_a_service)
{
	int first = channel_open("limited", 0), second = channel_open("limited", 0);

	expect_refused("limited", EBUSY);
	echo_once(first, "one");
	echo_once(second, "two");
	/* A channel that was refused counts for nothing. */
	expect_refused("limited", EBUSY);
}

TEST(econnrefused_when_nobody_listens)
{
	expect_refused("refused", ECONNREFUSED);
}

TEST(etimedout_when_nobody_answers)
{
	ctl("fill backlog");
	expect_refused("backlog", ETIMEDOUT);
}

TEST(a_slow_answer_is_waited_for)
{
	int fd = port_open(PORT_MULTI, 0);
	pid_t pid;

	ctl("fill backlog");
	pid = fork();
	CHECK_GE(pid, 0);
	if (!pid) {
		channel_name(fd, "backlog");
		write_pattern(fd, 100, 3, 0);
		_exit(0);
	}
	await_state(fd, MANYPORT_CONNECTING);
	CHECK_POLL(fd, 0);
	ctl("drain backlog");
	JOIN(pid);
	puppet_await(0);
	expect_got(&(struct puppet){ fd, 0 }, 100, 3);
}

TEST(a_refusal_stays)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_FAILS(write(fd, "nothing", 8), ENOENT);
	CHECK_FAILS(write(fd, "nothing", 8), ENOENT);
	/* What was meant as data never becomes a name. */
	CHECK_FAILS(write(fd, "echo", 5), ENOENT);
	CHECK_EQ(channel_info(fd).state, MANYPORT_REFUSED);
	CHECK_EQ(channel_info(fd).error, ENOENT);
	set_nonblock(fd, true);
	CHECK_FAILS(write(fd, "echo", 5), ENOENT);
}

TEST(only_the_ioctl_may_try_again)
{
	int fd = port_open(PORT_MULTI, 0);

	CHECK_FAILS(write(fd, "nothing", 8), ENOENT);
	CHECK_EQ(manyport_connect(fd, "refused"), -ECONNREFUSED);
	CHECK_FAILS(write(fd, "echo", 5), ECONNREFUSED);
	CHECK_EQ(manyport_connect(fd, "echo"), 0);
	CHECK_POLL(fd, POLLOUT);
	echo_once(fd, "data");
}

/* ---- who asks ---- */

static void become_alice(void)
{
	CHECK_OK(setgid(1000));
	CHECK_OK(setuid(1000));
}

static void open_secret_as_alice(void *arg)
{
	int fd;

	(void)arg;
	become_alice();
	fd = open(port_path(PORT_MULTI), O_RDWR);
	CHECK_OK(fd);
	channel_name(fd, "secret");
	echo_once(fd, "for alice");
}

TEST(the_openers_uid_admits)
{
	if (getuid())
		test_skip("not root");
	CHECK_OK(chmod(port_path(PORT_MULTI), 0666));
	JOIN(spawn(open_secret_as_alice, NULL));
	CHECK_OK(chmod(port_path(PORT_MULTI), 0600));
}

static void name_secret_as_alice(void *arg)
{
	become_alice();
	CHECK_FAILS(write(*(int *)arg, "secret", 7), EACCES);
}

TEST(not_the_uid_of_who_names)
{
	int fd;

	if (getuid())
		test_skip("not root");
	fd = port_open(PORT_MULTI, 0);
	JOIN(spawn(name_secret_as_alice, &fd));
}
