// SPDX-License-Identifier: MIT
/* A device that breaks, and guest memory that is not there; see state.h. */
#include "channel/stream.h"
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

/* Where the memory's file became shorter the session ends after this entry, and says so. */
void state_report_fault(struct device *device, const struct bytes *bytes,
			const struct ring_segment *segments, unsigned int count, uint64_t done)
{
	mem_guard_probe(bytes->iov, bytes->count);
	for (; count && done >= segments->len; count--)
		done -= segments++->len;
	if (count && !mem_guard_is_tripped())
		log_limited(&device->missing, LOG_LEVEL_WARNING,
			    "%s: the kernel cannot access guest memory behind 0x%llx: "
			    "a request comes back, to be sent from other memory",
			    device->config.guest,
			    (unsigned long long)(segments->addr.value + done));
}
