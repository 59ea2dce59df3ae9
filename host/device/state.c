// SPDX-License-Identifier: MIT
/* A device that breaks, and guest memory that is not there; see state.h. */
#include "device/state.h"

void state_break(struct device *device, const char *why)
{
	if (device->is_broken)
		return;
	device->is_broken = true;
	log_limited_here(LOG_LEVEL_WARNING,
		    "%s: the device stops until its guest resets it: %s", device->config.guest,
		    why);
}

void state_report_missing(struct device *device, gpa_t addr, const char *cost)
{
	log_limited(&device->missing, LOG_LEVEL_WARNING,
		    "%s: guest memory at 0x%llx is not shared with the daemon: %s; "
		    "give each memory backend of the VMM share=on",
		    device->config.guest, (unsigned long long)addr.value, cost);
}

void state_report_segments(struct device *device, const struct mem *mem,
			   const struct ring_segment *segments, unsigned int count,
			   const char *cost)
{
	for (unsigned int i = 0; i < count; i++) {
		uint64_t reach = mem_reach(mem, segments[i].addr, segments[i].len);

		if (reach == segments[i].len)
			continue;
		state_report_missing(device, gpa(segments[i].addr.value + reach), cost);
		return;
	}
}
