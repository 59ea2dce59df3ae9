// SPDX-License-Identifier: MIT
/*
 * Limits of lines of the log: token buckets.
 *
 * A limit holds only the number of a record in this file. So the count of lines left out can still
 * be logged after the limit itself was freed. Records are never freed: there is one for each kind
 * of line, and for some kinds one for each service, and a guest cannot make more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

#define BURST		10
#define PER_SECOND	1
#define LIKE_SIZE	256

struct record {
	double tokens;
	uint64_t last_ms;		/* when they were counted; 0: never */
	uint64_t suppressed;
	enum log_level level;		/* of what was left out */
	char like[LIKE_SIZE];		/* the last line that was printed, cut */
};

static struct {
	struct record *records;		/* [0] is shared by limits that found no memory */
	unsigned int count;
	void (*arm)(void *context, uint32_t ms);
	void *context;
	bool is_armed;			/* a call of log_tell_left_out() will come */
} state;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- Records --------------------------------------------------------------- */

static bool add_record(void)
{
	struct record *grown = reallocarray(state.records, state.count + 1, sizeof(*grown));

	if (!grown)
		return false;
	state.records = grown;
	memset(&grown[state.count++], 0, sizeof(*grown));
	return true;
}

/* NULL: there is no memory even for the first. */
static struct record *find_record(struct log_limit *limit)
{
	if (!state.count && !add_record())
		return NULL;
	if (!limit->record && add_record())
		limit->record = state.count - 1;
	return &state.records[limit->record];
}

static void refill(struct record *record, uint64_t now)
{
	if (!record->last_ms)
		record->tokens = BURST;
	else if (now > record->last_ms)
		record->tokens += (now - record->last_ms) * PER_SECOND / 1000.0;
	if (record->tokens > BURST)
		record->tokens = BURST;
	record->last_ms = now ? now : 1;
}

/* In how many milliseconds the burst is over, if no more comes. */
static uint32_t full_in(const struct record *record)
{
	double missing = (BURST - record->tokens) * 1000 / PER_SECOND;

	return missing > 0 ? (uint32_t)missing + 1 : 0;
}

/* --- Lines ------------------------------------------------------------------- */

static void arm(uint32_t ms)
{
	if (state.arm && !state.is_armed)
		state.arm(state.context, ms);
	state.is_armed = !!state.arm;
}

static void leave_out(struct record *record, enum log_level level)
{
	record->suppressed++;
	record->level = level;
	arm(full_in(record));
}

void log_limit_skip(struct log_limit *limit, enum log_level level)
{
	struct record *record = find_record(limit);

	if (record && log_level_is_on(level))
		leave_out(record, level);
}

bool log_limit_is_spent(struct log_limit *limit)
{
	struct record *record = find_record(limit);

	if (record)
		refill(record, now_ms());
	return !record || record->tokens < 1;
}

void log_limited_v(struct log_limit *limit, enum log_level level, const char *format,
		   va_list args)
{
	struct record *record;
	va_list again;

	if (!log_level_is_on(level))
		return;
	record = find_record(limit);
	if (!record)
		return;
	refill(record, now_ms());
	if (record->tokens < 1) {
		leave_out(record, level);
		return;
	}
	record->tokens -= 1;
	if (record->suppressed)
		log_line(record->level, "%" PRIu64 " lines like the next were left out",
			 record->suppressed);
	record->suppressed = 0;
	va_copy(again, args);
	vsnprintf(record->like, sizeof(record->like), format, again);
	va_end(again);
	log_line_v(level, format, args);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_limited_v(limit, level, format, args);
	va_end(args);
}

/* --- What was left out ------------------------------------------------------- */

void log_set_timer(void (*call)(void *context, uint32_t ms), void *context)
{
	state.arm = call;
	state.context = context;
	state.is_armed = false;
}

void log_tell_left_out(bool all)
{
	uint32_t next = UINT32_MAX;
	uint64_t now = now_ms();

	state.is_armed = false;
	for (unsigned int i = 0; i < state.count; i++) {
		struct record *record = &state.records[i];
		uint32_t wait;

		if (!record->suppressed)
			continue;
		refill(record, now);
		wait = all ? 0 : full_in(record);
		if (wait) {
			next = wait < next ? wait : next;
			continue;
		}
		log_line(record->level, "%" PRIu64 " lines like this were left out: %s",
			 record->suppressed, record->like);
		record->suppressed = 0;
	}
	if (next != UINT32_MAX)
		arm(next);
}

/* --- Many limits --------------------------------------------------------------- */

struct log_limits_entry {
	struct log_limits_entry *next;
	int kind;
	struct log_limit limit;
	char about[];
};

/* Without memory a kind's lines share one with all others that found none. */
static struct log_limit shared;

struct log_limit *log_limits_get(struct log_limits *limits, int kind, const char *about)
{
	struct log_limits_entry *entry;
	size_t size;

	if (!about)
		about = "";
	for (entry = limits->first; entry; entry = entry->next) {
		if (entry->kind == kind && !strcmp(entry->about, about))
			return &entry->limit;
	}
	size = strlen(about) + 1;
	entry = calloc(1, sizeof(*entry) + size);
	if (!entry)
		return &shared;
	entry->kind = kind;
	memcpy(entry->about, about, size);
	entry->next = limits->first;
	limits->first = entry;
	return &entry->limit;
}

void log_limits_free(struct log_limits *limits)
{
	while (limits->first) {
		struct log_limits_entry *entry = limits->first;

		limits->first = entry->next;
		free(entry);
	}
}
