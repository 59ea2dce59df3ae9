// SPDX-License-Identifier: MIT
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void text_free(char **words)
{
	if (!words)
		return;
	for (char **word = words; *word; word++)
		free(*word);
	free(words);
}

/*
 * Copies one word from *text to @dst, which has room for the rest of the
 * text, and moves *text past the word. Returns 0 or -EINVAL.
 */
static int copy_word(const char **text, char *dst)
{
	const char *src = *text;
	char quote = 0;

	for (; *src && (quote || !isspace((unsigned char)*src)); src++) {
		if (quote ? *src == quote : (*src == '\'' || *src == '"')) {
			quote = quote ? 0 : *src;
			continue;
		}
		if (*src == '\\' && quote != '\'' && !*++src)
			return -EINVAL;
		*dst++ = *src;
	}
	*dst = 0;
	*text = src;
	return quote ? -EINVAL : 0;
}

int text_split(const char *text, char ***words)
{
	/* Two characters make at most one word and its separator. */
	size_t most = strlen(text) / 2 + 2;
	char **list = calloc(most, sizeof(*list));
	char *copy = malloc(strlen(text) + 1);
	int count = 0, ret = -ENOMEM;

	if (!list || !copy)
		goto fail;
	for (;;) {
		while (isspace((unsigned char)*text))
			text++;
		if (!*text)
			break;
		ret = copy_word(&text, copy);
		if (ret)
			goto fail;
		list[count] = strdup(copy);
		ret = -ENOMEM;
		if (!list[count])
			goto fail;
		count++;
	}
	free(copy);
	*words = list;
	return count;
fail:
	free(copy);
	text_free(list);
	return ret;
}

/* Digits at *text; moves *text past the digits. */
static int take_digits(const char **text, uint64_t *number)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	errno = 0;
	*number = strtoull(*text, &end, 10);
	if (errno)
		return -ERANGE;
	*text = end;
	return 0;
}

int text_number(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
	uint64_t value;
	int ret = take_digits(&text, &value);

	if (ret)
		return ret;
	if (*text)
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*number = value;
	return 0;
}

int text_range(const char *text, uint64_t max, uint64_t *first, uint64_t *last)
{
	int ret = take_digits(&text, first);

	*last = *first;
	if (!ret && *text == '-') {
		text++;
		ret = take_digits(&text, last);
	}
	if (ret)
		return ret;
	if (*text)
		return -EINVAL;
	return *first > *last || *last > max ? -ERANGE : 0;
}

int text_add_statuses(const char *text, struct text_statuses *statuses)
{
	uint64_t first, last;
	char **words;
	int count = text_split(text, &words), ret = 0;

	for (int i = 0; i < count && !ret; i++) {
		ret = text_range(words[i], 255, &first, &last);
		for (; !ret && first <= last; first++)
			statuses->bits[first / 32] |= 1U << first % 32;
	}
	if (count >= 0)
		text_free(words);
	return count < 0 ? count : ret;
}

int text_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	const char *unit;
	uint64_t value, scale = 1;
	int ret = take_digits(&text, &value);

	if (ret)
		return ret;
	unit = *text ? strchr(units, toupper((unsigned char)*text)) : NULL;
	if (unit) {
		scale = 1ULL << (10 * (unit - units + 1));
		text++;
	}
	if (*text == 'B')
		text++;
	if (*text)
		return -EINVAL;
	if (value > UINT64_MAX / scale)
		return -ERANGE;
	*bytes = value * scale;
	return 0;
}

static const struct {
	const char *name;
	uint64_t ms;
} time_units[] = {
	{ "ms", 1 },	    { "msec", 1 },	  { "s", 1000 },   { "sec", 1000 },
	{ "second", 1000 }, { "seconds", 1000 },  { "", 1000 },	   { "m", 60000 },
	{ "min", 60000 },   { "minute", 60000 },  { "minutes", 60000 },
	{ "h", 3600000 },   { "hr", 3600000 },	  { "hour", 3600000 }, { "hours", 3600000 },
	{ "d", 86400000 },  { "day", 86400000 },  { "days", 86400000 },
};

/* The unit at *text in milliseconds, or 0; moves *text past the unit. */
static uint64_t take_unit(const char **text)
{
	size_t len = 0;

	while (isalpha((unsigned char)(*text)[len]))
		len++;
	for (size_t i = 0; i < sizeof(time_units) / sizeof(time_units[0]); i++) {
		if (strlen(time_units[i].name) == len && !strncmp(*text, time_units[i].name, len)) {
			*text += len;
			return time_units[i].ms;
		}
	}
	return 0;
}

int text_time(const char *text, uint64_t *ms)
{
	uint64_t total = 0, value, unit;

	do {
		int ret = take_digits(&text, &value);

		if (ret)
			return ret;
		while (isblank((unsigned char)*text))
			text++;
		/* "1 30s" is no time: a bare number stands alone. */
		if (isdigit((unsigned char)*text))
			return -EINVAL;
		unit = take_unit(&text);
		if (!unit)
			return -EINVAL;
		if (value > (UINT64_MAX - total) / unit)
			return -ERANGE;
		total += value * unit;
		while (isblank((unsigned char)*text))
			text++;
	} while (*text);
	*ms = total;
	return 0;
}
