// SPDX-License-Identifier: MIT
/*
 * A front end, and a driver behind it, whose daemon ends and is replaced.
 *
 *	survive [--version N] [--pause] [--regions] SOCKET PORT ROUNDS COMMAND
 *
 * In each round channels are open and busy, while COMMAND, a line for the shell, ends the daemon at
 * a moment of its own choice; it succeeds when that is done. Then all is as protocol.md 10.9 says:
 * the connection is there still, the device says that its channels are gone, what was out comes
 * back, and new channels work. PORT is the number of a port with the service "echo". --version: of
 * the protocol; below 3 the port goes and comes back. --pause: COMMAND may pause the rings before,
 * and what was out may come back as from a pause. --regions: the guest has as many regions of
 * memory as the daemon takes, each a file. Prints a line for each round; status 0 if all of it was
 * so.
 */
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"

#define ROUND_MS	180000
#define BLOCK		1000
enum { BUSY, PARKED, WHOLE };	/* channels */

static struct driver *driver;
static bool is_pause;

static pid_t run(const char *command)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid)
		return pid;
	/* What it prints is no result. */
	dup2(STDERR_FILENO, STDOUT_FILENO);
	execl("/bin/sh", "sh", "-c", command, NULL);
	_exit(127);
}

static void expect_connected(void)
{
	struct pollfd fd = { .fd = driver->peer->sock, .events = POLLRDHUP };

	CHECK(!poll(&fd, 1, 0));
	CHECK(!peer_is_broken(driver->peer));
	CHECK(peer_get_u64(driver->peer, VHOST_USER_GET_FEATURES) >> MP_F_MULTI_OPEN & 1);
}

/* A block there and back on the channel BUSY, unless the daemon ends. Returns its bytes. */
static uint32_t exchange(uint64_t offset)
{
	unsigned int lives = driver->lives;
	uint8_t block[BLOCK];
	uint32_t status, done = 0;

	memset(block, offset / BLOCK, sizeof(block));
	status = driver_write(driver, BUSY, offset, block, BLOCK);
	if (lives != driver->lives)
		return 0;
	CHECK(status == MP_OK && le32toh(driver_result(driver)->count) == BLOCK);
	while (done < BLOCK) {
		driver_wait(driver, BUSY, MP_ST_IN);
		status = driver_read(driver, BUSY, offset + done, BLOCK - done);
		if (lives != driver->lives)
			return done;
		CHECK(status == MP_OK || status == MP_AGAIN);
		if (status == MP_AGAIN)
			continue;
		CHECK(!memcmp(driver_in(driver), block, le32toh(driver_result(driver)->count)));
		done += le32toh(driver_result(driver)->count);
	}
	return done;
}

static void expect_parked_back(void)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	struct mp_result result;

	while (!driver->parked_is_back) {
		driver_take_events(driver);
		if (peer_now_ms() >= limit)
			FAIL("what was out did not come back");
		usleep(1000);
	}
	memcpy(&result, driver->peer->mem + driver->parked_result, sizeof(result));
	CHECK(le32toh(result.status) == MP_STALE ||
	      (is_pause && le32toh(result.status) == MP_CANCELLED));
}

/* A channel that is gone with its daemon, for the driver too. */
static void forget(uint32_t slot)
{
	CHECK(driver_simple(driver, MP_OP_CLOSE, slot, MP_CLOSE_ABORT, 0) == MP_STALE);
}

static void play(int round, const char *command)
{
	uint64_t limit = peer_now_ms() + ROUND_MS, bytes = 0;
	unsigned int lives = driver->lives;
	int status;
	pid_t pid;

	driver_open_channel(driver, BUSY, "echo");
	driver_open_channel(driver, PARKED, "echo");
	driver_park(driver, PARKED, 0, 100);
	pid = run(command);
	while (driver->lives == lives) {
		bytes += exchange(bytes);
		driver_take_events(driver);
		driver_take_control(driver);
		if (peer_now_ms() >= limit)
			FAIL("the device says nothing of another daemon");
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status)
		FAIL("the command has failed: %#x", status);
	expect_parked_back();
	forget(BUSY);
	forget(PARKED);
	driver_echo(driver, WHOLE, 100000);
	expect_connected();
	CHECK(driver->lives == lives + 1);
	printf("ok %d - another daemon goes on, after %llu bytes\n", round,
	       (unsigned long long)bytes);
}

static void add_regions(void)
{
	uint64_t count = peer_get_u64(driver->peer, VHOST_USER_GET_MAX_MEM_SLOTS);

	for (uint64_t i = 1; i < count; i++) {
		const struct vhost_user_mem_slot slot = {
			.region = { i << 20, 4096, i << 20, 0 },
		};
		int fd = memfd_create("region", MFD_CLOEXEC);

		CHECK(fd >= 0 && !ftruncate(fd, 4096));
		CHECK(peer_ask(driver->peer, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &fd,
			       1) == 0);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	uint16_t version = MP_VERSION;
	bool has_regions = false;

	if (argc > 2 && !strcmp(argv[1], "--version")) {
		version = atoi(argv[2]);
		argc -= 2;
		argv += 2;
	}
	if (argc > 1 && !strcmp(argv[1], "--pause")) {
		is_pause = true;
		argc--;
		argv++;
	}
	if (argc > 1 && !strcmp(argv[1], "--regions")) {
		has_regions = true;
		argc--;
		argv++;
	}
	if (argc != 5) {
		fprintf(stderr, "usage: survive [--version N] [--pause] [--regions] "
			"SOCKET PORT ROUNDS COMMAND\n");
		return 64;
	}
	driver = driver_open(argv[1], atoi(argv[2]));
	driver->version = version;
	driver->survives = true;
	driver_start(driver);
	if (has_regions)
		add_regions();
	for (int round = 1; round <= atoi(argv[3]); round++)
		play(round, argv[4]);
	return 0;
}
