// SPDX-License-Identifier: MIT
/*
 * The guest's half of the bad host test: a static program that uses the ports while
 * the host lies, and checks after each attack that
 *
 *  - each process that used the port ends at SIGKILL, wherever it was,
 *  - nothing is left of it: no channel and no memory on the port,
 *  - the port (where need be, after the driver was bound again) serves honest users.
 *
 * What the kernel has to say (KASAN, lockdep, kmemleak) is for the boot script to find.
 *
 *	bad_host_guest [-t FACTOR] [ATTACK...]		all attacks, TAP on standard output
 *	bad_host_guest die				the host goes away while it is used
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bad_host_guest.h"
#include "bad_host_table.h"

#define DRIVER	 "/sys/bus/virtio/drivers/manyport"
#define CONTROL	 "/dev/vport0p0"
#define CHECKED	 200000

unsigned int time_factor = 1;
static char device_name[256];
unsigned char io_buf[LARGE] __attribute__((aligned(4096)));

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

/* A moment, in a loop that looks for something until a limit. */
void moment(void)
{
	poll(NULL, 0, 5);
}

unsigned char pattern(uint64_t offset)
{
	return offset ^ (offset >> 8) * 7;
}

void fill(uint64_t offset, size_t len)
{
	for (size_t i = 0; i < len; i++)
		io_buf[i] = pattern(offset + i);
}

/* --- The driver -------------------------------------------------------------- */

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int find_device(void)
{
	DIR *dir = opendir(DRIVER);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "virtio", 6))
			snprintf(device_name, sizeof(device_name), "%s", entry->d_name);
	if (dir)
		closedir(dir);
	return device_name[0] ? 0 : -ENODEV;
}

static int wait_for_ports(void)
{
	const char *const paths[] = { CONTROL, VICTIM, FIXED };
	uint64_t limit = now_ms() + LIMIT_MS * time_factor;

	for (int i = 0; i < 3; i++)
		while (access(paths[i], F_OK)) {
			if (now_ms() > limit)
				return -ETIMEDOUT;
			moment();
		}
	return 0;
}

static int driver_unbind(void)
{
	return write_file(DRIVER "/unbind", device_name);
}

/* The lies may be such that this fails, or that there is no port then. */
static int driver_bind(void)
{
	return write_file(DRIVER "/claim", device_name);
}

/* --- What the host is told ---------------------------------------------------- */

int tell(const char *what)
{
	int fd = open(CONTROL, O_RDWR), ret = 0;

	if (fd < 0)
		return errno;
	if (write(fd, what, strlen(what)) < 0)
		ret = errno;
	close(fd);
	return ret;
}

int tell_attack(const char *name)
{
	char what[128];

	snprintf(what, sizeof(what), "attack+%s", name);
	return tell(what);
}

/* --- Afterwards ---------------------------------------------------------------- */

static long attribute(const char *port, const char *name)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/class/manyport/%s/%s", port, name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return atol(text);
}

int wait_for_nothing_left(const char *port)
{
	uint64_t limit = now_ms() + LIMIT_MS * time_factor;
	long channels, memory;

	do {
		channels = attribute(port, "channels");
		memory = attribute(port, "memory");
		if (!channels && !memory)
			return 0;
		moment();
	} while (now_ms() < limit);
	printf("# %s still has %ld channels and %ld bytes\n", port, channels, memory);
	return -1;
}

static int move_all(int fd, int is_write, uint64_t *at, size_t step)
{
	uint64_t end = *at + CHECKED;
	ssize_t n;

	while (*at < end) {
		size_t len = end - *at < step ? end - *at : step;

		if (is_write)
			fill(*at, len);
		n = is_write ? write(fd, io_buf, len) : read(fd, io_buf, len);
		if (n <= 0) {
			printf("# %s at %llu: %s\n", is_write ? "write" : "read",
			       (unsigned long long)*at, n ? strerror(errno) : "the end");
			return -1;
		}
		for (ssize_t i = 0; !is_write && i < n; i++)
			if (io_buf[i] != pattern(*at + i)) {
				printf("# wrong byte at %llu\n", (unsigned long long)*at + i);
				return -1;
			}
		*at += n;
	}
	return 0;
}

/* An honest channel: bytes small and large, both ways, and none is wrong. */
int is_served(const char *path, const char *service)
{
	int fd = open(path, O_RDWR), ret;
	uint64_t in = 0, out = 0;

	if (fd < 0 || (service && write(fd, service, strlen(service)) < 0)) {
		printf("# %s: %s\n", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	ret = move_all(fd, 1, &out, 5000);
	ret = ret ? ret : move_all(fd, 1, &out, LARGE);
	ret = ret ? ret : fsync(fd);
	ret = ret ? ret : move_all(fd, 0, &in, 5000);
	ret = ret ? ret : move_all(fd, 0, &in, LARGE);
	close(fd);
	return ret;
}

/* --- One attack ------------------------------------------------------------------ */

struct attack {
	const char *name;
	int how;
};

static const struct attack attacks[] = {
#define ENTRY(attack_name, hits, attack_how) { #attack_name, attack_how },
	BAD_HOST_ATTACKS(ENTRY)
};

/* Until the host has lied often enough. What it starts a life with can only be lived through. */
static int wait_for_hits(const struct attack *attack)
{
	uint64_t limit = now_ms() + (attack->how & AT_START ? 200 : LIMIT_MS) * time_factor;
	int ret;

	while (now_ms() < limit) {
		ret = attack->how & AT_START ? EBUSY : tell("hits");
		if (!ret)
			return 0;
		moment();
	}
	if (attack->how & AT_START)
		return 0;
	printf("# the host did not lie often enough\n");
	return -1;
}

/* The control port may be gone, or deaf: the users' time is limited then as well. */
static int live_through(const struct attack *attack)
{
	int ret = tell_attack(attack->name);

	if (ret) {
		printf("# the host does not make this attack: %s\n", strerror(ret));
		return -1;
	}
	if (attack->how & AT_START) {
		driver_unbind();
		driver_bind();
	}
	start_users();
	return wait_for_hits(attack);
}

static int run_attack(const struct attack *attack)
{
	uint64_t begin = now_ms(), lied, killed;
	int ret = live_through(attack), left;

	lied = now_ms();
	if (attack->how & WHILE_USED)
		driver_unbind();
	left = kill_users();
	killed = now_ms();
	if (left) {
		printf("Bail out! %d processes cannot be killed\n", left);
		exit(1);
	}
	/* A start that made ports is a strange one, but no lie: they serve. */
	if ((attack->how & AT_START) && !access(VICTIM, F_OK) &&
	    (wait_for_nothing_left("vport0p1") || is_served(VICTIM, "data")))
		ret = -1;
	if (attack->how & (SPOILS | AT_START)) {
		driver_unbind();
		driver_bind();
	}
	if (wait_for_ports()) {
		printf("# the ports do not come back\n");
		return -1;
	}
	if (tell_attack("none")) {
		printf("# the host does not hear\n");
		return -1;
	}
	if (wait_for_nothing_left("vport0p1") || wait_for_nothing_left("vport0p2"))
		ret = -1;
	if (now_ms() - begin > 2000)
		printf("# %llu ms of lies, %llu to kill, %llu until nothing was left\n",
		       (unsigned long long)(lied - begin), (unsigned long long)(killed - lied),
		       (unsigned long long)(now_ms() - killed));
	if (is_served(VICTIM, "data") || is_served(FIXED, NULL))
		ret = -1;
	return ret;
}

/* As good as it gets: for the next attack, whatever this one has left behind. */
int recover(void)
{
	driver_unbind();
	driver_bind();
	return wait_for_ports();
}

static int is_wanted(const char *name, char **names)
{
	if (!*names)
		return 1;
	for (; *names; names++)
		if (!strcmp(*names, name))
			return 1;
	return 0;
}

static int number;

static void report(const char *name, int ret, uint64_t begin)
{
	printf("%sok %d - %s # %llu ms\n", ret ? "not " : "", ++number, name,
	       (unsigned long long)(now_ms() - begin));
	fflush(stdout);
}

static int run_plays(const struct play *play, char **names)
{
	int failed = 0;

	for (; play->name; play++) {
		uint64_t begin = now_ms();
		int ret;

		if (!is_wanted(play->name, names))
			continue;
		fflush(stdout);
		ret = play->run();
		report(play->name, ret, begin);
		failed += ret != 0;
	}
	return failed;
}

static int run_all(char **names)
{
	int failed = run_plays(plays_answers, names) + run_plays(plays_file, names) +
		     run_plays(plays, names);

	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		uint64_t begin = now_ms();
		int ret;

		if ((attacks[i].how & BY_PLAY) || !is_wanted(attacks[i].name, names))
			continue;
		printf("# %s\n", attacks[i].name);
		fflush(stdout);
		ret = run_attack(&attacks[i]);
		report(attacks[i].name, ret, begin);
		failed += ret != 0;
		if (ret && recover()) {
			printf("Bail out! the driver does not come back\n");
			return 1;
		}
	}
	printf("1..%d\n", number);
	return failed != 0;
}

/* The host is gone, in the middle: processes end, the driver can be removed. */
static int run_death(void)
{
	int left;

	start_users();
	tell("die");
	left = kill_users();
	printf("%sok 1 - the host dies\n1..1\n", left ? "not " : "");
	return left != 0;
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "t:")) != -1) {
		if (option != 't')
			return 2;
		time_factor = atoi(optarg);
	}
	if (find_device() || wait_for_ports()) {
		printf("Bail out! there is no device\n");
		return 1;
	}
	if (argc > optind && !strcmp(argv[optind], "die"))
		return run_death();
	return run_all(argv + optind);
}
