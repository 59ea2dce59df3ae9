// SPDX-License-Identifier: MIT
#include "service/exec_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

bool exec_command_is_found(const char *name)
{
	const char *dir = SPAWN_PATH;
	char path[4096];

	if (strchr(name, '/'))
		return is_program(name);
	while (*dir) {
		size_t len = strcspn(dir, ":");

		if ((size_t)snprintf(path, sizeof(path), "%.*s/%s", (int)len, dir, name) <
		    sizeof(path) && is_program(path))
			return true;
		dir += len + (dir[len] == ':');
	}
	return false;
}

int exec_command_make(struct spawn_words *command, const char *text)
{
	char **words;
	int count = text_split(text, &words), ret = 0;

	if (count < 0)
		return count;
	/* Splitting makes nothing longer, but for the NUL after the last word. */
	command->text = malloc(strlen(text) + 1);
	if (!command->text)
		ret = -ENOMEM;
	for (int i = 0; i < count && !ret; i++) {
		memcpy(command->text + command->len, words[i], strlen(words[i]) + 1);
		command->len += strlen(words[i]) + 1;
	}
	command->count = count;
	text_free(words);
	if (!ret && !count)
		ret = -ENOENT;
	return !ret && command->len > EXEC_COMMAND_MAX ? -E2BIG : ret;
}
