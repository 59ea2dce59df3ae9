// SPDX-License-Identifier: MIT
/*
 * Many channels at once, all of them busy, some of them stalled, closed or killed.
 *
 * A round: every process opens its channels; when all are open, all begin. Some channels are
 * closed halfway, some processes are killed halfway, the stalled ones wait for the end
 * of all others. Then the host must have no channel left and no wrong byte
 * seen, and the port no channel but ours.
 */
#include "stress.h"

#include <limits.h>
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <manyport/client.h>

struct stress_options options = {
	.port = "multi", .channels = 1000, .processes = 100, .stalled = 20, .shared = 4,
	.rounds = 1, .limit = 600, .seed = 1, .bytes = 100000,
};
const char *stress_who = "stress";

static char port_path[256];
static int control = -1;

void stress_fail(const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("# %s: %s\n", stress_who, text);
	fflush(stdout);
	_exit(1);
}

struct stress_plan stress_make_plan(uint64_t seed, unsigned int index)
{
	static const enum stress_mode modes[] = { STRESS_STREAM, STRESS_STREAM, STRESS_STREAM,
						  STRESS_STOP_GO, STRESS_STOP_GO, STRESS_CUT };
	uint64_t dice = stress_mix(seed, index);
	struct stress_plan plan = {
		.hello = { STRESS_MAGIC, modes[dice % 6], dice, 0, 0 },
		.close_at = UINT64_MAX,
	};

	/* Most are short; one in ten is ten times as long. */
	plan.hello.out_len = stress_mix(dice, 1) % options.bytes * (dice % 10 ? 1 : 10);
	plan.hello.in_len = stress_mix(dice, 2) % options.bytes * (dice % 10 ? 1 : 10);
	if (stress_mix(dice, 3) % 8 == 0)
		plan.close_at = stress_mix(dice, 4) % (plan.hello.out_len + 1);
	return plan;
}

int stress_open(bool nonblock)
{
	int fd = open(port_path, O_RDWR | O_CLOEXEC | (nonblock ? O_NONBLOCK : 0));
	struct pollfd entry = { .fd = fd, .events = POLLOUT };

	if (fd < 0)
		stress_fail("open: %s", strerror(errno));
	while (write(fd, "stress", 7) != 7) {
		if (errno != EAGAIN)
			stress_fail("naming: %s", strerror(errno));
		poll(&entry, 1, -1);
	}
	return fd;
}

static const char *ask(const char *line)
{
	static char answer[256];
	size_t len = 0;
	ssize_t ret;

	if (write(control, line, strlen(line)) < 0)
		stress_fail("control: %s", strerror(errno));
	do {
		ret = read(control, answer + len, sizeof(answer) - 1 - len);
		if (ret <= 0)
			stress_fail("control: %s", ret ? strerror(errno) : "end");
		len += ret;
	} while (answer[len - 1] != '\n');
	answer[len] = '\0';
	return answer;
}

/* The port's own count of open channels, or -1 where sysfs does not say it. */
static int port_channels(void)
{
	char path[PATH_MAX + 64], text[32] = "";
	const char *node = strrchr(realpath(port_path, path) ? path : port_path, '/') + 1;
	char name[64];
	FILE *file;

	snprintf(name, sizeof(name), "%s", node);
	snprintf(path, sizeof(path), "/sys/class/manyport/%s/channels", name);
	file = fopen(path, "r");
	if (!file) {
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/channels", name);
		file = fopen(path, "r");
	}
	if (!file)
		return -1;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	return atoi(text);
}

/* ---- processes ---- */

struct process {
	pid_t pid;
	bool is_victim, is_done;
	uint64_t kill_at;		/* when that much has moved */
	struct stress_worker *shared;
};

struct round {
	struct process *list;
	unsigned int count, started;
	struct stress_worker *shared;
	int ready[2], go[2];
	uint64_t seed;
};

static void begin_child(struct round *round, const char *kind, unsigned int number)
{
	static char who[64];

	snprintf(who, sizeof(who), "%s %u", kind, number);
	stress_who = who;
	close(control);
	close(round->ready[0]);
	close(round->go[1]);
}

static struct process *add_process(struct round *round)
{
	struct process *process = &round->list[round->started];

	process->shared = &round->shared[round->started++];
	process->pid = fork();
	if (process->pid < 0)
		stress_fail("fork: %s", strerror(errno));
	return process;
}

static void start_worker(struct round *round, unsigned int number)
{
	unsigned int first = (uint64_t)options.channels * number / options.processes;
	unsigned int end = (uint64_t)options.channels * (number + 1) / options.processes;
	struct process *process = add_process(round);
	uint64_t dice = stress_mix(round->seed, 1000000 + number);

	if (!process->pid) {
		begin_child(round, "worker", number);
		stress_work(number, round->seed, first, end - first, process->shared,
			    round->ready[1], round->go[0]);
		_exit(0);
	}
	process->is_victim = dice % 10 == 0;
	process->kill_at = dice / 10 % ((end - first) * options.bytes + 1);
}

static void start_other(struct round *round, unsigned int number, const char *kind,
			void (*run)(uint64_t seed, unsigned int number, int ready, int go))
{
	struct process *process = add_process(round);

	if (process->pid)
		return;
	begin_child(round, kind, number);
	run(stress_mix(round->seed, 2000000 + number), number, round->ready[1], round->go[0]);
	_exit(0);
}

static void start_all(struct round *round)
{
	char byte;

	for (unsigned int i = 0; i < options.processes; i++)
		start_worker(round, i);
	for (unsigned int i = 0; i < options.stalled; i++)
		start_other(round, i, "stalled", stress_stall);
	for (unsigned int i = 0; i < options.shared; i++)
		start_other(round, i, "shared", stress_share);
	close(round->ready[1]);
	for (unsigned int i = 0; i < round->count; i++)
		if (read(round->ready[0], &byte, 1) != 1)
			stress_fail("not all channels could be opened");
}

static bool end_process(struct process *process, int status)
{
	process->is_done = true;
	if (process->is_victim && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return true;
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Kills the victims whose time has come, and takes the ended. Returns how many live. */
static unsigned int look_after(struct round *round, unsigned int from, unsigned int to, bool *good)
{
	unsigned int left = 0;
	int status;

	for (unsigned int i = from; i < to; i++) {
		struct process *process = &round->list[i];

		if (process->is_done)
			continue;
		if (process->is_victim && process->shared->moved >= process->kill_at)
			kill(process->pid, SIGKILL);
		if (waitpid(process->pid, &status, WNOHANG) == process->pid)
			*good &= end_process(process, status);
		else
			left++;
	}
	return left;
}

/* A worker says more at SIGUSR1. */
static void say_who_is_stuck(struct round *round, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		if (round->list[i].is_done)
			continue;
		printf("# stuck: process %u (pid %d), %llu bytes moved, %u channels done\n", i,
		       round->list[i].pid, (unsigned long long)round->list[i].shared->moved,
		       round->list[i].shared->finished);
		if (i < options.processes)
			kill(round->list[i].pid, SIGUSR1);
	}
	poll(NULL, 0, 1000);
}

/* Waits for the processes @from to @to. */
static bool wait_for(struct round *round, unsigned int from, unsigned int to)
{
	time_t end = time(NULL) + options.limit;
	bool good = true;

	while (look_after(round, from, to, &good)) {
		if (time(NULL) > end) {
			say_who_is_stuck(round, from, to);
			return false;
		}
		poll(NULL, 0, 1);
	}
	return good;
}

static bool check_host(void)
{
	unsigned int active, finished, bad;
	const char *text = ask("stress idle\n");

	if (sscanf(text, "ok %u %u %u", &active, &finished, &bad) != 3)
		stress_fail("control: %s", text);
	printf("# the host has finished %u channels, %u with wrong bytes\n", finished, bad);
	return !bad;
}

/* All of the port's channels but our own must go; only the host's linger may delay it. */
static bool check_port(void)
{
	time_t end = time(NULL) + options.limit;

	while (port_channels() > 1 && time(NULL) < end)
		poll(NULL, 0, 1);
	if (port_channels() > 1)
		printf("# the port still has %d channels\n", port_channels());
	return port_channels() <= 1;
}

static void init_round(struct round *round, unsigned int number)
{
	size_t count = options.processes + options.stalled + options.shared;

	round->count = count;
	round->started = 0;
	round->seed = stress_mix(options.seed, number);
	round->list = calloc(count, sizeof(*round->list));
	round->shared = mmap(NULL, count * sizeof(*round->shared), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!round->list || round->shared == MAP_FAILED || pipe2(round->ready, O_CLOEXEC) ||
	    pipe2(round->go, O_CLOEXEC))
		stress_fail("no memory or descriptors");
}

static void free_round(struct round *round)
{
	munmap(round->shared, round->count * sizeof(*round->shared));
	close(round->ready[0]);
	close(round->go[0]);
	free(round->list);
}

static bool run_round(unsigned int number)
{
	unsigned int workers = options.processes;
	struct round round;
	bool good;

	init_round(&round, number);
	ask("stress begin\n");
	start_all(&round);
	printf("# %d channels are open\n", port_channels());
	close(round.go[1]);
	good = wait_for(&round, 0, workers) &&
	       wait_for(&round, workers + options.stalled, round.count);
	ask("stress go\n");
	good &= wait_for(&round, workers, workers + options.stalled);
	if (good)
		good = check_host() && check_port();
	free_round(&round);
	return good;
}

/* ---- command line ---- */

static const struct argp_option option_table[] = {
	{ "port", 'p', "NAME", 0, "the port (multi)", 0 },
	{ "channels", 'c', "N", 0, "channels at once (1000)", 0 },
	{ "processes", 'P', "N", 0, "processes that hold them (100)", 0 },
	{ "stalled", 's', "N", 0, "further channels that are stalled (20)", 0 },
	{ "shared", 'w', "N", 0, "further channels with many writers (4)", 0 },
	{ "rounds", 'r', "N", 0, "how often (1)", 0 },
	{ "bytes", 'b', "N", 0, "about so many on each channel, each way (100000)", 0 },
	{ "seed", 'S', "N", 0, "the same number, the same run (1)", 0 },
	{ "limit", 'l', "SECONDS", 0, "a process that takes longer is stuck (600)", 0 },
	{ 0 }
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	unsigned long long number = arg ? strtoull(arg, NULL, 0) : 0;

	switch (key) {
	case 'p': options.port = arg; return 0;
	case 'c': options.channels = number; return 0;
	case 'P': options.processes = number; return 0;
	case 's': options.stalled = number; return 0;
	case 'w': options.shared = number; return 0;
	case 'r': options.rounds = number; return 0;
	case 'b': options.bytes = number; return 0;
	case 'S': options.seed = number; return 0;
	case 'l': options.limit = number; return 0;
	case ARGP_KEY_END:
		if (!options.processes || !options.bytes || options.channels < options.processes)
			argp_error(state, "at least one channel per process, and one byte");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp parser = { option_table, parse_option, NULL,
					    "Stresses a port.", NULL, NULL, NULL };
	struct rlimit files;
	bool good = true;

	argp_parse(&parser, argc, argv, 0, NULL, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (manyport_find(options.port, port_path, sizeof(port_path)))
		stress_fail("no port '%s'", options.port);
	control = manyport_open(port_path, "control", O_CLOEXEC);
	if (control < 0)
		stress_fail("control: %s", strerror(-control));
	printf("TAP version 13\n1..%u\n", options.rounds);
	for (unsigned int i = 0; i < options.rounds && good; i++) {
		time_t begin = time(NULL);

		good = run_round(i);
		printf("%sok %u - %u channels, seed %llu # %ld s\n", good ? "" : "not ", i + 1,
		       options.channels, (unsigned long long)options.seed,
		       (long)(time(NULL) - begin));
	}
	return good ? 0 : 1;
}
