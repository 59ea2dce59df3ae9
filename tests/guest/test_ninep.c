// SPDX-License-Identifier: MIT
/*
 * A folder of the host over a channel: the kernel's 9p client (trans=fd), which reads,
 * writes and polls from its own threads, and Debian's diod as an exec: service.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "channel.h"

#define FOLDER "/tmp/ninep"
#define AMOUNT (3 << 20)

/* Whatever becomes of the test, its mount goes with its process. */
static void mount_channel(void)
{
	char options[256];
	int fd = channel_open("folder", 0);

	mkdir("/tmp", 0777);
	if (mkdir(FOLDER, 0777))
		CHECK_EQ(errno, EEXIST);
	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_EQ(system("modprobe -a 9pnet_fd 9p"), 0);
	/* Without caches: each byte goes over the channel. */
	snprintf(options, sizeof(options), "trans=fd,rfdno=%d,wfdno=%d,version=9p2000.L,"
		 "cache=none,uname=%s,access=any,dfltuid=%s,aname=%s", fd, fd,
		 getenv("FOLDER_USER"), getenv("FOLDER_UID"), getenv("FOLDER"));
	CHECK_OK(mount("channel", FOLDER, "9p", 0, options));
	close(fd);		/* the mount has it now */
}

static char *in_folder(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), FOLDER "/%s", name);
	return path;
}

static void write_file(const char *name, uint64_t seed)
{
	int fd = CHECK_OK(open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC, 0600));

	write_pattern(fd, AMOUNT, seed, 0);
	CHECK_OK(close(fd));
}

static void check_file(const char *name, uint64_t seed)
{
	int fd = CHECK_OK(open(in_folder(name), O_RDONLY));

	read_pattern(fd, AMOUNT, seed, 0);
	expect_end(fd);
	close(fd);
}

/* The host's own look at the file while it is there. */
static void check_on_host(uint64_t seed)
{
	int fd = channel_open("folder-file", 0);

	read_pattern(fd, AMOUNT, seed, 0);
	expect_end(fd);
	close(fd);
}

TEST(a_file)
{
	struct stat st;

	mount_channel();
	write_file("file", 1);
	check_file("file", 1);
	check_on_host(1);
	CHECK_OK(stat(in_folder("file"), &st));
	CHECK_EQ(st.st_size, AMOUNT);
	CHECK_OK(unlink(in_folder("file")));
	CHECK_FAILS(open(in_folder("file"), O_RDONLY), ENOENT);
	CHECK_OK(umount(FOLDER));
}

TEST(many_small_calls)
{
	struct dirent *entry;
	char name[32];
	int seen = 0;
	DIR *dir;

	mount_channel();
	CHECK_OK(mkdir(in_folder("many"), 0700));
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "many/%d", i);
		close(CHECK_OK(open(in_folder(name), O_WRONLY | O_CREAT | O_EXCL, 0600)));
	}
	dir = opendir(in_folder("many"));
	CHECK(dir);
	while ((entry = readdir(dir)))
		seen += entry->d_name[0] != '.';
	closedir(dir);
	CHECK_EQ(seen, 200);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "many/%d", i);
		CHECK_OK(unlink(in_folder(name)));
	}
	CHECK_OK(rmdir(in_folder("many")));
	CHECK_OK(umount(FOLDER));
}

static void use_a_file(void *arg)
{
	int number = *(int *)arg;
	char name[32];

	snprintf(name, sizeof(name), "of-%d", number);
	write_file(name, number);
	check_file(name, number);
	CHECK_OK(unlink(in_folder(name)));
}

/* Requests of several processes on one mount, so on one channel. */
TEST(processes_at_once)
{
	int numbers[6];
	pid_t pids[6];

	mount_channel();
	for (int i = 0; i < 6; i++) {
		numbers[i] = i + 1;
		pids[i] = spawn(use_a_file, &numbers[i]);
	}
	for (int i = 0; i < 6; i++)
		JOIN(pids[i]);
	CHECK_OK(umount(FOLDER));
}

static void mount_and_use(void *arg)
{
	mount_channel();
	use_a_file(arg);
	CHECK_OK(umount(FOLDER));
}

TEST(mounts_at_once)
{
	int numbers[4];
	pid_t pids[4];

	for (int i = 0; i < 4; i++) {
		numbers[i] = i + 10;
		pids[i] = spawn(mount_and_use, &numbers[i]);
	}
	for (int i = 0; i < 4; i++)
		JOIN(pids[i]);
}

/* The last holder is the mount: with it the channel goes, and the host's program. */
TEST(unmounting_closes_the_channel)
{
	puppets_forget();
	await_port(PORT_MULTI, 0);
	mount_channel();
	CHECK_EQ(port_channels(PORT_MULTI), 1);
	CHECK_OK(umount(FOLDER));
	await_port(PORT_MULTI, 0);
}
