// SPDX-License-Identifier: MIT
/* A device that breaks; see state.h. */
#include "device/state.h"

void state_break(struct device *device, const char *why)
{
	if (device->is_broken)
		return;
	device->is_broken = true;
	log_limited_here(LOG_LEVEL_WARNING,
		    "%s: the device stops until its guest resets it: %s", device->config.core.guest,
		    why);
}
