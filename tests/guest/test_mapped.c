// SPDX-License-Identifier: MIT
/*
 * Large reads into a mapping of a file, while another process writes the file back: each byte is
 * in the file in the end.
 *
 * A page is dirty from its pinning on, and clean again when it is written back before the device
 * has put its bytes there; the daemon is late, so that there is time for that. The driver marks
 * the page dirty after that, or its bytes go when the page does. The file is on a file system
 * with real pages and real writeback: ext2 on a RAM disk, or where the kernel has no disks (User
 * Mode Linux) a folder of the host.
 */
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "channel.h"

#define FOLDER	"/tmp/mapped"
#define FILE_OF	FOLDER "/mapped"
#define AMOUNT	(4 << 20)

struct shared {
	volatile int is_done;
	volatile int syncs;
};

static bool has_disk;

/* Whatever becomes of the test, its mount goes with its process. */
static void mount_folder(void)
{
	int ret;

	if (mkdir(FOLDER, 0700))
		CHECK_EQ(errno, EEXIST);
	if (has_disk)
		ret = mount("/dev/ram0", FOLDER, "ext4", 0, NULL);
	else
		ret = mount("none", FOLDER, "hostfs", 0, getenv("FOLDER"));
	if (ret && errno == ENODEV)
		test_skip("no file system that is written back");
	CHECK_OK(ret);
}

static void make_folder(void)
{
	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	has_disk = !system("modprobe brd rd_nr=1 rd_size=16384 2>/dev/null");
	if (has_disk)
		CHECK_EQ(system("mke2fs -b 4096 /dev/ram0 >/dev/null"), 0);
	mount_folder();
}

static char *map_file(void)
{
	int fd = CHECK_OK(open(FILE_OF, O_RDWR | O_CREAT | O_TRUNC, 0600));
	char *mapping;

	write_pattern(fd, AMOUNT, 1, 0);	/* not the bytes that are to come */
	mapping = mmap(NULL, AMOUNT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mapping != MAP_FAILED);
	close(fd);
	return mapping;
}

static void write_back(struct shared *shared)
{
	int fd = CHECK_OK(open(FILE_OF, O_RDWR));

	while (!shared->is_done) {
		CHECK_OK(fsync(fd));
		shared->syncs++;
	}
	_exit(0);
}

TEST(a_file_keeps_what_is_read_into_it)
{
	struct shared *shared = shared_alloc(sizeof(*shared));
	struct puppet p = puppet_open(0);
	char *mapping;
	pid_t pid;
	int fd;

	make_folder();
	mapping = map_file();
	pid = CHECK_OK(fork());
	if (!pid)
		write_back(shared);
	ctl("stutter on");
	ctl("send %u %d 2", p.index, AMOUNT);
	read_all(p.fd, mapping, AMOUNT);
	ctl("stutter off");
	shared->is_done = 1;
	JOIN(pid);
	test_note("%d times written back", shared->syncs);
	CHECK_GT(channel_info(p.fd).zero_copy_in, AMOUNT / 2);
	CHECK_EQ(pattern_check(mapping, AMOUNT, 2, 0), AMOUNT);

	CHECK_OK(munmap(mapping, AMOUNT));
	CHECK_OK(umount(FOLDER));
	mount_folder();
	fd = CHECK_OK(open(FILE_OF, O_RDONLY));
	read_pattern(fd, AMOUNT, 2, 0);
	expect_end(fd);
	close(fd);
	CHECK_OK(umount(FOLDER));
}
