// SPDX-License-Identifier: MIT
/* The module and its device, see driver.h. */
#include <dirent.h>
#include <sched.h>

#include "channel.h"
#include "driver.h"

#define DRIVER	   "/sys/bus/virtio/drivers/manyport/"
#define PARAMETERS "/sys/module/manyport/parameters/"

static char device[256];

static int parameter_open(const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	return CHECK_OK(open(path, flags | O_CLOEXEC));
}

void parameter_set(const char *name, const char *value)
{
	int fd = parameter_open(name, O_WRONLY);

	CHECK_EQ(write(fd, value, strlen(value)), (ssize_t)strlen(value));
	close(fd);
}

const char *parameter_get(const char *name)
{
	static char text[64];
	int fd = parameter_open(name, O_RDONLY);
	ssize_t len = CHECK_OK(read(fd, text, sizeof(text) - 1));

	close(fd);
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* The virtio device that the driver is bound to. */
static void find_device(void)
{
	DIR *dir = opendir(DRIVER);
	struct dirent *entry;

	CHECK(dir);
	*device = '\0';
	while ((entry = readdir(dir)))
		if (!strncmp(entry->d_name, "virtio", 6))
			snprintf(device, sizeof(device), "%s", entry->d_name);
	closedir(dir);
	CHECK(*device);
}

static int write_device(const char *file)
{
	int fd = CHECK_OK(open(file, O_WRONLY | O_CLOEXEC));
	int ret = write(fd, device, strlen(device)) < 0 ? errno : 0;

	close(fd);
	return ret;
}

void driver_unbind(void)
{
	find_device();
	CHECK_EQ(write_device(DRIVER "unbind"), 0);
}

int driver_bind(void)
{
	return write_device(DRIVER "claim");
}

/* Names come a moment after the nodes; the harness' limit ends this if they do not. */
void driver_await_ports(void)
{
	char path[256];

	while (manyport_find(PORT_MULTI, path, sizeof(path)))
		sched_yield();
}
