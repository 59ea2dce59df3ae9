// SPDX-License-Identifier: MIT
/*
 * Counters around the work: interrupts of the guest, processor time here and on the
 * host, what a manyport channel has counted, and the guest's memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>

#include <manyport/ioctl.h>

#include "work.h"

struct mark {
	char host[BENCH_MARK_SIZE];
	struct manyport_info info;	/* size 0: not a manyport channel */
	long long interrupts;
	double cpu;			/* this process and its ended children */
	long long mem_free, slab;	/* KiB */
};

static struct mark before;

static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	for (line = strstr(line, word); line; line = strstr(line + 1, word)) {
		if (line[-1] == ' ' && (strchr(" ,\n-", line[len])))
			return true;
	}
	return false;
}

/* Of all processors: a line has a number for each, and words behind these. */
static long long sum_processors(const char *counts)
{
	long long one, sum = 0;
	char *end;

	for (;; counts = end) {
		one = strtoll(counts, &end, 10);
		if (end == counts || (*end != ' ' && *end != '\n'))
			return sum;
		sum += one;
	}
}

static long long count_interrupts(const char *word)
{
	char line[512], *colon;
	long long sum = 0;
	FILE *f = fopen("/proc/interrupts", "re");

	while (f && word && fgets(line, sizeof(line), f)) {
		colon = strchr(line, ':');
		if (colon && has_word(colon, word))
			sum += sum_processors(colon + 1);
	}
	if (f)
		fclose(f);
	return sum;
}

static void read_memory(struct mark *mark)
{
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "MemFree: %lld", &mark->mem_free);
		sscanf(line, "Slab: %lld", &mark->slab);
	}
	if (f)
		fclose(f);
}

static double cpu_time(void)
{
	struct timespec t;
	struct rusage usage;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	getrusage(RUSAGE_CHILDREN, &usage);
	return t.tv_sec + t.tv_nsec / 1e9 + usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void take_mark(struct mark *mark, int fd, const struct options *options)
{
	memset(mark, 0, sizeof(*mark));
	read_memory(mark);
	doing("reading the counters");
	request(fd, BENCH_MARK, 0, 0, false);
	if (read_all(fd, mark->host, sizeof(mark->host)))
		fail("mark");
	mark->host[sizeof(mark->host) - 1] = '\0';
	if (ioctl(fd, MANYPORT_IOC_INFO, &mark->info))
		memset(&mark->info, 0, sizeof(mark->info));
	mark->interrupts = count_interrupts(options->irq);
	mark->cpu = cpu_time();
}

void mark_begin(int fd, const struct options *options)
{
	/* Twice, so that the first does not count: it wakes and loads what sleeps. */
	take_mark(&before, fd, options);
	take_mark(&before, fd, options);
}

static void print_info(const struct manyport_info *a, const struct manyport_info *b)
{
	if (!b->size)
		return;
	printf(" requests=%llu kicks=%llu events=%llu waits=%llu channel_bytes=%llu zero_copy=%llu",
	       b->requests - a->requests, b->kicks - a->kicks, b->events - a->events,
	       b->waits - a->waits, b->bytes_in + b->bytes_out - a->bytes_in - a->bytes_out,
	       b->zero_copy_in + b->zero_copy_out - a->zero_copy_in - a->zero_copy_out);
}

void mark_end(int fd, const struct options *options, uint64_t ops, uint64_t bytes, double seconds)
{
	struct mark after;

	take_mark(&after, fd, options);
	printf("count ops=%llu bytes=%llu seconds=%.6f interrupts=%lld client=%.0f",
	       (unsigned long long)ops, (unsigned long long)bytes, seconds,
	       after.interrupts - before.interrupts, (after.cpu - before.cpu) * 1e9);
	printf(" mem_free=%lld slab=%lld", (after.mem_free - before.mem_free) * 1024,
	       (after.slab - before.slab) * 1024);
	print_info(&before.info, &after.info);
	printf("\nbefore %s\nafter %s\n", before.host, after.host);
}
