/* SPDX-License-Identifier: MIT */
/*
 * One line per event on standard error; never blocks, never trusts its text.
 *
 * Everything printed through "%s" from a peer must have gone through
 * log_escape(). Lines that a guest can cause go through log_limited().
 */
#ifndef HOST_BASE_LOG_H
#define HOST_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above @level are dropped. Makes standard error non-blocking-safe. */
void log_setup(enum log_level level);

/* Lines printed and lines that a full pipe swallowed, since the start. */
uint64_t log_lost(void);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Is a line of this level printed? */
bool log_level_is_on(enum log_level level);
void log_line_v(enum log_level level, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/*
 * How many lines of one kind are printed: ten at once, then one a second. Zero-initialised. Give
 * each kind of line its own, so that a line which matters is not left out for many that do not.
 * The log keeps a record for each that was ever used, also when the limit itself is freed: limits
 * belong to what lives as long as the process.
 */
struct log_limit {
	unsigned int record;		/* 0: not used yet */
};

/*
 * As log_line(), bounded. How many lines were left out is said before the next one of the kind, or
 * by log_tell_left_out().
 */
void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void log_limited_v(struct log_limit *limit, enum log_level level, const char *format,
		   va_list args) __attribute__((format(printf, 3, 0)));

/*
 * Would log_limited() leave the next line out? A caller for which a line is costly to prepare asks
 * first. If so, it calls log_limit_skip(), which counts the line as left out.
 */
bool log_limit_is_spent(struct log_limit *limit);
void log_limit_skip(struct log_limit *limit, enum log_level level);

/* The kind is this place in the source. */
#define log_limited_here(level, ...) do {				\
	static struct log_limit limit_;					\
									\
	log_limited(&limit_, level, __VA_ARGS__);			\
} while (0)

/* Limits of kinds of lines about one of many things, such as a service. Zero-initialised. */
struct log_limits {
	struct log_limits_entry *first;
};

/* The one of @kind about the thing called @about (NULL: any). Made at its first use. */
struct log_limit *log_limits_get(struct log_limits *limits, int kind, const char *about);
void log_limits_free(struct log_limits *limits);

/*
 * After a burst no line comes that could tell how many were left out, so a timer must. @arm is
 * called when a line is left out and no call of log_tell_left_out() is due yet: it starts a timer
 * that calls log_tell_left_out() after @ms.
 */
void log_set_timer(void (*arm)(void *context, uint32_t ms), void *context);
/*
 * Logs how many lines were left out, for each limit that would let a whole burst through again, or
 * with @all for each limit. Arms the timer if some limits are still to be told of.
 */
void log_tell_left_out(bool all);

/*
 * Writes @len bytes of @src as printable text ("\n" as \x0a) into @dst of
 * @size bytes, always NUL-terminated, cut where it does not fit. Returns @dst.
 */
char *log_escape(char *dst, size_t size, const void *src, size_t len);

#endif
