// SPDX-License-Identifier: MIT
/*
 * The guest kernel's own counters.
 *
 * Allocations are counted by histograms of the tracing subsystem, which need no space per
 * event and lose none: one per event, by call site. All that happens in the guest counts,
 * whoever makes it, because an answer is handled in whichever process is interrupted.
 */
#include "count.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRACING "/sys/kernel/tracing"
#define GRACE_PERIODS 16	/* few frees follow each */

static const struct histogram {
	const char *event, *key;
	bool is_slab;
} histograms[] = {
	{ "kmalloc", "call_site.sym", true },
	{ "kmalloc_node", "call_site.sym", true },
	{ "kmem_cache_alloc", "call_site.sym", true },
	{ "kmem_cache_alloc_node", "call_site.sym", true },
	{ "mm_page_alloc", "order", false },
};
#define HISTOGRAMS (sizeof(histograms) / sizeof(histograms[0]))

static char text[1 << 18];
static unsigned long long slab_base, page_base;	/* what counting itself takes */
static unsigned long long tables;		/* of virtio, in the last sum */

static const char *event_file(const struct histogram *histogram, const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), TRACING "/events/kmem/%s/%s", histogram->event, name);
	return path;
}

static void put(const char *path, const char *words)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, words, strlen(words)) < 0)
		err(1, "%s", path);
	close(fd);
}

/* The whole file, until the next call. */
static char *get(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t ret;

	if (fd < 0)
		err(1, "%s", path);
	while ((ret = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += ret;
	if (ret < 0)
		err(1, "%s", path);
	if (len == sizeof(text) - 1)
		errx(1, "%s: too long", path);
	close(fd);
	text[len] = '\0';
	return text;
}

/* Newer kernels have fewer of these events. */
static bool exists(const struct histogram *histogram)
{
	return !access(event_file(histogram, "trigger"), F_OK);
}

static void set_triggers(const char *suffix)
{
	char words[100];

	for (size_t i = 0; i < HISTOGRAMS; i++) {
		if (!exists(&histograms[i]))
			continue;
		snprintf(words, sizeof(words), "hist:keys=%s%s", histograms[i].key, suffix);
		put(event_file(&histograms[i], "trigger"), words);
	}
}

void count_begin(void)
{
	set_triggers(":clear");
	set_triggers(":cont");
}

void count_end(void)
{
	set_triggers(":pause");
}

/*
 * A line is "{ call_site: [ADDRESS] NAME [MODULE] } hitcount: 12"; name may be NULL. What virtio
 * allocates counts apart: a table for each request of more than one descriptor.
 */
static unsigned long long sum_hits(const struct histogram *histogram, const char *name)
{
	unsigned long long hits, sum = 0;
	char *line, *rest, *count, *site;

	rest = get(event_file(histogram, "hist"));
	while ((line = strsep(&rest, "\n"))) {
		count = strstr(line, "hitcount:");
		if (*line != '{' || !count)
			continue;
		hits = strtoull(count + strlen("hitcount:"), NULL, 10);
		site = strchr(line, ']');
		if (site && strstr(site, "[virtio_ring]"))
			tables += hits;
		else
			sum += hits;
		if (name && site && hits > 4)
			printf("# %s: %llu %s%.*s\n", name, hits, histogram->event,
			       (int)strcspn(site + 1, "}"), site + 1);
	}
	return sum;
}

static unsigned long long sum_calls(bool is_slab, const char *name)
{
	unsigned long long sum = 0;

	tables = 0;
	for (size_t i = 0; i < HISTOGRAMS; i++)
		if (histograms[i].is_slab == is_slab && exists(&histograms[i]))
			sum += sum_hits(&histograms[i], name);
	return sum;
}

static unsigned long long more_than(unsigned long long base, unsigned long long sum)
{
	return sum > base ? sum - base : 0;
}

unsigned long long count_slab_calls(unsigned long long *virtio)
{
	unsigned long long sum = more_than(slab_base, sum_calls(true, NULL));

	*virtio = tables;
	return sum;
}

unsigned long long count_page_calls(void)
{
	return more_than(page_base, sum_calls(false, NULL));
}

void count_print_sites(const char *name)
{
	sum_calls(true, name);
}

void count_start(void)
{
	if (mount("tracefs", TRACING, "tracefs", 0, NULL) && errno != EBUSY)
		err(1, "%s", TRACING);
	if (!exists(&histograms[0]))
		errx(1, "the kernel has no event for kmalloc");
	set_triggers(":pause");
	/* Twice: the first time has more to do. */
	for (int i = 0; i < 2; i++) {
		count_begin();
		count_end();
	}
	slab_base = count_slab_calls(&tables);
	page_base = count_page_calls();
}

/* The first processor's: the guest has one. */
unsigned long long count_interrupts(void)
{
	unsigned long long sum = 0;
	char *line, *colon, *rest = get("/proc/interrupts");

	while ((line = strsep(&rest, "\n"))) {
		colon = strchr(line, ':');
		if (colon && strstr(colon, "virtio"))
			sum += strtoull(colon + 1, NULL, 10);
	}
	return sum;
}

/* --- Which answers an interrupt handles ------------------------------------- */

#define ANSWER	TRACING "/events/manyport/answer/"
#define IRQ	TRACING "/events/irq/irq_handler_"

static void trace_answers(const char *on)
{
	put(ANSWER "enable", on);
	put(IRQ "entry/enable", on);
	put(IRQ "exit/enable", on);
}

/* Each buffer that a driver takes from a virtqueue is a line of the trace; there is one driver. */
void count_answers_begin(void)
{
	put(TRACING "/kprobe_events", "r:manyport/answer virtqueue_get_buf used=$retval");
	put(ANSWER "filter", "used != 0");
	put(TRACING "/trace", "");
	trace_answers("1");
}

/* An interrupt's lines lie between its entry and its exit: the guest has one processor. */
void count_answers_end(struct answers *answers)
{
	char *line, *rest;
	unsigned int inside = 0;
	bool in_interrupt = false;

	trace_answers("0");
	*answers = (struct answers){ 0 };
	rest = get(TRACING "/trace");
	while ((line = strsep(&rest, "\n"))) {
		if (*line == '#')
			continue;
		if (strstr(line, "irq_handler_")) {
			in_interrupt = strstr(line, "irq_handler_entry");
			inside = 0;
		} else if (strstr(line, "answer:")) {
			answers->all++;
			inside += in_interrupt;
		}
		if (inside > answers->most)
			answers->most = inside;
	}
	put(TRACING "/kprobe_events", "-:manyport/answer");
}

/* The caches that a channel and its file are from; all others only make noise. */
static const char *const caches[] = {
	"mp_channel", "filp", "lsm_file_cache", "radix_tree_node", "kmalloc-cg-8",
	"kmalloc-cg-16", "kmalloc-cg-32", "kmalloc-cg-64", "kmalloc-cg-96", "kmalloc-cg-128",
	"kmalloc-cg-192", "kmalloc-cg-256", "kmalloc-cg-512", "kmalloc-cg-1k",
};
#define CACHES (sizeof(caches) / sizeof(caches[0]))

/*
 * What was freed counts as used while it waits for a grace period, or while a processor
 * keeps it. The files that ask for it stay open: one that is closed waits likewise.
 */
static void shrink_caches(void)
{
	static int files[CACHES];
	char path[100];

	for (int i = 0; i < GRACE_PERIODS; i++)
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
			err(1, "membarrier");
	for (size_t i = 0; i < CACHES; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", caches[i]);
		if (!files[i])
			files[i] = open(path, O_WRONLY | O_CLOEXEC);
		if (files[i] < 0 || pwrite(files[i], "1", 1, 0) != 1)
			err(1, "%s", path);
	}
}

static bool is_counted(const char *cache)
{
	for (size_t i = 0; i < CACHES; i++)
		if (!strcmp(cache, caches[i]))
			return true;
	return false;
}

unsigned long long count_slab_bytes(void)
{
	unsigned long long sum = 0, objects, size;
	char *line, *rest, name[64];

	shrink_caches();
	rest = get("/proc/slabinfo");
	while ((line = strsep(&rest, "\n"))) {
		if (sscanf(line, "%63s %llu %*u %llu", name, &objects, &size) == 3 &&
		    is_counted(name))
			sum += objects * size;
	}
	return sum;
}
