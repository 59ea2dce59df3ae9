// SPDX-License-Identifier: MIT
/* Refused names: each reason, that a refusal stays, and who is admitted. */
#include <sched.h>
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

static void connect_to_backlog(void *arg)
{
	int fd = port_open(PORT_MULTI, 0);

	(void)arg;
	CHECK_EQ(manyport_connect(fd, "backlog"), -ETIMEDOUT);
	CHECK_EQ(manyport_connect(fd, "echo"), 0);
	echo_once(fd, "data");
}

/* The host's limit is long: both calls wait for it at once. */
TEST(etimedout_when_nobody_answers)
{
	pid_t pid;

	ctl("fill backlog");
	pid = spawn(connect_to_backlog, NULL);
	expect_refused("backlog", ETIMEDOUT);
	JOIN(pid);
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

static int connect_as(int fd, unsigned int uid, unsigned int gid, const char *name)
{
	struct manyport_connect_as arg = { .uid = uid, .gid = gid };

	strncpy(arg.name, name, sizeof(arg.name) - 1);
	return ioctl(fd, MANYPORT_IOC_CONNECT_AS, &arg) ? -errno : 0;
}

static void expect_report(int fd, const char *uid, const char *gid)
{
	char text[4096];
	size_t len = 0;
	ssize_t ret;

	while ((ret = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += ret;
	CHECK_EQ(ret, 0);
	text[len] = '\0';
	if (!strstr(text, uid) || !strstr(text, gid))
		FAIL("no %sor no %sin:\n%s", uid, gid, text);
}

static void speak_for_others(void *arg)
{
	int fd = *(int *)arg;

	become_alice();
	CHECK_EQ(connect_as(fd, 0, 0, "echo"), -EPERM);
	CHECK_EQ(connect_as(fd, 1000, 1000, "secret"), -EPERM);
	/* Root of a namespace of her own, which has no other users. */
	CHECK_OK(unshare(CLONE_NEWUSER));
	CHECK_EQ(connect_as(fd, 0, 0, "secret"), -EINVAL);
	CHECK_EQ(connect_as(fd, 1000, 1000, "secret"), -EINVAL);
}

TEST(a_forwarder_speaks_for_its_clients)
{
	int fd, others;

	if (getuid())
		test_skip("not root");
	fd = port_open(PORT_MULTI, 0);
	CHECK_EQ(connect_as(fd, -1, 1000, "secret"), -EINVAL);
	CHECK_EQ(connect_as(fd, 1000, -1, "secret"), -EINVAL);
	CHECK_EQ(connect_as(fd, 1000, 1000, ""), -EINVAL);
	CHECK_EQ(connect_as(fd, 1001, 1000, "secret"), -EACCES);
	CHECK_EQ(connect_as(fd, 1000, 1000, "secret"), 0);
	echo_once(fd, "for alice");
	CHECK_EQ(connect_as(fd, 1000, 1000, "secret"), -EISCONN);
	others = port_open(PORT_MULTI, 0);
	CHECK_EQ(connect_as(others, 12, 34, "report"), 0);
	expect_report(others, "MANYPORT_UID=12\n", "MANYPORT_GID=34\n");
	/* The answer to another user's attempt is not ours. */
	others = port_open(PORT_MULTI, O_NONBLOCK);
	ctl("fill backlog");
	CHECK_EQ(manyport_connect(others, "backlog"), -EINPROGRESS);
	CHECK_EQ(connect_as(others, 1000, 1000, "backlog"), -EALREADY);
	CHECK_EQ(manyport_connect(others, "backlog"), -EINPROGRESS);
	ctl("drain backlog");
	others = port_open(PORT_MULTI, 0);
	JOIN(spawn(speak_for_others, &others));
	CHECK_EQ(channel_info(others).state, MANYPORT_UNNAMED);
	CHECK_EQ(connect_as(port_open(PORT_FIXED, 0), 1000, 1000, "secret"), -EOPNOTSUPP);
}

TEST(not_the_uid_of_who_names)
{
	int fd;

	if (getuid())
		test_skip("not root");
	fd = port_open(PORT_MULTI, 0);
	JOIN(spawn(name_secret_as_alice, &fd));
}
