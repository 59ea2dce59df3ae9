/* SPDX-License-Identifier: MIT */
/*
 * Text of a configuration: words, sizes, times.
 *
 * All of it comes from the host's administrator, none from a guest.
 */
#ifndef HOST_SERVICE_TEXT_H
#define HOST_SERVICE_TEXT_H

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

#endif
