// SPDX-License-Identifier: MIT
/*
 * Ports: the list of them, and finding one by its name. See manyport/client.h.
 *
 * The class in sysfs is "manyport", and "virtio-ports" for those of the stock driver. The links
 * in /dev/virtio-ports/ are udev's work and may be missing in a small guest, so names are looked
 * up in sysfs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <manyport/client.h>

#include "road.h"

#define LINK_DIR  "/dev/virtio-ports/"
#define CUSE_NAME "manyport"			/* of the node of manyport serve */
#define OUR_CLASS "/sys/class/manyport"

static const char *const classes[] = { OUR_CLASS, "/sys/class/virtio-ports" };

/* Reads a one-line attribute; "" when it is not there. */
static void read_attribute(const char *class, const char *entry, const char *attribute,
			   char *value, size_t size)
{
	char path[PATH_MAX];
	ssize_t len = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%s/%s", class, entry, attribute);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		len = pread(fd, value, size - 1, 0);
		close(fd);
	}
	value[len > 0 ? len : 0] = '\0';
	value[strcspn(value, "\n")] = '\0';
}

/*
 * What is not of our class is a port of the stock driver. Such a port is not opened to look at
 * it: the host would take that for its agent, and the agent would find the port in use.
 */
static enum manyport_port_kind find_kind(const char *class, const char *entry)
{
	char kind[32];

	if (strcmp(class, OUR_CLASS))
		return MANYPORT_PORT_CLASSIC;
	read_attribute(class, entry, "kind", kind, sizeof(kind));
	if (!strncmp(kind, "multi", 5))
		return MANYPORT_PORT_MULTI;
	return strcmp(kind, "fixed") ? MANYPORT_PORT_UNKNOWN : MANYPORT_PORT_FIXED;
}

static int compare_ports(const void *left, const void *right)
{
	const struct manyport_port *a = left, *b = right;

	if (a->device != b->device)
		return a->device < b->device ? -1 : 1;
	return a->port < b->port ? -1 : a->port > b->port;
}

/* Appends the ports of one class, without their kind, to *list of *count entries. */
static int add_class(const char *class, struct manyport_port **list, int *count)
{
	struct manyport_port entry, *grown;
	struct dirent *found;
	DIR *dir = opendir(class);

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((found = readdir(dir))) {
		memset(&entry, 0, sizeof(entry));
		if (sscanf(found->d_name, "vport%up%u", &entry.device, &entry.port) != 2)
			continue;
		grown = realloc(*list, (*count + 1) * sizeof(entry));
		if (!grown) {
			closedir(dir);
			return -ENOMEM;
		}
		*list = grown;
		snprintf(entry.node, sizeof(entry.node), "/dev/vport%up%u", entry.device,
			 entry.port);
		read_attribute(class, found->d_name, "name", entry.name, sizeof(entry.name));
		grown[(*count)++] = entry;
	}
	closedir(dir);
	return 0;
}

/* All ports in order; *list is the caller's to free, also after an error. */
static int collect_ports(struct manyport_port **list)
{
	int count = 0, ret;

	*list = NULL;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		ret = add_class(classes[i], list, &count);
		if (ret)
			return ret;
	}
	if (count)
		qsort(*list, count, sizeof(**list), compare_ports);
	return count;
}

static void learn_kind(struct manyport_port *port)
{
	char entry[64];

	port->kind = MANYPORT_PORT_UNKNOWN;
	snprintf(entry, sizeof(entry), "vport%up%u", port->device, port->port);
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", classes[i], entry);
		if (!access(path, F_OK)) {
			port->kind = find_kind(classes[i], entry);
			return;
		}
	}
}

int manyport_list(struct manyport_port *ports, int max)
{
	struct manyport_port *list;
	int count = collect_ports(&list);

	for (int i = 0; i < count && i < max; i++) {
		ports[i] = list[i];
		learn_kind(&ports[i]);
	}
	free(list);
	return count;
}

/* Does @port mean @entry? NULL means the first port that is multi-open. */
static bool is_meant(struct manyport_port *entry, const char *port)
{
	if (port)
		return !strcmp(entry->name, port) || !strcmp(entry->node + 5, port);
	learn_kind(entry);
	return entry->kind == MANYPORT_PORT_MULTI;
}

static int copy_path(char *path, size_t size, const char *prefix, const char *name)
{
	int len = snprintf(path, size, "%s%s", prefix, name);

	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

/*
 * Is the node of manyport serve there, and meant? A caller that names no port and may not open the
 * node may still connect to the door of that daemon.
 */
static bool is_serve_node(const char *port)
{
#ifdef MANYPORT_NODE_ONLY
	if (!port)
		return false;
#endif
	if (access("/sys/class/cuse/" CUSE_NAME, F_OK))
		return false;
	return port ? !strcmp(port, CUSE_NAME) : !access("/dev/" CUSE_NAME, R_OK | W_OK);
}

int manyport_find(const char *port, char *path, unsigned long size)
{
	struct manyport_port *list;
	char buf[PATH_MAX];
	int count, ret = -ENODEV;

	if (!port || !*port)
		port = road_default(buf, sizeof(buf));
	if (port && road_is_socket_name(port))
		return -ENODEV;		/* a road without a node */
	if (port && strchr(port, '/'))
		return copy_path(path, size, "", port);
	if (port) {
		ret = copy_path(path, size, LINK_DIR, port);
		if (ret || !access(path, F_OK))
			return ret;
		ret = -ENODEV;
	}
	count = collect_ports(&list);
	if (count < 0)
		ret = count;
	for (int i = 0; i < count; i++) {
		if (!is_meant(&list[i], port))
			continue;
		ret = copy_path(path, size, "", list[i].node);
		break;
	}
	free(list);
	/* The module's node comes first. */
	if (ret == -ENODEV && is_serve_node(port))
		ret = copy_path(path, size, "/dev/", CUSE_NAME);
	return ret;
}
