// SPDX-License-Identifier: MIT
/*
 * The links that udev's rule for virtio ports makes on a whole system: a device vport*
 * whose "name" attribute is not empty has a link /dev/virtio-ports/NAME
 * until the device is removed.
 */
#include "links.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/dev/virtio-ports"
#define MAX_EVENT 8192

/* One kernel event: each member points into the event's text, or is NULL. */
struct event {
	const char *action;
	const char *sysfs;	/* path of the device in sysfs */
	const char *node;	/* the device's name in /dev */
};

static struct event parse_event(const char *text, size_t len)
{
	struct event event = { 0 };

	for (const char *word = text; word < text + len;
	     word += strlen(word) + 1) {
		if (!strncmp(word, "ACTION=", 7))
			event.action = word + 7;
		else if (!strncmp(word, "DEVPATH=", 8))
			event.sysfs = word + 8;
		else if (!strncmp(word, "DEVNAME=", 8))
			event.node = word + 8;
	}
	return event;
}

static void remove_links_to(const char *target)
{
	char path[512], found[300];
	struct dirent *entry;
	DIR *dir = opendir(FOLDER);
	ssize_t len;

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), FOLDER "/%s", entry->d_name);
		len = readlink(path, found, sizeof(found) - 1);
		if (len < 0)
			continue;
		found[len] = '\0';
		if (!strcmp(found, target))
			unlink(path);
	}
	if (dir)
		closedir(dir);
}

static void make_link(const char *sysfs, const char *target)
{
	char path[512], name[256];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/sys%s/name", sysfs);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	len = read(fd, name, sizeof(name) - 1);
	close(fd);
	if (len <= 0)
		return;
	name[len] = '\0';
	name[strcspn(name, "\n")] = '\0';
	if (!*name || strchr(name, '/'))
		return;
	mkdir(FOLDER, 0755);
	snprintf(path, sizeof(path), FOLDER "/%s", name);
	if (symlink(target, path))
		perror(path);
}

static void handle_event(const struct event *event)
{
	char target[300];

	if (!event->action || !event->sysfs || !event->node ||
	    strncmp(event->node, "vport", 5))
		return;
	snprintf(target, sizeof(target), "../%s", event->node);
	remove_links_to(target);
	if (strcmp(event->action, "remove"))
		make_link(event->sysfs, target);
}

/* A driver that is built in has made ports before init runs: their events are past. */
static void link_ports(void)
{
	char sysfs[300], target[300];
	struct dirent *entry;
	DIR *dir = opendir("/sys/class/virtio-ports");

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(sysfs, sizeof(sysfs), "/class/virtio-ports/%s", entry->d_name);
		snprintf(target, sizeof(target), "../%s", entry->d_name);
		make_link(sysfs, target);
	}
	if (dir)
		closedir(dir);
}

static void __attribute__((noreturn)) handle_events(int fd)
{
	char text[MAX_EVENT + 1];
	struct event event;
	ssize_t len;

	prctl(PR_SET_NAME, "links");
	for (;;) {
		len = recv(fd, text, MAX_EVENT, 0);
		if (len <= 0)
			continue;
		text[len] = '\0';
		event = parse_event(text, len);
		handle_event(&event);
	}
}

int links_start(void)
{
	struct sockaddr_nl kernel = {
		.nl_family = AF_NETLINK,
		.nl_groups = 1,
	};
	int size = 4 << 20;
	pid_t child;
	int fd;

	/* init calls this before it loads a module: an event before the bind would be lost. */
	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC,
		    NETLINK_KOBJECT_UEVENT);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&kernel, sizeof(kernel)))
		return -1;
	/* After the bind: a port that comes later has an event, which makes its link again. */
	link_ports();
	child = fork();
	if (child < 0)
		return -1;
	if (!child)
		handle_events(fd);
	close(fd);
	return 0;
}
