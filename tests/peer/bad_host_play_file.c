// SPDX-License-Identifier: MIT
/*
 * Large reads into a mapping of a file, where the bytes arrive after the file was written back.
 *
 * A page of a mapping is dirty from the moment it is pinned for writing. When it is written back
 * before the device has put its bytes there, it is clean; nothing but the driver knows that the
 * bytes came, and a page that the driver does not mark dirty again is dropped with them.
 *
 * The file is on a file system with real pages and real writeback: the host's folder $FOLDER,
 * by hostfs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <manyport/ioctl.h>

#include "bad_host_guest.h"

#define FOLDER "/tmp/folder"

static unsigned char *mapping;

static int complain(const char *what)
{
	printf("# %s: %s\n", what, strerror(errno));
	return -1;
}

/* A file of LARGE bytes, which are none of the pattern's. */
static int make_file(void)
{
	int fd;

	mkdir(FOLDER, 0700);
	if (mount("none", FOLDER, "hostfs", 0, getenv("FOLDER")))
		return complain(FOLDER);
	fd = open(FOLDER "/mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
	memset(io_buf, 0xee, LARGE);
	if (fd < 0 || write(fd, io_buf, LARGE) != LARGE || fsync(fd))
		return complain("a file");
	mapping = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return mapping == MAP_FAILED ? complain("mmap") : 0;
}

/* Returns 0 when each byte came to the process's own pages, none by copy. */
static int read_into_file(int fd)
{
	struct manyport_info info;
	ssize_t n;

	for (size_t at = 0; at < LARGE; at += n) {
		n = read(fd, mapping + at, LARGE - at);
		if (n <= 0)
			return complain("read");
	}
	if (ioctl(fd, MANYPORT_IOC_INFO, &info))
		return complain("info");
	if (info.zero_copy_in == LARGE)
		return 0;
	printf("# %llu bytes came to the reader's pages\n", (unsigned long long)info.zero_copy_in);
	return -1;
}

/* The host has the READ, and then each page of the file is clean: it may be dropped. */
static int write_back(void)
{
	uint64_t limit = now_ms() + LIMIT_MS * time_factor;

	while (tell("hits")) {
		if (now_ms() > limit)
			return complain("no READ came to the host");
		moment();
	}
	return msync(mapping, LARGE, MS_SYNC) ? complain("msync") : 0;
}

/* What the file has when nothing of it is in memory any more: the folder is mounted again. */
static int check_file(void)
{
	int fd, ret = 0;

	munmap(mapping, LARGE);
	if (umount(FOLDER) || mount("none", FOLDER, "hostfs", 0, getenv("FOLDER")))
		return complain(FOLDER);
	fd = open(FOLDER "/mapped", O_RDONLY);
	if (fd < 0 || read(fd, io_buf, LARGE) != LARGE)
		ret = complain("reading the file");
	for (size_t i = 0; i < LARGE && !ret; i++)
		if (io_buf[i] != pattern(i)) {
			printf("# the file has lost byte %zu: %02x\n", i, io_buf[i]);
			ret = -1;
		}
	close(fd);
	return umount(FOLDER) ? complain("umount") : ret;
}

static void read_and_exit(int fd)
{
	_exit(read_into_file(fd) != 0);
}

static int mapped_file_keeps(void)
{
	int fd, status, ret;
	pid_t pid;

	if (make_file())
		return -1;
	fd = victim_open(VICTIM, "data", 0);
	if (fd < 0 || tell_attack("deaf"))
		return -1;
	fflush(stdout);
	pid = in_child(fd, read_and_exit);
	ret = write_back();
	ret |= tell_attack("none");
	if (waitpid(pid, &status, 0) != pid || status)
		ret = -1;
	close(fd);
	return check_file() || ret || wait_for_nothing_left("vport0p1");
}

const struct play plays_file[] = {
	{ "mapped_file_keeps", mapped_file_keeps },
	{ NULL, NULL },
};
