/* SPDX-License-Identifier: MIT */
/* What an exec: service runs, from its text. */
#ifndef HOST_SERVICE_EXEC_COMMAND_H
#define HOST_SERVICE_EXEC_COMMAND_H

#include <stdbool.h>

#include "service/spawner.h"

#define EXEC_COMMAND_MAX (SPAWN_TEXT_MAX / 2)	/* bytes; the rest is for the environment */

/*
 * Puts the words of @text after one another. Returns 0, -ENOENT (there is none), -E2BIG, -EINVAL (a
 * quote is not closed) or -ENOMEM. The caller frees command->text in any case.
 */
int exec_command_make(struct spawn_words *command, const char *text);

/* Is there a program @name, as things are? */
bool exec_command_is_found(const char *name);

#endif
