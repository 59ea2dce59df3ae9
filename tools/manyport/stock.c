// SPDX-License-Identifier: MIT
/* Ports that the stock driver, virtio_console, has: its class in sysfs lists them. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <manyport/client.h>

#include "tool.h"

#define CLASS "/sys/class/virtio-ports"

static bool has_name(const char *entry, const char *name)
{
	char path[PATH_MAX], line[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), CLASS "/%s/name", entry);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	return !strcmp(line, name);
}

/* As manyport_find(): @port is a port's name, a node's name or a path; NULL is any port. */
static bool is_meant(const char *entry, const char *port)
{
	char path[PATH_MAX];

	if (!port)
		return true;
	if (strchr(port, '/'))
		return realpath(port, path) && !strcmp(strrchr(path, '/') + 1, entry);
	return !strcmp(entry, port) || has_name(entry, port);
}

bool find_stock_port(const char *port, char *node, size_t size)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	if (!port || !*port)
		port = getenv(MANYPORT_PORT_ENV);
	if (port && !*port)
		port = NULL;
	dir = opendir(CLASS);
	while (dir && !found && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "vport", 5) || !is_meant(entry->d_name, port))
			continue;
		snprintf(node, size, "/dev/%s", entry->d_name);
		found = true;
	}
	if (dir)
		closedir(dir);
	return found;
}
