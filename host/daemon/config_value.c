// SPDX-License-Identifier: MIT
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <manyport/wire.h>

#include "base/text.h"
#include "daemon/config_value.h"
#include "device/device.h"

bool config_name_is_valid(const char *name, size_t len, size_t max)
{
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("._-@~", name[i]))
			return false;
	}
	return len && len <= max;
}

static int set_text(const struct config_key *key, char **field, const char *text)
{
	char *copy;

	if (!*text || (key->type == CONFIG_NAME &&
		       !config_name_is_valid(text, strlen(text), key->max)))
		return -EINVAL;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static int set_number(const struct config_key *key, uint32_t *field, const char *text)
{
	uint64_t value;
	int ret;

	if (key->type == CONFIG_SIZE)
		ret = text_size(text, &value);
	else if (key->type == CONFIG_TIME)
		ret = text_time(text, &value);
	else
		ret = text_number(text, 0, UINT64_MAX, &value);
	if (ret)
		return ret;
	if (value < key->min || value > key->max)
		return -ERANGE;
	*field = value;
	return 0;
}

struct choice {
	const char *text;
	uint32_t value;
};

static const struct choice bools[] = {
	{ "yes", true }, { "no", false }, { "true", true }, { "false", false },
	{ "on", true }, { "off", false }, { "1", true }, { "0", false }, { 0 },
};
static const struct choice kinds[] = {
	{ "multi", MP_PORT_MULTI_OPEN }, { "fixed", MP_PORT_FIXED }, { 0 },
};
static const struct choice devices[] = {
	{ "console", DEVICE_CONSOLE }, { "fs", DEVICE_FS }, { 0 },
};

static int set_choice(const struct choice *choice, uint32_t *field, const char *text)
{
	for (; choice->text; choice++) {
		if (strcmp(text, choice->text))
			continue;
		*field = choice->value;
		return 0;
	}
	return -EINVAL;
}

static int count_words(char **words)
{
	int count = 0;

	while (words && words[count])
		count++;
	return count;
}

/* Moves the words of @more to the end of *field; frees the rest of @more. */
static int append_names(char ***field, char **more, int more_count)
{
	int count = count_words(*field);
	char **list = reallocarray(*field, count + more_count + 1, sizeof(*list));

	if (!list) {
		text_free(more);
		return -ENOMEM;
	}
	memcpy(list + count, more, (more_count + 1) * sizeof(*list));
	*field = list;
	free(more);
	return 0;
}

static int add_names(const struct config_key *key, char ***field, const char *text)
{
	char **words;
	int count = text_split(text, &words);

	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		if (!config_name_is_valid(words[i], strlen(words[i]), key->max)) {
			text_free(words);
			return -EINVAL;
		}
	}
	return append_names(field, words, count);
}

static int add_users(struct config_users *users, const char *text)
{
	char **words;
	int count = text_split(text, &words), ret = 0;
	struct config_range *ranges;

	if (count < 0)
		return count;
	ranges = reallocarray(users->ranges, users->count + count + 1, sizeof(*ranges));
	if (!ranges) {
		text_free(words);
		return -ENOMEM;
	}
	users->ranges = ranges;
	for (int i = 0; i < count && !ret; i++) {
		uint64_t first = 0, last = 0;

		/* UINT32_MAX is no user. */
		ret = text_range(words[i], UINT32_MAX - 1, &first, &last);
		ranges[users->count + i] = (struct config_range){ first, last };
	}
	if (!ret)
		users->count += count;
	users->is_given = true;
	text_free(words);
	return ret;
}

int config_value_set(const struct config_key *key, void *field, const char *text)
{
	/* As with systemd, an empty assignment empties a list; it is given all the same. */
	if (config_type_is_list(key->type) && !*text)
		config_value_clear(key, field);
	switch (key->type) {
	case CONFIG_TEXT:
	case CONFIG_NAME:
		return set_text(key, field, text);
	case CONFIG_BOOL:
		return set_choice(bools, field, text);
	case CONFIG_KIND:
		return set_choice(kinds, field, text);
	case CONFIG_DEVICE:
		return set_choice(devices, field, text);
	case CONFIG_NAMES:
		return add_names(key, field, text);
	case CONFIG_USERS:
		return add_users(field, text);
	case CONFIG_STATUSES:
		return text_add_statuses(text, field);
	default:
		return set_number(key, field, text);
	}
}

void config_value_clear(const struct config_key *key, void *field)
{
	struct config_users *users = field;
	char **text = field, ***names = field;

	switch (key->type) {
	case CONFIG_TEXT:
	case CONFIG_NAME:
		free(*text);
		*text = NULL;
		break;
	case CONFIG_NAMES:
		text_free(*names);
		*names = NULL;
		break;
	case CONFIG_USERS:
		free(users->ranges);
		memset(users, 0, sizeof(*users));
		break;
	case CONFIG_STATUSES:
		memset(field, 0, sizeof(struct text_statuses));
		break;
	default:
		break;
	}
}
