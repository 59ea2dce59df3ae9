// SPDX-License-Identifier: MIT
/*
 * One measurement over any transport that is a file descriptor.
 *
 *	bench-client TARGET WORK [NAME=VALUE...]
 *
 * TARGET: port:NODE:SERVICE (manyport), vport:NODE (a stock port), vsock:CID:PORT,
 * tcp:ADDRESS:PORT or unix:PATH. It prints lines of NAME=VALUE, and "error=..." when
 * it fails or takes longer than limit=SECONDS.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

char *io_buf, *more_buf;
static const char *step = "starting";
int channels_open;

static const struct {
	const char *name;
	void (*run)(const struct options *options);
} works[] = {
	{ "rtt", work_rtt },
	{ "stream", work_stream },
	{ "open", work_open },
	{ "many", work_many },
	{ "beside", work_beside },
	{ "memory", work_memory },
	{ "check", work_check },
};

void fail(const char *what)
{
	printf("error=%s: %s", what, strerror(errno));
	if (channels_open)
		printf(", with %d channels open", channels_open);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

void doing(const char *what)
{
	step = what;
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

void request(int fd, enum bench_op op, size_t size, uint64_t total, bool verify)
{
	struct bench_request r = { BENCH_MAGIC, op, size, total, verify };

	if (write_all(fd, &r, sizeof(r)))
		fail("request");
}

uint64_t calibrate(run_fn *run, int fd, const struct options *options)
{
	double took, enough = options->seconds / 4;
	uint64_t n = 4;

	if (options->ops) {
		run(fd, options, 16);
		return options->ops;
	}
	while ((took = run(fd, options, n)) < enough)
		n = took < enough / 8 ? n * 8 : n * 2;
	n = n * options->seconds / took;
	return n ? n : 1;
}

/* A signal handler: no stdio. */
static void give_up(int unused)
{
	char text[200], open[40] = "";
	int len;

	if (channels_open)
		snprintf(open, sizeof(open), ", with %d channels open", channels_open);
	len = snprintf(text, sizeof(text),
		       "error=time is up while %s, after %llu bytes written and %llu read%s\n",
		       step, (unsigned long long)bytes_given, (unsigned long long)bytes_taken,
		       open);

	(void)unused;
	if (write(STDOUT_FILENO, text, len) < 0)
		_exit(3);
	_exit(2);
}

static void set_option(struct options *options, const char *word)
{
	const char *value = strchr(word, '=');
	size_t len = value ? (size_t)(value - word) : 0;

	if (!value)
		fail(word);
	value++;
	if (!strncmp(word, "size", len))
		options->size = atol(value);
	else if (!strncmp(word, "seconds", len))
		options->seconds = atof(value);
	else if (!strncmp(word, "ops", len))
		options->ops = atol(value);
	else if (!strncmp(word, "channels", len))
		options->channels = atoi(value);
	else if (!strncmp(word, "limit", len))
		options->limit = atoi(value);
	else if (!strncmp(word, "direction", len))
		options->direction = value;
	else if (!strncmp(word, "beside", len))
		options->beside = value;
	else if (!strncmp(word, "other", len))
		options->other = value;
	else if (!strncmp(word, "irq", len))
		options->irq = value;
	else
		fail(word);
}

static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	struct options options = {
		.size = 64, .seconds = 0.3, .channels = 1, .limit = 20, .direction = "write",
		.beside = "",
	};

	if (argc < 3) {
		fprintf(stderr, "usage: bench-client TARGET WORK [NAME=VALUE...]\n");
		return 2;
	}
	options.target = options.other = argv[1];
	for (int i = 3; i < argc; i++)
		set_option(&options, argv[i]);
	io_buf = aligned_alloc(4096, BENCH_MAX_SIZE);
	more_buf = aligned_alloc(4096, BENCH_MAX_SIZE);
	if (!io_buf || !more_buf || !options.size || options.size > BENCH_MAX_SIZE)
		fail("size");
	/* Pages of its own, not the one zero page. */
	memset(io_buf, 1, BENCH_MAX_SIZE);
	memset(more_buf, 1, BENCH_MAX_SIZE);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, give_up);
	alarm(options.limit);
	raise_limits();
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (strcmp(works[i].name, argv[2]))
			continue;
		works[i].run(&options);
		return 0;
	}
	errno = EINVAL;
	fail(argv[2]);
}
