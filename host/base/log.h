/* SPDX-License-Identifier: MIT */
/*
 * One line per event on standard error; never blocks, never trusts its text.
 *
 * Everything printed through "%s" from a peer must have gone through
 * log_escape(). Lines that a guest can cause go through log_limited().
 */
#ifndef HOST_BASE_LOG_H
#define HOST_BASE_LOG_H

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

/* A token bucket: @burst lines at once, then @per_second. Zero-initialised. */
struct log_limit {
	double tokens;
	uint64_t last_ms;
	uint64_t suppressed;
};

/* As log_line(), bounded; says how many lines were left out before this one. */
void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Writes @len bytes of @src as printable text ("\n" as \x0a) into @dst of
 * @size bytes, always NUL-terminated, cut where it does not fit. Returns @dst.
 */
char *log_escape(char *dst, size_t size, const void *src, size_t len);

#endif
