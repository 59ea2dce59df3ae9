// SPDX-License-Identifier: MIT
/* The keeper starts its program again, ends what that left, passes signals on, and ends with it. */
#include "keeper_rig.h"

#define MAGIC	"LIVES001"

struct lives {
	char magic[8];
	int lives, fds;
	uint32_t counter, memory;	/* held under */
};

static struct lives first_life(struct keep *keep)
{
	struct lives state = { .magic = MAGIC };

	state.counter = keep_hold(keep, eventfd(0, EFD_CLOEXEC));
	state.memory = keep_hold(keep, memory("life 0"));
	EXPECT(state.counter && state.memory);
	return state;
}

/* Each life finds what the last one has held, and holds something of its own. */
static void next_life(struct keep *keep, struct lives *state)
{
	char text[32], expected[32];
	uint64_t count;
	int fd = keep_take(keep, state->counter);
	uint32_t number;

	EXPECT(read(fd, &count, sizeof(count)) == sizeof(count) && count == 1);
	fd = keep_take(keep, state->memory);
	snprintf(expected, sizeof(expected), "life %d", state->lives - 1);
	EXPECT(pread(fd, text, sizeof(text), 0) == (ssize_t)strlen(expected));
	EXPECT(!memcmp(text, expected, strlen(expected)));
	close(fd);
	keep_drop_rest(keep);
	snprintf(expected, sizeof(expected), "life %d", state->lives);
	fd = memory(expected);
	number = keep_hold(keep, fd);
	close(fd);
	EXPECT(number > state->memory);
	keep_drop(keep, state->memory);
	state->memory = number;
}

/* lives COUNT HOW...: so many lives, which end as said, in turns; the last one well. */
static void part_lives(char **args)
{
	struct keep *keep = keep_create();
	uint32_t number = keep_find(keep, MAGIC);
	int fd = number ? keep_take(keep, number) : memory(""), ways = 0;
	const uint64_t one = 1;
	struct lives state;

	EXPECT(keep && number == keep_find(keep, MAGIC));
	if (number) {
		EXPECT(pread(fd, &state, sizeof(state), 0) == sizeof(state));
		next_life(keep, &state);
	} else {
		state = first_life(keep);
	}
	if (!number)
		EXPECT(pwrite(fd, &state, sizeof(state), 0) == sizeof(state) &&
		       keep_hold_state(keep, fd));
	if (state.lives == 1)
		state.fds = count_fds();
	EXPECT(state.lives < 1 || state.fds == count_fds());
	state.lives++;
	EXPECT(pwrite(fd, &state, sizeof(state), 0) == sizeof(state));
	fd = keep_take(keep, state.counter);
	EXPECT(write(fd, &one, sizeof(one)) == sizeof(one));
	sd_notify(0, "READY=1");
	if (state.lives == atoi(args[0])) {
		dprintf(record, "%d lives\n", state.lives);
		_exit(0);
	}
	while (args[1 + ways])
		ways++;
	die(atoi(args[1 + (state.lives - 1) % ways]));
}

/* dies HOW: says that it has begun, and is ready unless HOW has a minus more. */
static void part_dies(char **args)
{
	dprintf(record, "begun\n");
	if (args[1])
		sd_notify(0, "READY=1");
	die(atoi(args[0]));
}

/* signals: says which come; ends with SIGTERM. */
static void part_signals(char **args)
{
	int number;
	sigset_t set;

	(void)args;
	/* One that comes now waits until it is asked for. */
	dprintf(record, "begun\n");
	sigfillset(&set);
	do {
		number = sigwaitinfo(&set, NULL);
		dprintf(record, "signal %d\n", number);
	} while (number != SIGTERM);
	EXPECT(getpgid(0) == getpid());
}

/* stubborn HOW: does not end by SIGTERM well, but by a failure or a signal. */
static void part_stubborn(char **args)
{
	sigset_t set;
	int number;

	dprintf(record, "begun\n");
	sd_notify(0, "READY=1");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &number);
	die(atoi(args[0]));
}

/* given: finds "given" at the descriptor that its keeper was given, in three lives. */
static void part_given(char **args)
{
	struct keep *keep = keep_create();
	uint32_t number = keep_find(keep, MAGIC);
	char text[6];
	int fd = -1;

	(void)args;
	EXPECT(keeper_is_parent(&fd) && fd > 2);
	EXPECT(pread(fd, text, sizeof(text), 0) == 5 && !memcmp(text, "given", 5));
	sd_notify(0, "READY=1");
	/* More and more of those that lie from 3 on. */
	for (int i = 0; i < 20; i++)
		EXPECT(keep_hold(keep, memory("more")));
	dprintf(record, "given\n");
	if (number > 21)
		_exit(0);
	EXPECT(keep_hold_state(keep, memory(MAGIC)));
	die(SIGKILL);
}

static pid_t spawn(void (*work)(void))
{
	int ready[2], pid;
	char byte;

	EXPECT(!pipe(ready));
	pid = fork();
	if (!pid) {
		work();
		EXPECT(write(ready[1], "", 1) == 1);
		for (;;)
			pause();
	}
	EXPECT(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void become_polite(void)
{
	sigset_t none;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_stubborn(void)
{
	setsid();
	signal(SIGTERM, SIG_IGN);
}

static void become_parents(void)
{
	setsid();
	/* In a session of its own, as its child. */
	EXPECT(spawn(become_stubborn) > 0);
}

static int count_processes(pid_t *all)
{
	char path[64];
	FILE *list;
	int count = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", getppid(), getppid());
	list = fopen(path, "re");
	EXPECT(list);
	while (fscanf(list, "%d", all) == 1)
		count++;
	fclose(list);
	return count;
}

/* programs: leaves some, and in its second life there is none. */
static void part_programs(char **args)
{
	struct keep *keep = keep_create();
	pid_t last;

	(void)args;
	EXPECT(count_processes(&last) == 1 && last == getpid());
	if (keep_find(keep, MAGIC)) {
		dprintf(record, "alone\n");
		_exit(0);
	}
	EXPECT(keep_hold_state(keep, memory(MAGIC)));
	sd_notify(0, "READY=1");
	dprintf(record, "%d\n", spawn(become_polite));
	dprintf(record, "%d\n", spawn(become_stubborn));
	dprintf(record, "%d\n", spawn(become_parents));
	die(SIGKILL);
}
static const struct part parts[] = {
	{ "lives", part_lives }, { "dies", part_dies }, { "signals", part_signals },
	{ "stubborn", part_stubborn }, { "given", part_given }, { "programs", part_programs },
	{ 0 },
};

/* --- The tests ---------------------------------------------------------------------- */

static void test_ways(void **state)
{
	(void)state;
	/* Signals, and failures by -STATUS. */
	expect_play("lives 12 9 11 6 7 8 4 15 1 2 -1 -70", 0, "12 lives\n");
}

static void test_many(void **state)
{
	const char *many = getenv("KEEPER_LIVES") ?: "100";
	char line[32], lives[32];

	(void)state;
	snprintf(line, sizeof(line), "lives %s 9", many);
	snprintf(lives, sizeof(lives), "%s lives\n", many);
	expect_play(line, 0, lives);
}

static void test_statuses(void **state)
{
	(void)state;
	expect_play("dies -0 ready", 0, "begun\n");
	expect_play("dies -64 ready", 64, "begun\n");
	expect_play("dies -78 ready", 78, "begun\n");
	/* A start that fails is told at once. */
	expect_play("dies -1", 1, "begun\n");
	expect_play("dies -5", 5, "begun\n");
}

static bool is_at_rest;			/* the keeper's clock */

/* In place of the C library's: a slow machine does not make ten crashes rarer than they are. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (!is_at_rest)
		return syscall(SYS_clock_gettime, clock, ts);
	*ts = (struct timespec){ .tv_sec = 1000 };
	return 0;
}

static void test_loop(void **state)
{
	const char *ten = "begun\nbegun\nbegun\nbegun\nbegun\nbegun\nbegun\nbegun\nbegun\nbegun\n";

	(void)state;
	is_at_rest = true;
	expect_play("dies 11 ready", 1, ten);
	expect_play("dies 9", 1, ten);
	expect_play("dies -1 ready", 1, ten);
	is_at_rest = false;
}

static void await(const char *what)
{
	char text[4096];
	ssize_t len;

	do {
		usleep(1000);
		len = pread(record, text, sizeof(text) - 1, 0);
		text[len] = '\0';
	} while (!strstr(text, what));
}

static void test_signals(void **state)
{
	static const int numbers[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGINT, SIGTERM };
	char text[4096], expected[4096] = "begun\n";
	pid_t pid = begin("signals");

	(void)state;
	await("begun\n");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		char line[32];

		snprintf(line, sizeof(line), "signal %d\n", numbers[i]);
		strcat(expected, line);
		kill(pid, numbers[i]);
		await(line);
	}
	assert_int_equal(end(pid, text, sizeof(text)), 0);
	assert_string_equal(text, expected);
}

/* One that was to end is not started again, however it ends. */
static void test_end(void **state)
{
	static const struct {
		const char *line;
		int status;
	} ends[] = {
		{ "stubborn 15", 0 }, { "stubborn -0", 0 }, { "stubborn -1", 1 },
		{ "stubborn 11", 1 },
	};
	char text[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		pid_t pid = begin(ends[i].line);

		await("begun\n");
		kill(pid, SIGTERM);
		assert_int_equal(end(pid, text, sizeof(text)), ends[i].status);
		assert_string_equal(text, "begun\n");
	}
}

static void test_given(void **state)
{
	int fd = -1;

	(void)state;
	assert_false(keeper_is_parent(&fd));
	given = memory("given");
	expect_play("given", 0, "given\ngiven\ngiven\n");
	close(given);
	given = -1;
}

static void test_programs(void **state)
{
	char text[4096], *at = text;
	int status = end(begin("programs"), text, sizeof(text)), pid, len;

	(void)state;
	assert_int_equal(status, 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sscanf(at, "%d\n%n", &pid, &len), 1);
		assert_true(kill(pid, 0) < 0 && errno == ESRCH);
		at += len;
	}
	assert_string_equal(at, "alone\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_given),
		cmocka_unit_test(test_programs),
	};

	if (argc > 2) {
		play(parts, argv + 1);
		return 0;
	}
	unsetenv("NOTIFY_SOCKET");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
