// SPDX-License-Identifier: MIT
/*
 * Users of one port do not starve each other, with the limits that driver and daemon ship
 * with [protocol.md 9.3]: alice takes all that she gets, bob and root are served.
 */
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "channel.h"
#include "driver.h"

#define ALICE	1000
#define BOB	1001
#define LOANED	100000		/* what alice's namespace calls user 1 */
#define CHANNELS 20

struct alice {
	char path[256];
	int pipe[2];			/* closed when she may go */
	volatile pid_t pid;
	volatile int count, is_unshared, is_mapped;
};

static void become(unsigned int uid)
{
	CHECK_OK(setgroups(0, NULL));
	CHECK_OK(setgid(uid));
	CHECK_OK(setuid(uid));
}

static struct alice *alice_alloc(const char *port)
{
	struct alice *alice = shared_alloc(sizeof(*alice));

	snprintf(alice->path, sizeof(alice->path), "%s", port_path(port));
	CHECK_OK(chmod(alice->path, 0666));
	CHECK_OK(pipe2(alice->pipe, O_CLOEXEC));
	puppets_forget();
	await_port(port, 0);	/* those of an earlier test are hers, too */
	return alice;
}

static void wait_for_leave(struct alice *alice)
{
	char byte;

	close(alice->pipe[1]);
	CHECK_EQ(read(alice->pipe[0], &byte, 1), 0);
}

static void let_go(struct alice *alice, pid_t pid)
{
	close(alice->pipe[1]);
	JOIN(pid);
	CHECK_OK(chmod(alice->path, 0600));
}

/* Opens until it is told EBUSY. */
static int open_all(const char *path)
{
	int count = 0;

	while (open(path, O_RDWR | O_CLOEXEC) >= 0)
		count++;
	CHECK_EQ(errno, EBUSY);
	return count;
}

static void alice_opens_all(void *arg)
{
	struct alice *alice = arg;

	become(ALICE);
	alice->count = open_all(alice->path);
	wait_for_leave(alice);
}

static void use(const char *path)
{
	int fd = CHECK_OK(open(path, O_RDWR | O_CLOEXEC));

	channel_name(fd, "echo");
	echo_once(fd, "got in");
}

static void bob_opens_all(void *arg)
{
	struct alice *alice = arg;

	become(BOB);
	use(alice->path);
	CHECK_GT(open_all(alice->path), 100);
}

static void root_opens_all(void *arg)
{
	struct alice *alice = arg;

	use(alice->path);
	CHECK_GT(open_all(alice->path), 100);
}

TEST(nobody_takes_all_channels)
{
	const struct rlimit files = { 8192, 8192 };
	struct alice *alice = alice_alloc(PORT_SHARED);
	pid_t pid;

	CHECK_OK(setrlimit(RLIMIT_NOFILE, &files));
	pid = spawn(alice_opens_all, alice);
	while (!alice->count)
		sched_yield();
	CHECK_EQ(alice->count, (4096 - 4096 / 16) / 2);
	JOIN(spawn(bob_opens_all, alice));
	JOIN(spawn(root_opens_all, alice));
	let_go(alice, pid);
}

static uint64_t unsent(int fd)
{
	return channel_info(fd).unsent;
}

/* Leaves as much as she can with the driver, in front of services that do not read. */
static void alice_fills_all(void *arg)
{
	struct alice *alice = arg;
	struct puppet p[CHANNELS];
	uint64_t len[CHANNELS];
	int left = 0;

	become(ALICE);
	for (int i = 0; i < CHANNELS; i++) {
		p[i] = puppet_open(0);
		len[i] = fill(p[i].fd, 1, 0);
	}
	for (int i = 0; i < CHANNELS; i++)
		left += unsent(p[i].fd);
	alice->count = left;
	wait_for_leave(alice);
	for (int i = 0; i < CHANNELS; i++)
		expect_got(&p[i], len[i], 1);
}

static void bob_leaves_some(void *arg)
{
	struct puppet p;
	uint64_t len;

	(void)arg;
	become(BOB);
	p = puppet_open(0);
	len = fill(p.fd, 1, 0);
	CHECK_GT(unsent(p.fd), 65536);
	expect_got(&p, len, 1);
}

static void bob_has_a_page(void *arg)
{
	int fd;

	(void)arg;
	become(BOB);
	fd = channel_open("echo", 0);
	for (int i = 0; i < 100; i++) {
		write_pattern(fd, 3000, 2, i * 3000);
		read_pattern(fd, 3000, 2, i * 3000);
	}
}

TEST(nobody_takes_all_memory)
{
	struct alice *alice = alice_alloc(PORT_MULTI);
	pid_t pid;

	parameter_set("max_bytes", "4194304");
	pid = spawn(alice_fills_all, alice);
	while (!alice->count)
		sched_yield();
	CHECK_LE(alice->count, (4 << 20) / 2 + CHANNELS * 4096);
	JOIN(spawn(bob_leaves_some, NULL));
	/* Now all is taken, and more. */
	parameter_set("max_bytes", "65536");
	JOIN(spawn(bob_has_a_page, NULL));
	parameter_set("max_bytes", "268435456");
	let_go(alice, pid);
}

/* Alice, then as another user of a namespace of hers, for whom root has loaned her a number. */
static void alice_makes_users(void *arg)
{
	struct alice *alice = arg;
	int fds[3];

	become(ALICE);
	for (int i = 0; i < 3; i++)
		fds[i] = CHECK_OK(open(alice->path, O_RDWR));
	CHECK_OK(unshare(CLONE_NEWUSER));
	alice->pid = getpid();
	alice->is_unshared = 1;
	while (!alice->is_mapped)
		sched_yield();
	CHECK_OK(setuid(1));
	CHECK_FAILS(open(alice->path, O_RDWR), EBUSY);
	/* Which is not for want of rights, or of channels for such a user. */
	close(fds[0]);
	while ((fds[0] = open(alice->path, O_RDWR)) < 0)
		sched_yield();
}

static void write_file(const char *path, const char *text)
{
	int fd = CHECK_OK(open(path, O_WRONLY | O_CLOEXEC));

	CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

TEST(a_namespace_is_no_new_user)
{
	struct alice *alice = alice_alloc(PORT_MULTI);
	char path[64], text[64];
	pid_t pid;

	parameter_set("max_channels_per_user", "3");
	pid = spawn(alice_makes_users, alice);
	while (!alice->is_unshared)
		sched_yield();
	snprintf(path, sizeof(path), "/proc/%d/uid_map", alice->pid);
	snprintf(text, sizeof(text), "0 %u 1\n1 %u 1\n", ALICE, LOANED);
	write_file(path, text);
	alice->is_mapped = 1;
	let_go(alice, pid);
	parameter_set("max_channels_per_user", "16384");
}

#define GROUPS	"/sys/fs/cgroup"
#define GROUP	GROUPS "/opener"
#define POLLED	512

static long group_memory(void)
{
	char text[32] = "";
	int fd = CHECK_OK(open(GROUP "/memory.current", O_RDONLY | O_CLOEXEC));

	CHECK_GT(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	return strtol(text, NULL, 10);
}

static void poll_many(void *arg)
{
	int fds[POLLED];
	long before;

	(void)arg;
	write_file(GROUP "/cgroup.procs", "0");
	for (int i = 0; i < POLLED; i++)
		fds[i] = channel_open("zero", 0);
	before = group_memory();
	for (int i = 0; i < POLLED; i++)
		wait_poll(fds[i], POLLIN);
	/* Half: the kernel counts in lots. */
	CHECK_GT(group_memory() - before, POLLED * 4096 / 2);
}

/* The page of a polled channel is made where no process may run: its opener's group pays. */
TEST(a_polled_channels_page_is_the_openers)
{
	CHECK_OK(mount("cgroup2", GROUPS, "cgroup2", 0, NULL));
	write_file(GROUPS "/cgroup.subtree_control", "+memory");
	CHECK_OK(mkdir(GROUP, 0755));
	JOIN(spawn(poll_many, NULL));
	CHECK_OK(rmdir(GROUP));
	CHECK_OK(umount(GROUPS));
}
