// SPDX-License-Identifier: MIT
/*
 * The bounds of memory of a port and of a user, made as small as they can be while channels
 * work: they get slower, and every byte is still right [protocol.md 9.3].
 */
#include <limits.h>

#include "channel.h"

#define PARAMETERS "/sys/module/manyport/parameters/"
#define CHANNELS   16
#define AMOUNT	   (1 << 20)

/* Returns what it was. */
static unsigned long set_bound(const char *name, unsigned long value)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = CHECK_OK(open(path, O_RDWR | O_CLOEXEC));
	CHECK_GT(read(fd, text, sizeof(text) - 1), 0);
	CHECK_GT(dprintf(fd, "%lu", value), 0);
	close(fd);
	return strtoul(text, NULL, 10);
}

static long port_memory(void)
{
	char node[PATH_MAX], path[PATH_MAX + 64], text[32] = "";
	int fd;

	CHECK(realpath(port_path(PORT_MULTI), node));
	snprintf(path, sizeof(path), "/sys/class/manyport/%s/memory", strrchr(node, '/') + 1);
	fd = CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
	CHECK_GT(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	return strtol(text, NULL, 10);
}

static void write_much(void *arg)
{
	write_pattern(*(int *)arg, AMOUNT, 1, 0);
}

static void read_much(void *arg)
{
	read_pattern(*(int *)arg, AMOUNT, 2, 0);
}

/* Both ways at once, in all channels at once; every other one non-blocking. */
static void run_channels(void *arg)
{
	pid_t writers[CHANNELS], readers[CHANNELS];
	struct puppet p[CHANNELS];

	(void)arg;
	for (int i = 0; i < CHANNELS; i++)
		p[i] = puppet_open(i % 2 ? O_NONBLOCK : 0);
	for (int i = 0; i < CHANNELS; i++) {
		ctl("expect %u 1", p[i].index);
		ctl("read %u all", p[i].index);
		ctl("send %u %u 2", p[i].index, AMOUNT);
		writers[i] = spawn(write_much, &p[i].fd);
		readers[i] = spawn(read_much, &p[i].fd);
	}
	for (int i = 0; i < CHANNELS; i++) {
		JOIN(writers[i]);
		JOIN(readers[i]);
		expect_got(&p[i], AMOUNT, 1);
		close(p[i].fd);
	}
}

TEST(of_a_port)
{
	unsigned long before = set_bound("max_bytes", 16384);

	run_channels(NULL);
	set_bound("max_bytes", before);
}

TEST(of_a_user)
{
	unsigned long before = set_bound("max_bytes_per_user", 16384);

	run_channels(NULL);
	set_bound("max_bytes_per_user", before);
}

/* A page in each direction lies outside of every bound. */
TEST(nothing_but_a_page)
{
	unsigned long port = set_bound("max_bytes", 0), user = set_bound("max_bytes_per_user", 0);

	run_channels(NULL);
	set_bound("max_bytes", port);
	set_bound("max_bytes_per_user", user);
}

/* While they run, too: what waits for memory meets the bound that there is then. */
TEST(changed_under_way)
{
	unsigned long before = set_bound("max_bytes", 0);
	pid_t pid;

	barrier();	/* the host forgets the last test's puppets before there are new ones */
	pid = spawn(run_channels, NULL);
	for (int i = 0; i < 100; i++) {
		set_bound("max_bytes", i % 2 ? 0 : 1 << 20);
		barrier();
	}
	JOIN(pid);
	set_bound("max_bytes", before);
}

/* Services that do not read: each channel would keep a whole send buffer. */
TEST(hold_what_is_left_behind)
{
	unsigned long before = set_bound("max_bytes", 65536);
	struct puppet p[CHANNELS];
	uint64_t len[CHANNELS];

	for (int i = 0; i < CHANNELS; i++) {
		p[i] = puppet_open(0);
		len[i] = fill(p[i].fd, 1, 0);
		CHECK_GT(len[i], 0);
	}
	CHECK_LE(port_memory(), 65536 + CHANNELS * 2 * 8192);
	for (int i = 0; i < CHANNELS; i++)
		expect_got(&p[i], len[i], 1);
	set_bound("max_bytes", before);
}
