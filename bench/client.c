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
#include <unistd.h>

#include "works.h"

static const struct {
	const char *name;
	void (*run)(const struct options *options);
} works[] = {
	{ "rtt", work_rtt },
	{ "stream", work_stream },
	{ "open", work_open },
	{ "many", work_many },
	{ "processes", work_processes },
	{ "beside", work_beside },
	{ "memory", work_memory },
	{ "check", work_check },
};

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
	give_up_after(options.limit);
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
