// SPDX-License-Identifier: MIT
/* A port's names, and what becomes of an open one whose device goes or sleeps. See classic.c. */
#include "classic_life.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "classic.h"

/* "vport12p1" becomes "vport#p#". */
static const char *without_numbers(const char *text)
{
	static char out[300];
	char *to = out;

	for (; *text && to < out + sizeof(out) - 1; text++) {
		if (!isdigit((unsigned char)*text))
			*to++ = *text == '\n' ? ' ' : *text;
		else if (to == out || to[-1] != '#')
			*to++ = '#';
	}
	while (to > out && to[-1] == ' ')
		to--;
	*to = '\0';
	return out;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const char *link_of(const char *path)
{
	static char target[300];
	ssize_t len = readlink(path, target, sizeof(target) - 1);

	if (len < 0)
		return "none";
	target[len] = '\0';
	return target;
}

static const char *contents(const char *path)
{
	static char text[2048];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = '\0';
	return fd < 0 ? "none" : text;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Each file of the folder is a key of its own, so what one driver has besides shows as one line. */
static void say_files(const char *folder)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, is_visible, alphasort);
	char key[280];

	for (int i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "in sysfs: %s", entries[i]->d_name);
		say(key, "yes");
	}
}

static void say_debugfs(const char *node)
{
	char path[400], *line, *rest, text[2048];

	snprintf(path, sizeof(path), "/sys/kernel/debug/virtio-ports/%s", node);
	snprintf(text, sizeof(text), "%s", contents(path));
	for (rest = text; (line = strsep(&rest, "\n"));) {
		char key[2100];

		if (!*line)
			continue;
		line[strcspn(line, ":")] = '\0';
		snprintf(key, sizeof(key), "in debugfs: %s", line);
		say(key, "yes");
	}
}

void case_names(void)
{
	char folder[300], path[400];
	struct stat status;

	snprintf(folder, sizeof(folder), "%s", port_folder());
	say("node", "%s", without_numbers(base_of(folder)));
	say("link", "%s", without_numbers(link_of(port_path())));
	snprintf(path, sizeof(path), "%s/subsystem", folder);
	say("subsystem", "%s", base_of(link_of(path)));
	snprintf(path, sizeof(path), "%s/device", folder);
	say("parent", "%s", without_numbers(base_of(link_of(path))));
	snprintf(path, sizeof(path), "%s/uevent", folder);
	say("uevent", "%s", without_numbers(contents(path)));
	say_files(folder);
	say_debugfs(base_of(folder));
	snprintf(path, sizeof(path), "/dev/%s", base_of(folder));
	if (stat(path, &status))
		give_up(path);
	say("rights", "%o %u:%u %s", status.st_mode & 07777, status.st_uid, status.st_gid,
	    S_ISCHR(status.st_mode) ? "character" : "other");
}

/* ---- unplugged ---- */

static void wait_to_read(int fd)
{
	char byte;

	say("the reader", "%s", result(read(fd, &byte, 1)));
}

static void wait_to_poll(int fd)
{
	struct pollfd polled = { fd, POLLIN, 0 };

	poll(&polled, 1, -1);
	say("the poller", "%s", mask_text(polled.revents));
}

static void wait_for_signal(int fd)
{
	const struct timespec limit = { .tv_sec = 60 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	fcntl(fd, F_SETOWN, getpid());
	fcntl(fd, F_SETFL, O_ASYNC);
	say("the signal", "%s", sigtimedwait(&set, NULL, &limit) == SIGIO ? "SIGIO" : "nothing");
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		give_up(path);
	close(fd);
}

static bool port_is_gone(void *path)
{
	return !port_folder() && access(path, F_OK);
}

/* With the driver that had it: another one may have it for a moment. */
static bool port_is_there(void *class)
{
	const char *folder = port_folder();

	return folder && !strncmp(folder, class, strlen(class));
}

static void works_again(void)
{
	int fd = port_open(O_RDWR), client = host_dials();

	mask_after(fd, POLLOUT, POLLHUP);
	host("read %d all", client);
	say("a new open writes", "%s", result(write(fd, "again", 5)));
	say("the host got", "%s", host("got %d 5", client));
}

void case_unplug(void)
{
	char slot[PATH_MAX + 16], link[128], device[PATH_MAX], class[300], byte, held[64];
	int fd = port_open(O_RDWR), node, client = host_dials();
	pid_t reader, poller, signalled;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	mask_after(fd, POLLOUT, POLLHUP);
	snprintf(link, sizeof(link), "%s", port_path());
	node = open(link, O_PATH | O_CLOEXEC);
	snprintf(held, sizeof(held), "/proc/self/fd/%d", node);
	snprintf(class, sizeof(class), "%s", port_folder());
	snprintf(slot, sizeof(slot), "%s/device/..", class);
	*strrchr(class, '/') = '\0';
	if (!realpath(slot, device))
		give_up(slot);
	snprintf(slot, sizeof(slot), "%s/remove", device);
	reader = starts(wait_to_read, fd);
	poller = starts(wait_to_poll, fd);
	signalled = starts(wait_for_signal, fd);
	put(slot, "1");
	ends("the reader", reader);
	ends("the poller", poller);
	ends("the signal", signalled);
	say("link and folder are gone", "%s", within_limit(port_is_gone, link) ? "yes" : "no");
	say("poll", "%s", mask_text(mask_now(fd)));
	say("read", "%s", result(read(fd, &byte, 1)));
	say("write", "%s", result(write(fd, "x", 1)));
	say("write of nothing", "%s", result(write(fd, "x", 0)));
	say("open of a held node", "%s", result(open(held, O_RDWR)));
	close(fd);
	close(node);
	put("/sys/bus/pci/rescan", "1");
	say("plugged again", "%s", within_limit(port_is_there, class) ? "yes" : "no");
	host_try("close %d", client);
	works_again();
}

/* ---- asleep ---- */

/*
 * The port "control" is no part of the test, and has to work afterwards, which QEMU's port does not
 * under each driver (classic.differs): its device is left without a driver while the guest sleeps.
 */
static void put_to_driver(const char *device, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/bus/virtio/drivers/virtio_console/%s", file);
	put(path, device);
}

static void sleeps(void)
{
	const char *tested = port_name;
	char device[310], path[320];

	port_name = "control";
	snprintf(path, sizeof(path), "%s/device", port_folder());
	port_name = tested;
	snprintf(device, sizeof(device), "%s", base_of(link_of(path)));
	host_close();
	put_to_driver(device, "unbind");
	say("asleep", "yes");	/* the host wakes the guest */
	put("/sys/power/state", "mem");
	put_to_driver(device, "bind");
	host_open();
}

static bool puppet_is_over(void *client)
{
	return !strstr(host("state %d", *(int *)client), "open");
}

void case_suspend(void)
{
	int fd = port_open(O_RDWR), client = host_dials();
	struct stat before, after;
	char text[64];
	pid_t reader;

	mask_after(fd, POLLOUT, POLLHUP);
	host("read %d all", client);
	stat(port_path(), &before);
	reader = starts(wait_to_read, fd);
	sleeps();
	say("the node is the same", "%s",
	    !stat(port_path(), &after) && before.st_ino == after.st_ino ? "yes" : "no");
	say("the client has ended", "%s", puppet_is_over(&client) ? "yes" : "no");
	host_try("send %d 1 1", client);
	ends("the reader", reader);
	set_nonblock(fd, true);
	say("poll", "%s", mask_text(mask_now(fd)));
	say("write without waiting", "%s", result(write(fd, "awake", 5)));
	say("read", "%s", result(read(fd, text, sizeof(text))));
	close(fd);
	host_try("close %d", client);
	works_again();
}
