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
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER	 "/dev/virtio-ports"
#define NEW_LINK "/dev/.virtio-port"
#define MAX_EVENT 8192

/* The name of the device in /dev that an event of the kernel is of, or NULL. */
static const char *parse_event(const char *text, size_t len)
{
	for (const char *word = text; word < text + len; word += strlen(word) + 1)
		if (!strncmp(word, "DEVNAME=", 8))
			return word + 8;
	return NULL;
}

/* Reads the name of a port, which is empty when there is none. */
static void read_name(const char *node, char *name, size_t size)
{
	static const char *const classes[] = { "manyport", "virtio-ports" };
	char path[400];
	ssize_t len = 0;
	int fd;

	for (int i = 0; i < 2 && len <= 0; i++) {
		snprintf(path, sizeof(path), "/sys/class/%s/%s/name", classes[i], node);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		len = read(fd, name, size - 1);
		close(fd);
	}
	name[len > 0 ? len : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
	if (strchr(name, '/'))
		*name = '\0';
}

static bool leads_to(const char *link, const char *target)
{
	char found[300];
	ssize_t len = readlink(link, found, sizeof(found) - 1);

	found[len > 0 ? len : 0] = '\0';
	return !strcmp(found, target);
}

/* All but the link @name. */
static void remove_links_to(const char *target, const char *name)
{
	char path[512];
	struct dirent *entry;
	DIR *dir = opendir(FOLDER);

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), FOLDER "/%s", entry->d_name);
		if (strcmp(entry->d_name, name) && leads_to(path, target))
			unlink(path);
	}
	if (dir)
		closedir(dir);
}

/* There is no moment without a link where there was one. */
static void make_link(const char *name, const char *target)
{
	char path[512];

	snprintf(path, sizeof(path), FOLDER "/%s", name);
	if (leads_to(path, target))
		return;
	mkdir(FOLDER, 0755);
	if (symlink(target, NEW_LINK) || rename(NEW_LINK, path))
		perror(path);
}

/*
 * Something has become of a node. What it is now counts, not what the event says: the event may be
 * old, and the port may have gone and come again since.
 */
static void update_links(const char *node)
{
	char target[300], name[256];

	read_name(node, name, sizeof(name));
	snprintf(target, sizeof(target), "../%s", node);
	remove_links_to(target, name);
	if (*name)
		make_link(name, target);
}

/* A driver that is built in has made ports before init runs: their events are past. */
static void link_ports(void)
{
	struct dirent *entry;
	DIR *dir = opendir("/sys/class/virtio-ports");

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			update_links(entry->d_name);
	if (dir)
		closedir(dir);
}

static void __attribute__((noreturn)) handle_events(int fd)
{
	char text[MAX_EVENT + 1];
	const char *node;
	ssize_t len;

	prctl(PR_SET_NAME, "links");
	for (;;) {
		len = recv(fd, text, MAX_EVENT, 0);
		if (len <= 0)
			continue;
		text[len] = '\0';
		node = parse_event(text, len);
		if (node && !strncmp(node, "vport", 5))
			update_links(node);
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
	/* After the bind: a port that comes later has an event. */
	link_ports();
	child = fork();
	if (child < 0)
		return -1;
	if (!child)
		handle_events(fd);
	close(fd);
	return 0;
}
