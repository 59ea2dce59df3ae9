// SPDX-License-Identifier: MIT
/*
 * A bad guest: a vhost-user front end that lies to a running manyportd.
 *
 *	bad_guest [-p PID] [-P PORT] [-s SEED] [-n COUNT] SOCKET [FILE/NAME...]
 *
 * Runs each attack (or those named), then COUNT random ones. After each an honest driver must
 * be served by the same daemon; with its PID, also: it has no more
 * descriptors and no more guest memory mapped than before. TAP on standard output.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#define ATTACK_SECONDS 300
#define SERVED_BYTES   200000

static struct attack *attacks, **attacks_end = &attacks;
static const char *path;
static uint32_t port;
pid_t daemon_pid;
static int tests, failures;

void attack_register(struct attack *attack)
{
	*attacks_end = attack;
	attacks_end = &attack->next;
}

/* --- What the daemon holds ---------------------------------------------- */

struct holdings {
	int fds, mappings;	/* -1: cannot be seen */
};

static int count_fds(void)
{
	char name[64];
	DIR *dir;
	int n = -2;

	snprintf(name, sizeof(name), "/proc/%d/fd", daemon_pid);
	dir = opendir(name);
	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int count_mappings(void)
{
	char line[512];
	FILE *maps;
	int n = 0;

	snprintf(line, sizeof(line), "/proc/%d/maps", daemon_pid);
	maps = fopen(line, "re");
	if (!maps)
		return -1;
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "/memfd:") != NULL;
	fclose(maps);
	return n;
}

static struct holdings look(void)
{
	return (struct holdings){ count_fds(), count_mappings() };
}

/* The daemon may need a moment to see that we are gone; then nothing may be left. */
static bool holds_no_more_than(const struct holdings *before)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	struct holdings now;

	do {
		now = look();
		if (now.fds <= before->fds && now.mappings <= before->mappings)
			return true;
		poll(NULL, 0, 5);
	} while (peer_now_ms() < limit);
	printf("# the daemon had %d descriptors and %d mappings, and has %d and %d\n",
	       before->fds, before->mappings, now.fds, now.mappings);
	return false;
}

/* --- Processes ---------------------------------------------------------- */

/* Runs @body in a process of its own. Returns true when it exits with 0. */
static bool in_process(void (*body)(const void *), const void *context)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(ATTACK_SECONDS);
		body(context);
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	if (WIFSIGNALED(status))
		printf("# ended by signal %d%s\n", WTERMSIG(status),
		       WTERMSIG(status) == SIGALRM ? " (took too long)" : "");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/*
 * A front end that comes while the last one's end has not been noticed is refused, and
 * tries again, as one under a supervisor would.
 */
static struct driver *open_when_free(void)
{
	const struct vhost_user_header ask = { VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0 };
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	struct peer_reply reply;
	struct driver *driver;

	for (;;) {
		driver = driver_open(path, port);
		if (peer_send_raw(driver->peer, &ask, sizeof(ask), NULL, 0) &&
		    peer_receive(driver->peer, &reply))
			return driver;
		peer_close(driver->peer);
		if (peer_now_ms() >= limit)
			FAIL("the daemon serves no front end any more");
		poll(NULL, 0, 5);
	}
}

static void honest_body(const void *context)
{
	struct driver *driver = open_when_free();

	(void)context;
	driver_start(driver);
	driver_echo(driver, 0, SERVED_BYTES);
	driver_echo(driver, 1, 1);
}

static void attack_body(const void *context)
{
	const struct attack *attack = context;
	struct driver *driver = open_when_free();

	if (attack->stage == AT_SESSION) {
		driver_step(driver, 0);
		driver_step(driver, 1);
	} else if (attack->stage >= AT_PORT) {
		driver_start(driver);
	}
	if (attack->stage == AT_CHANNEL)
		driver_open_channel(driver, 0, "echo");
	attack->run(driver);
}

static void random_body(const void *context)
{
	struct driver *driver = open_when_free();

	driver_start(driver);
	driver_open_channel(driver, 0, "echo");
	attack_randomly(driver, *(const uint64_t *)context);
}

/* --- Tests -------------------------------------------------------------- */

static void report(bool ok, const char *name)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, name);
	failures += !ok;
}

static bool daemon_lives(void)
{
	if (!daemon_pid || kill(daemon_pid, 0) == 0)
		return true;
	printf("Bail out! the daemon is dead\n");
	return false;
}

/* One attack and what must hold after it. Returns false if there is no point in more attacks. */
static bool try(void (*body)(const void *), const void *context, const char *name,
		const struct holdings *before)
{
	bool ok = in_process(body, context);

	if (!in_process(honest_body, NULL)) {
		printf("# an honest guest is not served afterwards\n");
		ok = false;
	}
	if (daemon_pid && !holds_no_more_than(before))
		ok = false;
	report(ok, name);
	return daemon_lives();
}

/* "attack_ring.c", "loop" -> "ring/loop" */
static void name_attack(const struct attack *attack, char *name, size_t size)
{
	const char *file = strrchr(attack->file, '/');

	file = file ? file + 1 : attack->file;
	file += strlen("attack_");
	snprintf(name, size, "%.*s/%s", (int)strcspn(file, "."), file, attack->name);
}

static bool is_wanted(const char *name, char **wanted)
{
	if (!*wanted)
		return true;
	for (; *wanted; wanted++)
		if (!strcmp(name, *wanted))
			return true;
	return false;
}

static bool run_named(char **wanted, const struct holdings *before)
{
	char name[64];

	for (const struct attack *attack = attacks; attack; attack = attack->next) {
		name_attack(attack, name, sizeof(name));
		if (is_wanted(name, wanted) && !try(attack_body, attack, name, before))
			return false;
	}
	return true;
}

static bool run_random(uint64_t seed, unsigned int count, const struct holdings *before)
{
	char name[64];

	for (unsigned int i = 0; i < count; i++, seed++) {
		snprintf(name, sizeof(name), "random, seed %llu", (unsigned long long)seed);
		if (!try(random_body, &seed, name, before))
			return false;
	}
	return true;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: bad_guest [-p PID] [-P PORT] [-s SEED] [-n COUNT] SOCKET [FILE/NAME...]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct holdings before = { -1, -1 };
	unsigned int count = 0;
	uint64_t seed = 1;
	bool done;
	int option;

	while ((option = getopt(argc, argv, "p:P:s:n:")) != -1) {
		if (option == 'p')
			daemon_pid = atoi(optarg);
		else if (option == 'P')
			port = atoi(optarg);
		else if (option == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (option == 'n')
			count = atoi(optarg);
		else
			usage();
	}
	if (optind == argc)
		usage();
	path = argv[optind];
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (daemon_pid)
		before = look();
	done = try(honest_body, NULL, "an honest guest is served", &before) &&
	       run_named(argv + optind + 1, &before) && run_random(seed, count, &before);
	printf("1..%d\n", tests);
	return failures || !done;
}
