// SPDX-License-Identifier: MIT
#include "service/exec_environment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void __attribute__((format(printf, 2, 3)))
add(struct spawn_words *environment, const char *format, ...)
{
	char *text = NULL, *grown;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	/* One that has failed gets no more. */
	grown = len < 0 || !environment->text ? NULL :
		realloc(environment->text, environment->len + len + 1);
	if (grown) {
		memcpy(grown + environment->len, text, len + 1);
		environment->text = grown;
		environment->len += len + 1;
		environment->count++;
	} else {
		free(environment->text);
		environment->text = NULL;
	}
	if (len >= 0)
		free(text);
}

/* A number that the guest gave, or nothing where a classic driver gave none. */
static void add_id(struct spawn_words *environment, const char *name, uint32_t id)
{
	if (id == UINT32_MAX)
		add(environment, "%s=", name);
	else
		add(environment, "%s=%" PRIu32, name, id);
}

int exec_environment_make(struct spawn_words *environment, const struct mp_opener *opener)
{
	*environment = (struct spawn_words){ .text = malloc(1) };
	add(environment, "PATH=" SPAWN_PATH);
	/* bash with a socket as its input takes itself for rshd's, and reads ~/.bashrc, if not. */
	add(environment, "SHLVL=1");
	add(environment, "MANYPORT_GUEST=%s", opener->guest);
	add(environment, "MANYPORT_PORT=%s", opener->port);
	add(environment, "MANYPORT_SERVICE=%s", opener->service);
	add(environment, "MANYPORT_ARGUMENT=%s", opener->argument);
	add(environment, "MANYPORT_CHANNEL=%" PRIu32, opener->channel);
	add(environment, "MANYPORT_COMM=%s", opener->comm);
	add_id(environment, "MANYPORT_UID", opener->uid);
	add_id(environment, "MANYPORT_GID", opener->gid);
	add_id(environment, "MANYPORT_PID", opener->pid);
	return environment->text ? 0 : -ENOMEM;
}
