// SPDX-License-Identifier: MIT
/* Channels that cannot be had: why, and waiting until they can. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <manyport/client.h>

#include "base/text.h"
#include "tool.h"

#define TRY_MIN_MS 50
#define TRY_MAX_MS 1000

const char *error_name(int error)
{
	const char *name = strerrorname_np(error < 0 ? -error : error);

	return name ? name : "unknown error";
}

void explain_refused(char text[EXPLAIN_SIZE], const char *port, const char *service, int error)
{
	char where[160] = "", what[300], node[300];

	if (port)
		snprintf(where, sizeof(where), " on port '%s'", port);
	if (service && *service)
		snprintf(what, sizeof(what), "no channel to service '%s'%s", service, where);
	else
		snprintf(what, sizeof(what), "no channel%s", where);
	if (error == -EBUSY && find_stock_port(port, node, sizeof(node)))
		snprintf(text, EXPLAIN_SIZE, "%s (EBUSY): virtio_console has %.40s, and lets one "
			 "process at a time open it: load the manyport module (modprobe manyport), "
			 "which takes the port over", what, node);
	else if (error == -ENODEV && find_stock_port(port, node, sizeof(node)))
		snprintf(text, EXPLAIN_SIZE, "%s (ENODEV): virtio_console has %.40s: load the "
			 "manyport module (modprobe manyport), which takes the port over if the "
			 "host gives it channels; or use it as it is with --port, one process at a "
			 "time",
			 what, node);
	else
		snprintf(text, EXPLAIN_SIZE, "%s (%s): %s", what, error_name(error),
			 manyport_explain(error));
}

bool refusal_may_pass(int error)
{
	return error == -ENODEV || error == -ENXIO || error == -ECONNREFUSED ||
	       error == -ETIMEDOUT;
}

unsigned int next_try_ms(unsigned int before)
{
	if (!before)
		return TRY_MIN_MS;
	return before < TRY_MAX_MS / 2 ? 2 * before : TRY_MAX_MS;
}

bool parse_time(const char *text, uint64_t *ms)
{
	*ms = UINT64_MAX;
	return !text || !text_time(text, ms);
}
