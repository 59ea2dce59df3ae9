/* SPDX-License-Identifier: MIT */
/*
 * Text of a configuration: words, sizes, times.
 *
 * All of it comes from the host's administrator, none from a guest.
 */
#ifndef HOST_BASE_TEXT_H
#define HOST_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Splits @text at blanks into a NULL-terminated array that text_free()
 * frees. 'a b' and "a b" are one word; a backslash takes the next character
 * as it is, also inside double quotes. Nothing else is special: no variable,
 * no pattern, no shell. Returns the number of words, -EINVAL (an open quote
 * or a backslash at the end) or -ENOMEM.
 */
int text_split(const char *text, char ***words);
void text_free(char **words);	/* accepts NULL */

/* "512", "64K", "4M", "1G": bytes, to the base 1024. Returns 0, -EINVAL or -ERANGE. */
int text_size(const char *text, uint64_t *bytes);

/*
 * "5s", "500ms", "1min 30s", "2h", "1d"; a bare number is seconds. Returns 0,
 * -EINVAL or -ERANGE.
 */
int text_time(const char *text, uint64_t *ms);

/* A number without sign or unit, from @min to @max. Returns 0, -EINVAL or -ERANGE. */
int text_number(const char *text, uint64_t min, uint64_t max, uint64_t *number);

/* Exit statuses of programs, 0 to 255. */
struct text_statuses {
	uint32_t bits[8];
};

/* Adds those of "255 1-3". Returns 0, -EINVAL, -ERANGE or -ENOMEM. */
int text_add_statuses(const char *text, struct text_statuses *statuses);

/* 0 is always one of them. */
static inline bool text_has_status(const struct text_statuses *statuses, int status)
{
	return !status || (status > 0 && status < 256 &&
			   statuses->bits[status / 32] >> status % 32 & 1);
}

/* "1000" or "1000-1999", with numbers up to @max. Returns 0, -EINVAL or -ERANGE. */
int text_range(const char *text, uint64_t max, uint64_t *first, uint64_t *last);

#endif
