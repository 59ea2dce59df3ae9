// SPDX-License-Identifier: MIT
/*
 * An honest guest that scripts tell what to do.
 *
 *	guest SOCKET COMMAND...		on port 0
 *
 * Commands, in order; each that opens takes the next channel:
 *	open NAME	prints "connected", or "refused REASON" with its number
 *	fill NAME	opens until one is refused; prints "filled N REASON": N were connected
 *	gone		waits until the channel opened last has no more to say
 *	memory		adds a region of memory; "added"
 *	reboot		stops all queues and starts them again, as a guest that boots; "rebooted"
 *	file PATH	waits until there is such a file; "there"
 *	stay		waits for the end of standard input
 *
 * Status 0 if all of that worked.
 */
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver.h"

#define REGION_SIZE 0x10000

static struct driver *driver;
static uint32_t next_slot;

/* Returns why it was refused, or 0. */
static unsigned int open_next(const char *name)
{
	uint32_t slot = next_slot++;

	CHECK(slot < driver->max_channels);
	CHECK(driver_connect(driver, slot, name) == MP_OK);
	driver_wait(driver, slot, MP_ST_CONNECTED | MP_ST_REFUSED);
	if (driver->channels[slot].bits & MP_ST_CONNECTED)
		return 0;
	return driver->channels[slot].reason;
}

static void open_one(const char *name)
{
	unsigned int reason = open_next(name);

	if (reason)
		printf("refused %u\n", reason);
	else
		printf("connected\n");
}

static void fill(const char *name)
{
	unsigned int reason, count = 0;

	while (!(reason = open_next(name)))
		count++;
	printf("filled %u %u\n", count, reason);
}

/* A failure is told to a guest that reads. */
static void wait_until_gone(uint32_t slot)
{
	const uint16_t ends = MP_ST_IN_END | MP_ST_FAILED;
	uint64_t offset = 0;

	for (;;) {
		driver_wait(driver, slot, MP_ST_IN | ends);
		if (driver->channels[slot].bits & ends)
			return;
		if (driver_read(driver, slot, offset, DRIVER_BUFFER) == MP_OK)
			offset += le32toh(driver_result(driver)->count);
	}
}

static void wait_for_file(const char *path)
{
	while (access(path, F_OK))
		poll(NULL, 0, 10);
	printf("there\n");
}

static void add_memory(void)
{
	const struct vhost_user_mem_slot slot = {
		.region = { PEER_GUEST + PEER_MEM_SIZE, REGION_SIZE, PEER_USER + PEER_MEM_SIZE, 0 },
	};
	int fd = memfd_create("region", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, REGION_SIZE));
	CHECK(peer_ask(driver->peer, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &fd, 1) == 0);
	close(fd);
	printf("added\n");
}

static void reboot(void)
{
	driver_restart(driver);
	next_slot = 0;
	printf("rebooted\n");
}

static void stay(void)
{
	char bytes[64];

	while (read(STDIN_FILENO, bytes, sizeof(bytes)) > 0)
		;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 64;
	driver = driver_open(argv[1], 0);
	driver_start(driver);
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "open") && i + 1 < argc)
			open_one(argv[++i]);
		else if (!strcmp(argv[i], "fill") && i + 1 < argc)
			fill(argv[++i]);
		else if (!strcmp(argv[i], "gone"))
			wait_until_gone(next_slot - 1);
		else if (!strcmp(argv[i], "memory"))
			add_memory();
		else if (!strcmp(argv[i], "reboot"))
			reboot();
		else if (!strcmp(argv[i], "file") && i + 1 < argc)
			wait_for_file(argv[++i]);
		else if (!strcmp(argv[i], "stay"))
			stay();
		else
			FAIL("unknown command %s", argv[i]);
		fflush(stdout);
	}
	return 0;
}
