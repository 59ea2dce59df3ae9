/* SPDX-License-Identifier: MIT */
/* What a program of an exec: service finds in its environment. */
#ifndef HOST_SERVICE_EXEC_ENVIRONMENT_H
#define HOST_SERVICE_EXEC_ENVIRONMENT_H

#include <manyport/service.h>

#include "service/spawner.h"

/* The channel's opener, and little else. The caller frees text. Returns 0 or -ENOMEM. */
int exec_environment_make(struct spawn_words *environment, const struct mp_opener *opener);

#endif
