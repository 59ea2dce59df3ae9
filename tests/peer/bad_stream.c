// SPDX-License-Identifier: MIT
/*
 * A side of the byte stream that lies [protocol.md 15], to programs that users run.
 *
 *	bad_stream [-s SEED] [-t SECONDS] guest PID FOLDER [LIE...]
 *	bad_stream [-s SEED] [-t SECONDS] host MANYPORT FOLDER [LIE...]
 *
 * As a guest it lies to the manyportd PID, which test_bad_stream.sh has started; as a host to
 * "manyport serve", which it starts for each lie. Lies at random last SECONDS. TAP.
 */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bad_stream.h"

#define LIE_SECONDS 300
#define MAX_LIES    400

const char *folder, *command;
pid_t daemon_pid;
unsigned int random_seconds = 10;
uint64_t random_seed = 1, current_seed;

static struct told {
	const char *name;
	pid_t pid;
	FILE *said;
} told[MAX_LIES];
static unsigned int begun, reported, running, failures, jobs = 1;
static char **wanted;

/* --- Processes ------------------------------------------------------------ */

/* A failure exits, and a success does not come here. */
static void name_seed(void)
{
	if (current_seed)
		printf("# seed %llu\n", (unsigned long long)current_seed);
}

static void is_late(int signal)
{
	(void)signal;
	FAIL("it took too long");
}

static void begin(const struct lie *lie)
{
	struct told *t = &told[begun++];

	CHECK(begun < MAX_LIES);
	t->name = strdup(lie->name);
	t->said = tmpfile();
	fflush(stdout);
	t->pid = fork();
	if (t->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		atexit(name_seed);
		signal(SIGALRM, is_late);
		alarm(LIE_SECONDS + random_seconds);
		dup2(fileno(t->said), STDOUT_FILENO);
		lie->tell(lie->context);
		fflush(stdout);
		_exit(0);
	}
	CHECK(t->pid > 0);
	running++;
}

static void report(struct told *t, int status)
{
	bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	char line[512];

	rewind(t->said);
	while (fgets(line, sizeof(line), t->said))
		fputs(line, stdout);
	fclose(t->said);
	if (WIFSIGNALED(status))
		printf("# ended by signal %d\n", WTERMSIG(status));
	printf("%sok %u - %s\n", ok ? "" : "not ", ++reported, t->name);
	failures += !ok;
}

static void finish_one(void)
{
	int status;
	pid_t pid = wait(&status);

	CHECK(pid > 0);
	running--;
	for (unsigned int i = 0; i < begun; i++)
		if (told[i].pid == pid)
			report(&told[i], status);
	if (daemon_pid && kill(daemon_pid, 0)) {
		printf("Bail out! the daemon is dead\n");
		exit(1);
	}
}

static bool is_wanted(const char *name)
{
	for (char **want = wanted; *want; want++)
		if (!strcmp(name, *want))
			return true;
	return !*wanted;
}

void run(const struct lie *lie)
{
	if (!is_wanted(lie->name))
		return;
	while (running >= jobs)
		finish_one();
	begin(lie);
}

/* --- The start ------------------------------------------------------------ */

static void usage(void)
{
	fprintf(stderr, "usage: bad_stream [-s SEED] [-t SECONDS] guest PID|host MANYPORT FOLDER "
			"[LIE...]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	int option;
	bool is_host;

	while ((option = getopt(argc, argv, "s:t:")) != -1) {
		if (option == 's')
			random_seed = strtoull(optarg, NULL, 0);
		else if (option == 't')
			random_seconds = atoi(optarg);
		else
			usage();
	}
	if (argc - optind < 3)
		usage();
	is_host = !strcmp(argv[optind], "host");
	command = argv[optind + 1];
	folder = argv[optind + 2];
	wanted = argv + optind + 3;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (is_host) {
		jobs = 6;
		run_host();
	} else {
		daemon_pid = atoi(command);
		run_guest();
	}
	while (running)
		finish_one();
	printf("1..%u\n", reported);
	return failures != 0;
}
